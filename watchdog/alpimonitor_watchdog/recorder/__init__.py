"""The flight recorder: who took rows. Installs it, says whether it is armed, takes it away, hears it."""

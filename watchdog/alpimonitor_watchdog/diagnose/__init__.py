"""What happened, concluded by one look from outside the sidecar: gathered, decided, told. Writes nothing."""

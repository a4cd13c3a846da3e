"""Looking at database and API; an observation, never an exception."""

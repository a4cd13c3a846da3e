"""Pure: no clock, no network, no database."""

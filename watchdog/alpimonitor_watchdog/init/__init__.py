"""`alpimonitor watchdog init`: a live database -> a watchdog.toml to read, correct and start with."""

"""The alpimonitor command."""

"""Status page, metrics, health."""

"""Converges a database to the fixtures."""

"""Ingestion of live measurements from LINDAS."""

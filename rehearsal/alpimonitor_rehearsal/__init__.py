"""Rehearsals of incidents: embedded PostgreSQL, LINDAS simulator, pager, scenarios, demo."""

"""Alembic's environment: runs the revisions on the connection, and in the transaction, of whoever calls.

The caller (`alpimonitor db upgrade`, `alpimonitor boot`) holds the advisory lock, sets the time-outs and
commits; so a failed revision leaves the old state intact, its version row included.
"""

from __future__ import annotations

from alembic import context

from alpimonitor_api.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("the migrations run through `alpimonitor db upgrade`, which holds the lock they need")

context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    compare_server_default=True,
)
context.run_migrations()

"""The flight recorder: who deleted, truncated, changed or dropped what, in the transaction that did it.

Revision 0003. The statements are the watchdog's own, frozen there, so that other databases get the same; the
file is found, nothing is imported. Literals are kept: nothing in these tables is private. What DROP takes is
recorded where the migrating role may make event triggers; all else works for a plain owner.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RECORDER = Path("recorder", "sql", "v1.sql")
CONTEXT = ("catchment", "station", "sensor", "threshold", "glacier", "station_glacier", "withdrawal")
OPERATIONAL = ("measurement", "alert", "ingestion_run", "threshold_audit")
JOURNAL_ROWS = 1000

RIGHTS = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'alpimonitor_watchdog') THEN
        RETURN;
    END IF;
    GRANT SELECT ON seed_run TO alpimonitor_watchdog;
    IF (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'flight_recorder') THEN
        GRANT USAGE ON SCHEMA flight_recorder TO alpimonitor_watchdog;
        GRANT SELECT ON flight_recorder.event, flight_recorder.guarded, flight_recorder.journal,
            flight_recorder.version TO alpimonitor_watchdog;
    END IF;
END $$
"""


def upgrade() -> None:
    connection = op.get_bind()
    # An operator may have installed it before this revision was there.
    if connection.exec_driver_sql("SELECT to_regclass('flight_recorder.version')").scalar() is None:
        # Without parameters the driver leaves a percent sign alone.
        connection.connection.cursor().execute(_recorder())
    op.execute(RIGHTS)
    op.execute("SELECT flight_recorder.hand_over()")
    for table in CONTEXT:
        op.execute(f"SELECT flight_recorder.guard('{table}', 'context', true, {JOURNAL_ROWS})")
    for table in OPERATIONAL:
        op.execute(f"SELECT flight_recorder.guard('{table}', 'operational', true, 0)")
    op.execute("SELECT flight_recorder.watch_drops()")


def _recorder() -> str:
    spec = importlib.util.find_spec("alpimonitor_watchdog")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        return Path(folder, RECORDER).read_text(encoding="utf-8")
    raise RuntimeError("the package alpimonitor_watchdog is not installed: install alpimonitor whole")

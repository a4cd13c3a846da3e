"""The ledger of heals: what each sidecar began, so that they share one budget.

Revision 0002. The statements are the watchdog's own, frozen there, so that other databases get the same; the
file is found, nothing is imported. The sidecar's role, where it has the name that ours have, may then add to
the ledger and end an attempt. An operator grants that to any other: `alpimonitor watchdog check` says how.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LEDGER = Path("leadership", "ledger_v1.sql")

RIGHTS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'alpimonitor_watchdog') THEN
        GRANT USAGE ON SCHEMA alpimonitor_watchdog TO alpimonitor_watchdog;
        GRANT SELECT, INSERT, UPDATE (outcome, ended_at) ON alpimonitor_watchdog.heal_attempt
            TO alpimonitor_watchdog;
    END IF;
END $$
"""


def upgrade() -> None:
    spec = importlib.util.find_spec("alpimonitor_watchdog")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        op.execute(Path(folder, LEDGER).read_text(encoding="utf-8"))
        op.execute(RIGHTS)
        return
    raise RuntimeError("the package alpimonitor_watchdog is not installed: install alpimonitor whole")

"""What must not be taken for a loss: everyday work, and rows that come back by themselves."""

from __future__ import annotations

from alpimonitor_rehearsal.scenarios.scenario import (
    CONTEXT,
    OPERATOR,
    Act,
    Attribution,
    Scenario,
    Script,
    Step,
    script,
)
from alpimonitor_rehearsal.scenarios.words import Heals, Symptom, Verdict


def _innocent(name: str, says: str, *steps: Step) -> Scenario:
    return Scenario(
        name=name,
        says=says,
        steps=steps,
        symptom=None,
        verdict=None,
        attribution=None,
        heals=Heals.NOTHING,
    )


VACUUM_FULL = _innocent(
    "vacuum-full",
    "rewrites every table by VACUUM FULL",
    Script(script(*(f"VACUUM FULL {name}" for name in CONTEXT)), together=False),
)

RESTART = _innocent("restart", "restarts the server", Act.RESTART)

CRASH = _innocent("crash", "kills the server, which recovers", Act.CRASH)

ROLLED_BACK = _innocent(
    "rolled-back",
    "deletes rows and rolls back",
    Script(script("BEGIN", "DELETE FROM withdrawal", "DELETE FROM threshold", "ROLLBACK"), together=False),
)

MIGRATION = _innocent(
    "migration",
    "adds a column, under the lock of migrations",
    Script(
        script(
            "SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:migration', 0))",
            "ALTER TABLE station ADD COLUMN note text",
        )
    ),
)

RELOAD = Scenario(
    name="reload",
    # Long enough for several looks, and all the while the session that deleted is at work.
    says="deletes rows and, half a second later, inserts them again: an incident that ends by itself",
    steps=(
        Script(
            script(
                "CREATE TEMPORARY TABLE kept AS TABLE withdrawal",
                "DELETE FROM withdrawal",
                "SELECT pg_sleep(0.5)",
                "INSERT INTO withdrawal TABLE kept",
            ),
            together=False,
        ),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.NOTHING,
)

INNOCENT = (VACUUM_FULL, RESTART, CRASH, ROLLED_BACK, MIGRATION, RELOAD)

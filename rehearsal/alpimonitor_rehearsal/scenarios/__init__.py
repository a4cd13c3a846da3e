"""The one catalogue of ways to break a database, with what must be concluded of each.

Demo, tests, benchmarks and drills read it; nothing of it reaches the database or the sidecar but what an
operator would have typed.
"""

from alpimonitor_rehearsal.scenarios.innocent import INNOCENT
from alpimonitor_rehearsal.scenarios.rows import DELETE, PARTIAL, PARTITION, PLAYED, REPEAT, ROWS, TRUNCATE
from alpimonitor_rehearsal.scenarios.scenario import (
    CONTEXT,
    OPERATOR,
    REFERENCING,
    Act,
    Attribution,
    By,
    Kind,
    Scenario,
    Script,
    Step,
)
from alpimonitor_rehearsal.scenarios.whole import WHOLE
from alpimonitor_rehearsal.scenarios.words import Circumstance, Heals, Symptom, Verdict

CATALOGUE = {scenario.name: scenario for scenario in (*ROWS, *WHOLE, *INNOCENT)}
"""Every scenario by name, in the order in which they are shown."""

CONCLUDED = tuple(
    scenario for scenario in CATALOGUE.values() if scenario.heals in (Heals.NOTHING, Heals.ONCE)
)
"""Those whose end is one conclusion. The others are a deletion as well, and differ in what follows."""

__all__ = [
    "CATALOGUE",
    "CONCLUDED",
    "CONTEXT",
    "DELETE",
    "OPERATOR",
    "PARTIAL",
    "PARTITION",
    "PLAYED",
    "REFERENCING",
    "REPEAT",
    "TRUNCATE",
    "Act",
    "Attribution",
    "By",
    "Circumstance",
    "Heals",
    "Kind",
    "Scenario",
    "Script",
    "Step",
    "Symptom",
    "Verdict",
]

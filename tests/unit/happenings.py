"""What may happen to the world of a sandbox, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.seen import PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Unseen
from tests.unit.episodes import EXPECTED, HEALTHY_ROWS, HERE
from tests.unit.sandbox import GOOD_PLAN, Sandbox

WATCHED = replace(EXPECTED, ingestion_interval=2.0)
ELSEWHERE = replace(HERE, database_oid=1, deployment="d-2")
Event = Callable[[Sandbox], Any]


def sets(**changes: Any) -> Event:
    """The world is another from now on."""

    def event(world: Sandbox) -> None:
        for name, value in changes.items():
            setattr(world, name, value)

    return event


def rows(**changes: int | Unseen | None) -> Event:
    return lambda world: world.rows.update(changes)


def says(kind: ActKind) -> Event:
    return lambda world: world.say(kind)


def steps(seconds: float) -> Event:
    def event(world: Sandbox) -> None:
        world.at += timedelta(seconds=seconds)
        world.stepped = True

    return event


def ingests(world: Sandbox) -> None:
    world.ingestion_started = world.at


def restores(world: Sandbox) -> None:
    world.rows.update(HEALTHY_ROWS)


def nothing(world: Sandbox) -> None:
    """Time passes."""


WIPES = rows(station=0, sensor=0)
EVENTS: dict[str, Event] = {
    "nothing": nothing,
    "wiped": WIPES,
    "wiped once more": WIPES,
    "wiped by a recorded statement": Sandbox.delete,
    "wiped for a stated reason": lambda world: world.delete("decommissioned"),
    "the session stays at work": sets(busy=True),
    "the session ends": sets(busy=False),
    "restored": restores,
    "a table empty": rows(station=0),
    "another shrunk": rows(sensor=3),
    "more rows": rows(sensor=20),
    "a table gone": rows(station=None),
    "a table locked": rows(station=Unseen.LOCKED),
    "another timed out": rows(sensor=Unseen.TIMEOUT),
    "unreachable": sets(reachable=False),
    "reachable": sets(reachable=True),
    "another database": sets(identity=ELSEWHERE),
    "this database": sets(identity=HERE, served=None),
    "which database is not seen": sets(identity=None),
    "the API serves another": sets(served="d-2"),
    "the API is down": sets(health_ok=False),
    "the API is up": sets(health_ok=True),
    "ingestion is blind": sets(stations_seen=0),
    "ingestion misses a station": sets(stations_seen=3),
    "ingestion sees": sets(stations_seen=4),
    "ingestion runs": ingests,
    "ingestion follows no heal": sets(ingests_after=False),
    "ingestion follows a heal": sets(ingests_after=True),
    "heals succeed": sets(outcome=HealOutcome.SUCCEEDED, puts_back=True),
    "heals succeed for nothing": sets(outcome=HealOutcome.SUCCEEDED, puts_back=False),
    "heals fail": sets(outcome=HealOutcome.FAILED, puts_back=False),
    "heals fail but put back": sets(outcome=HealOutcome.DEADLINE, puts_back=True),
    "heals are interrupted": sets(outcome=HealOutcome.INTERRUPTED, puts_back=False),
    "heals go on": sets(outcome=None),
    "the plan deletes": sets(plan=replace(GOOD_PLAN, deletes=(("station", 1),))),
    "the plan fails": sets(plan=PlanSeen(failed="exit 2")),
    "the plan is good": sets(plan=GOOD_PLAN),
    "the lock is held": sets(held_by=4711),
    "the lock is free": sets(held_by=None),
    "read-only": sets(read_only=True),
    "writable": sets(read_only=False),
    "the store is full": sets(store_works=False),
    "the store has room": sets(store_works=True),
    "the other leads": sets(leads=False),
    "this one leads": sets(leads=True),
    "the other heals": Sandbox.heal_elsewhere,
    "the other counts back": sets(counts=5),
    "the other counts on": sets(counts=6),
    "the clock is set forward": steps(3600.0),
    "the clock is set back": steps(-10.0),
    **{f"an operator says {kind}": says(kind) for kind in ActKind},
}

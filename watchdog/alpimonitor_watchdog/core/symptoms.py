"""observation + expectation -> what is wrong.

What could not be seen is never "empty": it becomes `undetermined`, which neither confirms a symptom nor
clears it. What is expected comes from the declaration, never from the database under suspicion.
"""

from __future__ import annotations

from .model import Policy
from .seen import Expectation, Finding, Findings, Loss, Observation, TableExpected, TableSeen
from .words import CONTEXT_LOSS, Symptom

_NEEDS_DATABASE = CONTEXT_LOSS | {Symptom.SCHEMA_OUTDATED, Symptom.CONTEXT_UNSEEN}


def find(seen: Observation, expected: Expectation, policy: Policy) -> Findings:
    """Every symptom of one observation, each with how long it has to last before it opens an incident."""
    found: list[Finding] = []
    undetermined: set[Symptom] = set()
    if seen.database.unseen is not None:
        undetermined |= _NEEDS_DATABASE
        found.append(
            Finding(
                Symptom.DATABASE_UNREACHABLE,
                f"database {seen.database.unseen.value}: {seen.database.detail}",
                opens_after=policy.unreachable_after,
            )
        )
    else:
        _context(seen, expected, policy, found, undetermined)
        _schema(seen, expected, policy, found, undetermined)
    _ingestion(seen, expected, policy, found, undetermined)
    if expected.health_watched:
        _health(seen, policy, found, undetermined)
    return Findings(tuple(found), frozenset(undetermined))


def _context(
    seen: Observation,
    expected: Expectation,
    policy: Policy,
    found: list[Finding],
    undetermined: set[Symptom],
) -> None:
    by_name = {table.name: table for table in seen.database.tables}
    losses: dict[Symptom, list[Loss]] = {symptom: [] for symptom in sorted(CONTEXT_LOSS)}
    unseen: list[str] = []
    for declared in expected.tables:
        if not declared.context:
            continue
        table = by_name.get(declared.name)
        if table is None or table.unseen is not None or (table.exists and table.rows is None):
            unseen.append(_unseen(declared.name, table))
            continue
        symptom = _loss_of(declared, table)
        if symptom is not None:
            losses[symptom].append(Loss(declared.name, table.rows, declared.expected))
    wording = {
        Symptom.CONTEXT_EMPTY: "without any row",
        Symptom.CONTEXT_MISSING: "gone from the catalog",
        Symptom.CONTEXT_SHRUNK: "below the floor",
    }
    for symptom, lost in losses.items():
        if lost:
            names = ", ".join(loss.table for loss in lost)
            found.append(Finding(symptom, f"{wording[symptom]}: {names}", tuple(lost)))
    if unseen:
        undetermined |= CONTEXT_LOSS
        detail = f"could not be read: {', '.join(unseen)}"
        found.append(Finding(Symptom.CONTEXT_UNSEEN, detail, opens_after=policy.unhealthy_after))


def _unseen(name: str, table: TableSeen | None) -> str:
    if table is None or table.unseen is None:
        return name
    holder = f" by backend pid {table.locked_by}" if table.locked_by else ""
    return f"{name} ({table.unseen.value.replace('_', ' ')}{holder})"


def _loss_of(declared: TableExpected, table: TableSeen) -> Symptom | None:
    if not table.exists:
        return Symptom.CONTEXT_MISSING
    if table.rows is None:
        return None
    if table.rows == 0 and declared.expected > 0:
        return Symptom.CONTEXT_EMPTY
    if table.rows < declared.floor and not table.capped:
        return Symptom.CONTEXT_SHRUNK
    return None


def _schema(
    seen: Observation,
    expected: Expectation,
    policy: Policy,
    found: list[Finding],
    undetermined: set[Symptom],
) -> None:
    if not expected.revisions:
        return
    if seen.database.revision_unseen is not None:
        undetermined.add(Symptom.SCHEMA_OUTDATED)
    elif seen.database.revision not in expected.revisions:
        allowed = ", ".join(sorted(expected.revisions))
        found.append(
            Finding(
                Symptom.SCHEMA_OUTDATED,
                f"schema revision {seen.database.revision or 'none'}, allowed: {allowed}",
                opens_after=policy.settle_after,
            )
        )


def _ingestion(
    seen: Observation,
    expected: Expectation,
    policy: Policy,
    found: list[Finding],
    undetermined: set[Symptom],
) -> None:
    if expected.stations is None:
        return
    if seen.outside is None or seen.outside.ingestion is None:
        undetermined.add(Symptom.INGESTION_BLIND)
        return
    saw = seen.outside.ingestion.stations_seen
    missing = expected.stations - saw
    if missing <= 0:
        return
    straggler = missing == 1 and saw > 0
    found.append(
        Finding(
            Symptom.INGESTION_BLIND,
            f"the last run of ingestion saw {saw} of {expected.stations} stations",
            opens_after=policy.straggler_after if straggler else policy.settle_after,
            pages=not straggler,
        )
    )


def _health(seen: Observation, policy: Policy, found: list[Finding], undetermined: set[Symptom]) -> None:
    if seen.outside is None:
        undetermined.add(Symptom.API_UNHEALTHY)
        return
    # CONTEXT_EMPTY is the API saying what the probe says: it belongs to the context incident.
    failing = [
        health
        for health in seen.outside.health
        if not health.ok and not (health.context_empty and seen.database.unseen is None)
    ]
    if failing:
        found.append(
            Finding(
                Symptom.API_UNHEALTHY,
                "; ".join(f"{health.url}: {health.detail}" for health in failing),
                opens_after=policy.unhealthy_after,
            )
        )

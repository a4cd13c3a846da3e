"""observation + expectation -> what is wrong.

What could not be seen is never "empty": it becomes `undetermined`, which neither confirms a symptom nor
clears it. What is expected comes from the declaration and the last good state, never from the database under
suspicion.
"""

from __future__ import annotations

from .good import LastGood, changed, expected_now
from .model import Policy
from .seen import Expectation, Finding, Findings, Loss, Observation, TableExpected, TableSeen
from .words import CONTEXT_LOSS, Symptom

_NEEDS_DATABASE = CONTEXT_LOSS | {
    Symptom.SCHEMA_OUTDATED,
    Symptom.CONTEXT_UNSEEN,
    Symptom.CONTEXT_CHANGED,
    Symptom.IDENTITY_CHANGED,
}
_ARCHIVE_FAILURES = 2  # in a row: one may be a full disk that was just emptied


def find(seen: Observation, expected: Expectation, policy: Policy, good: LastGood | None = None) -> Findings:
    """Every symptom of one observation, each with how long it has to last before it opens an incident."""
    found: list[Finding] = []
    undetermined: set[Symptom] = set()
    if seen.database.unseen is not None:
        undetermined |= _NEEDS_DATABASE
        if good is not None and good.arming:
            undetermined.add(Symptom.RECORDER_DISARMED)
        found.append(
            Finding(
                Symptom.DATABASE_UNREACHABLE,
                f"database {seen.database.unseen.value}: {seen.database.detail}",
                opens_after=policy.unreachable_after,
            )
        )
    else:
        _identity(seen, expected, good, found, undetermined)
        _context(seen, expected, policy, good, found, undetermined)
        _schema(seen, expected, policy, found, undetermined)
        _recorder(seen, policy, good, found, undetermined)
    _ingestion(seen, expected, policy, found, undetermined)
    if expected.health_watched:
        _health(seen, policy, found, undetermined)
    return Findings(tuple(found), frozenset(undetermined))


def _context(
    seen: Observation,
    expected: Expectation,
    policy: Policy,
    good: LastGood | None,
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
        wanted = expected_now(declared, good)
        symptom = _loss_of(wanted, table, good, policy.shrink_fraction)
        if symptom is not None:
            losses[symptom].append(Loss(declared.name, table.rows, wanted.expected))
    wording = {
        Symptom.CONTEXT_EMPTY: "without any row",
        Symptom.CONTEXT_MISSING: "gone from the catalog",
        Symptom.CONTEXT_SHRUNK: "fewer rows than there have to be",
    }
    for symptom, lost in losses.items():
        if lost:
            names = ", ".join(loss.table for loss in lost)
            found.append(Finding(symptom, f"{wording[symptom]}: {names}", tuple(lost)))
    if unseen:
        undetermined |= CONTEXT_LOSS
        detail = f"could not be read: {', '.join(unseen)}"
        undetermined.add(Symptom.CONTEXT_CHANGED)
        found.append(Finding(Symptom.CONTEXT_UNSEEN, detail, opens_after=policy.unhealthy_after))
    gone = {loss.table for of_kind in losses.values() for loss in of_kind}
    changes = changed(good, seen.database) if good else {}
    different = [how for table, how in changes.items() if table not in gone]
    if different:
        found.append(
            Finding(
                Symptom.CONTEXT_CHANGED,
                f"not as it last was good: {', '.join(different)}",
                opens_after=policy.settle_after,
                pages=False,
                informs=True,
            )
        )


def _identity(
    seen: Observation,
    expected: Expectation,
    good: LastGood | None,
    found: list[Finding],
    undetermined: set[Symptom],
) -> None:
    identity = seen.database.identity
    if identity is None:
        undetermined.add(Symptom.IDENTITY_CHANGED)
        return
    differences = []
    if good is not None and good.identity is not None:
        differences += identity.differences(good.identity)
    elif expected.environment is not None and identity.environment not in (None, expected.environment):
        differences.append(
            f"its deployment row says {identity.environment}, [database] environment {expected.environment}"
        )
    served = seen.outside.deployment if seen.outside else None
    if served is not None and identity.deployment is not None and served != identity.deployment:
        differences.append(f"the API serves deployment {served}, this database is {identity.deployment}")
    if differences:
        found.append(Finding(Symptom.IDENTITY_CHANGED, "another database: " + "; ".join(differences)))


def _unseen(name: str, table: TableSeen | None) -> str:
    if table is None or table.unseen is None:
        return name
    holder = f" by backend pid {table.locked_by}" if table.locked_by else ""
    return f"{name} ({table.unseen.value.replace('_', ' ')}{holder})"


def _loss_of(
    wanted: TableExpected, table: TableSeen, good: LastGood | None, fraction: float
) -> Symptom | None:
    last = good.table(wanted.name) if good else None
    if not table.exists:
        return None if last is not None and last.rows is None else Symptom.CONTEXT_MISSING
    if table.rows is None:
        return None
    if table.rows == 0 and wanted.expected > 0:
        return Symptom.CONTEXT_EMPTY
    if table.capped:
        return None
    # More than the fraction: of one row the half is still none.
    lost_most = last is not None and last.rows is not None and last.rows - table.rows > last.rows * fraction
    if table.rows < wanted.floor or lost_most:
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


def _recorder(
    seen: Observation,
    policy: Policy,
    good: LastGood | None,
    found: list[Finding],
    undetermined: set[Symptom],
) -> None:
    """Only where it was armed: a database without a recorder lacks nothing that was promised."""
    recorder = seen.database.recorder
    if good is None or not good.arming:
        return
    if recorder is None:
        undetermined.add(Symptom.RECORDER_DISARMED)
    elif not recorder.armed:
        detail = f"not recorded any more: {', '.join(recorder.unarmed) or 'the recorder is gone'}"
        found.append(Finding(Symptom.RECORDER_DISARMED, detail, opens_after=policy.settle_after, pages=False))
    elif recorder.arming != good.arming:
        # Disabled and enabled again, perhaps in one transaction: what was done meanwhile left no event.
        found.append(
            Finding(
                Symptom.RECORDER_DISARMED,
                "the recorder's triggers were changed and are armed again: what was done meanwhile is not "
                "recorded",
                pages=False,
                informs=True,
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
    ingestion = seen.outside.ingestion if seen.outside else None
    if ingestion is None:
        undetermined |= {Symptom.INGESTION_BLIND, Symptom.INGESTION_STALE, Symptom.ARCHIVE_FAILING}
        return
    missing = expected.stations - ingestion.stations_seen
    if missing > 0:
        straggler = missing == 1 and ingestion.stations_seen > 0
        found.append(
            Finding(
                Symptom.INGESTION_BLIND,
                f"the last run of ingestion saw {ingestion.stations_seen} of {expected.stations} stations",
                opens_after=policy.straggler_after if straggler else policy.settle_after,
                pages=not straggler,
            )
        )
    age = ingestion.success_age
    if expected.stale_after is not None and age is not None and age > expected.stale_after:
        found.append(
            Finding(
                Symptom.INGESTION_STALE,
                f"no run of ingestion has succeeded for {age / 60:.0f} min",
                opens_after=policy.settle_after,
            )
        )
    if ingestion.archive_failures is None:
        undetermined.add(Symptom.ARCHIVE_FAILING)
    elif ingestion.archive_failures >= _ARCHIVE_FAILURES:
        why = f": {ingestion.archive_error}" if ingestion.archive_error else ""
        found.append(
            Finding(
                Symptom.ARCHIVE_FAILING,
                f"{ingestion.archive_failures} payloads in a row were not archived{why}",
                opens_after=policy.settle_after,
                pages=False,
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

"""Seeds a database: gather, plan, decide, write, record; in one transaction, under the `change` lock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

import psycopg
from psycopg import IsolationLevel, errors

from alpimonitor_api.tables import SeedOutcome
from alpimonitor_seed import found as gather
from alpimonitor_seed import preflight
from alpimonitor_seed.fixtures import Fixtures
from alpimonitor_seed.plan import Plan, Wish, contradictions, plan, prune_refusals
from alpimonitor_seed.record import Client, record
from alpimonitor_seed.target import Target, is_local
from alpimonitor_seed.write import Counts, lock_tables, write

log = logging.getLogger(__name__)

WRITTEN = (SeedOutcome.APPLIED, SeedOutcome.NOTHING_TO_DO)
"""Outcomes that are recorded in the transaction that they are about."""

CONTRADICTIONS_TOLD = 8  # thousands, in a log line and in seed_run, would help nobody


class Unreachable(Exception):
    """The database cannot be reached with these credentials. The text is the server's, without a password."""


class Stop(Enum):
    """What kept a seed from being carried out."""

    PREFLIGHT = "preflight"  # the database was not clearly meant
    PRUNE_GUARD = "prune_guard"  # the prune would take more than it may
    CONTRADICTION = "contradiction"  # a natural key is there under another identifier
    FAILED = "failed"  # the database refused
    LOST = "lost"  # the connection broke


@dataclass(frozen=True)
class Request:
    """One seed: what is wanted, and what the person or program who asks has allowed."""

    wish: Wish = field(default_factory=Wish)
    dry_run: bool = False
    allowed: bool = False  # ALLOW_PROD_SEED=1
    confirmed: str | None = None  # --confirm-database
    reason: str | None = None  # stated to the flight recorder and recorded


@dataclass(frozen=True)
class Limits:
    """Seconds that a seed waits before it gives up and leaves the database as it was."""

    connect: int = 10
    lock: float = 60  # another seed, a heal, or somebody who holds a context table
    statement: float = 120


@dataclass(frozen=True)
class Result:
    """How a seed ended. `plan` is None only when it stopped before there was one."""

    outcome: SeedOutcome
    plan: Plan | None = None
    counts: Counts = field(default_factory=Counts)
    stop: Stop | None = None
    why: str | None = None  # the sentence for people, when it stopped


@dataclass(frozen=True)
class Seeding:
    """All that a seed is given: where, what, how, and by whom."""

    target: Target
    fixtures: Fixtures
    client: Client
    request: Request = field(default_factory=Request)
    limits: Limits = field(default_factory=Limits)


def seed(seeding: Seeding) -> Result:
    """Converge a database to the fixtures, as far as the request says and the guards allow.

    Either everything is written, with its `seed_run` row, or nothing; a seed that was refused, failed or only
    planned is recorded by a transaction of its own. Two seeds at once take turns. Raises Unreachable.
    """
    begun = committing = False
    try:
        with _connected(seeding) as connection, _in_transaction(connection, seeding):
            begun = True
            result = _attempt(connection, seeding)
            if result.outcome in WRITTEN:
                _record(connection, seeding, result)
            committing = result.outcome in WRITTEN
    except psycopg.Error as error:
        stop = Stop.LOST if is_lost(error) else Stop.FAILED
        why = _explained(error)
        if committing and stop is Stop.LOST:
            why += "; it may have been committed: seed_run says so, and a second seed does no harm"
        result = Result(SeedOutcome.FAILED, stop=stop, why=why)
    except KeyboardInterrupt:
        # A server that has not answered yet would not answer to the record either. From COMMIT on, the
        # transaction's own record is there exactly if its rows are.
        if begun and not committing:
            why = "interrupted; nothing was written"
            _record_apart(seeding, Result(SeedOutcome.FAILED, stop=Stop.FAILED, why=why))
        raise
    if result.outcome not in WRITTEN:
        _record_apart(seeding, result)
    _log(seeding, result)
    return result


@contextmanager
def _connected(seeding: Seeding) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(
            seeding.target.url,
            application_name=seeding.client.application_name,
            connect_timeout=seeding.limits.connect,
            client_encoding="utf8",
            prepare_threshold=None,  # so that a transaction pooler may stand in between
        )
    except psycopg.OperationalError as error:
        raise Unreachable(one_line(error)) from error
    with connection:
        yield connection


@contextmanager
def _in_transaction(connection: psycopg.Connection, seeding: Seeding) -> Iterator[None]:
    """A plan reads one snapshot; a seed reads after it took the locks, and so sees what others committed."""
    planning = seeding.request.dry_run
    # A database that is read-only by default is so on purpose: only planning says anything about it.
    connection.read_only = True if planning else None
    connection.isolation_level = IsolationLevel.REPEATABLE_READ if planning else IsolationLevel.READ_COMMITTED
    with connection.transaction():
        for setting, seconds in (
            ("lock_timeout", seeding.limits.lock),
            ("statement_timeout", seeding.limits.statement),
        ):
            connection.execute("SELECT set_config(%s, %s, true)", [setting, f"{round(seconds * 1000)}ms"])
        _be_missed(connection)
        yield


def _be_missed(connection: psycopg.Connection) -> None:
    """Killed in the middle of a statement, a seed would keep its locks until that statement has ended."""
    # A server on a system that cannot tell refuses the setting, and does without.
    with suppress(errors.InvalidParameterValue), connection.transaction():
        connection.execute("SELECT set_config('client_connection_check_interval', '1s', true)")


def _attempt(connection: psycopg.Connection, seeding: Seeding) -> Result:
    """Decide and write; what is returned says whether anything was written."""
    request, wish = seeding.request, seeding.request.wish
    refused = preflight.refusal(
        preflight.Circumstances(
            local=is_local(seeding.target),
            environment=gather.environment(connection),
            host=seeding.target.host,
            database=connection.info.dbname,
            allowed=request.allowed,
            confirmed=request.confirmed,
        ),
        wish,
    )
    stop = None if refused is None else (Stop.PREFLIGHT, refused.text)
    if request.dry_run:
        planned, objection = _plan(connection, seeding)
        stop = stop or objection
        why = f"it would be refused: {stop[1]}" if stop else None
        return Result(SeedOutcome.DRY_RUN, planned, stop=stop[0] if stop else None, why=why)
    if stop is None:
        _take_turn(connection, wish)
        planned, stop = _plan(connection, seeding)
    if stop is not None:
        return Result(SeedOutcome.REFUSED, stop=stop[0], why=stop[1])
    counts = write(connection, planned, reason=_stated(seeding))
    return Result(SeedOutcome.APPLIED if counts.total else SeedOutcome.NOTHING_TO_DO, planned, counts)


def _take_turn(connection: psycopg.Connection, wish: Wish) -> None:
    """Wait for the `change` lock, which the transaction's end gives back."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:change', 0))")
    if not wish.only_adds:
        lock_tables(connection)


def _plan(connection: psycopg.Connection, seeding: Seeding) -> tuple[Plan, tuple[Stop, str] | None]:
    """What would be done, and what speaks against doing it."""
    wish = seeding.request.wish
    found = gather.read(connection, with_users=wish.prune)
    planned = plan(seeding.fixtures, found, wish)
    if refusals := prune_refusals(planned, found, wish):
        reasons = "; ".join(refusal.text for refusal in refusals)
        return planned, (Stop.PRUNE_GUARD, f"the prune is refused: {reasons}")
    if texts := contradictions(planned, found):
        left = len(texts) - CONTRADICTIONS_TOLD
        told = [*texts[:CONTRADICTIONS_TOLD], *([f"and {left} more such rows"] if left > 0 else [])]
        return planned, (
            Stop.CONTRADICTION,
            "; ".join(told) + "; decide which is right and remove the other",
        )
    return planned, None


def _stated(seeding: Seeding) -> str:
    wish = seeding.request.wish
    flags = "".join(
        flag
        for flag, given in ((" --prune", wish.prune), (" --overwrite-tuned", wish.overwrite_tuned))
        if given
    )
    return seeding.request.reason or f"alpimonitor seed --mode {wish.mode.value}{flags}"


def _record(connection: psycopg.Connection, seeding: Seeding, result: Result) -> None:
    record(
        connection,
        target=seeding.target,
        client=seeding.client,
        mode=seeding.request.wish.mode,
        outcome=result.outcome,
        reason="; ".join(filter(None, (result.why, seeding.request.reason))) or None,
        counts=result.counts,
    )


def _record_apart(seeding: Seeding, result: Result) -> None:
    """Record what was not written, where the database lets us: it may be read-only, or gone."""
    try:
        with _connected(seeding) as connection:
            connection.execute("SELECT set_config('lock_timeout', '1s', true)")
            _record(connection, seeding, result)
    except (psycopg.Error, Unreachable) as error:
        log.warning("seed not recorded in seed_run: %s", one_line(error))


def _log(seeding: Seeding, result: Result) -> None:
    wish, counts = seeding.request.wish, result.counts
    level = {SeedOutcome.REFUSED: logging.WARNING, SeedOutcome.FAILED: logging.ERROR}
    log.log(
        level.get(result.outcome, logging.INFO),
        "seed %s: mode=%s prune=%s database=%s role=%s application_name=%r"
        " inserted=%d updated=%d pruned=%d%s",
        result.outcome.value,
        wish.mode.value,
        str(wish.prune).lower(),
        seeding.target,
        seeding.target.role,
        seeding.client.application_name,
        sum(counts.inserted.values()),
        sum(counts.updated.values()),
        sum(counts.pruned.values()),
        f" reason={result.why!r}" if result.why else "",
        extra={"action": "seed", "outcome": result.outcome.value},
    )


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection broke, be it that the server said why (shut down, crashed) or not."""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    )


def _explained(error: psycopg.Error) -> str:
    """The server's words on one line, and what to do where that is known."""
    said = one_line(error)
    match error:
        case errors.UndefinedTable() | errors.UndefinedColumn():
            return f"{said}: the database is not migrated to this version; run alpimonitor db upgrade"
        case errors.InsufficientPrivilege():
            return (
                f"{said}: the role lacks a right; grant it, or set SEED_DATABASE_URL to another role. Only "
                "the owner may delete, as a prune does: for that one command set it to the owner's URL"
            )
        case errors.ReadOnlySqlTransaction():
            return f"{said}: the database is read-only, perhaps a standby; seed the primary"
        case errors.LockNotAvailable():
            return f"{said}: another seed, a heal or a migration is at work; run this again when it has ended"
        case _ if is_lost(error):
            return f"{said}: the connection to the database was lost; run this again when it is back"
        case _:
            return said


def one_line(error: Exception) -> str:
    """A driver's message without its line breaks, as logs and records want it."""
    return " ".join(str(error).split())

"""What was found -> what watchdog.toml is to say, and what people are to be told. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.words import Unseen
from . import rungs
from .found import Found, RevisionFound, TableFound
from .judge import Judgement, judged
from .selection import Passed, Selection
from .spelling import declared, shown, sql_name

_SHRINKS_TO = 2  # a table from which rows were deleted before may shrink to one in so many


@dataclass(frozen=True)
class Guard:
    """A table to declare. `expected` and `floor` are None for an operational one: nothing is expected."""

    table: TableFound
    judgement: Judgement
    expected: int | None = None
    floor: int | None = None
    about_floor: str = ""

    @property
    def name(self) -> str:
        return declared(self.table.schema, self.table.name)


@dataclass(frozen=True)
class Blind:
    """A table that could not be counted, and what makes it visible."""

    table: TableFound
    remedy: str

    @property
    def name(self) -> str:
        return declared(self.table.schema, self.table.name)


@dataclass(frozen=True)
class PassedOver:
    name: str
    why: Passed


@dataclass(frozen=True)
class Proposal:
    """All that is written and said. `warnings` are sentences for people, the weightiest first."""

    found: Found
    guards: tuple[Guard, ...]
    blind: tuple[Blind, ...]
    passed: tuple[PassedOver, ...]
    revision: RevisionFound | None
    other_revisions: tuple[RevisionFound, ...]
    rungs: tuple[rungs.Rung, ...]
    warnings: tuple[str, ...]

    @property
    def place(self) -> str:
        """`name@host:port`, as far as it can be shown."""
        return shown(f"{self.found.session.database}@{self.found.place}")


def propose(found: Found, selection: Selection) -> Proposal:
    """Context tables come first, each kind in the order of names."""
    judgements = judged(found)
    guards = tuple(
        sorted(
            (_guard(table, judgements[table.oid]) for table in found.tables if table.oid in judgements),
            key=lambda guard: (guard.judgement.kind, guard.table.schema, guard.table.name),
        )
    )
    blind = tuple(Blind(table, _remedy(table, found)) for table in found.tables if table.unseen)
    readable = [revision for revision in found.revisions if revision.value]
    revision = readable[0] if readable else None
    return Proposal(
        found=found,
        guards=guards,
        blind=blind,
        passed=tuple(
            PassedOver(declared(table.schema, table.name), why)
            for table in found.tables
            if (why := selection.passes_over(table)) is not None
        ),
        revision=revision,
        other_revisions=tuple(other for other in found.revisions if other is not revision),
        rungs=_rungs(found, guards, blind),
        warnings=(
            *_empty(guards),
            *_unseen(blind, found),
            *_unread(found),
            *_unheard(selection, found),
            *_role_too_strong(found, guards),
        ),
    )


def _guard(table: TableFound, judgement: Judgement) -> Guard:
    if judgement.kind == "operational" or table.rows is None:
        return Guard(table, judgement)
    rows = table.rows
    if not table.deleted or not rows:
        return Guard(table, judgement, expected=rows, floor=rows)
    # Somebody deletes here: what is left of a few deletions is no loss.
    return Guard(
        table,
        judgement,
        expected=rows,
        floor=-(-rows // _SHRINKS_TO),
        about_floor=f"{table.deleted} rows were deleted here since the statistics began, so half may go "
        "before it counts as a loss",
    )


def _remedy(table: TableFound, found: Found) -> str:
    role = sql_name(found.session.role)
    match table.unseen:
        case Unseen.FORBIDDEN:
            return (
                f"GRANT USAGE ON SCHEMA {sql_name(table.schema)} TO {role}; "
                f"GRANT SELECT ON TABLE {sql_name(table.schema, table.name)} TO {role};"
            )
        case Unseen.ROW_SECURITY:
            return f"ALTER ROLE {role} BYPASSRLS;"
        case Unseen.LOCKED:
            return "run init again when the session that locks it is done"
        case Unseen.TIMEOUT:
            return (
                f"VACUUM {sql_name(table.schema, table.name)}; "
                "and run init again: dead rows make even a few slow to count"
            )
        case _:
            return "mend what the server says, and run init again"


def _rungs(found: Found, guards: tuple[Guard, ...], blind: tuple[Blind, ...]) -> tuple[rungs.Rung, ...]:
    guarded = [guard.table for guard in guards]
    to_read = [*guarded, *(table.table for table in blind), *(r.table for r in found.revisions)]
    too_strong = _is_too_strong(found, guards)
    return (
        rungs.watch(
            found.session,
            to_read,
            role=rungs.WATCHER if too_strong else found.session.role,
            is_new=too_strong,
        ),
        rungs.name(found.session, guarded),
        rungs.heal(found.session, [g.table for g in guards if g.judgement.kind == "context"]),
    )


def _is_too_strong(found: Found, guards: tuple[Guard, ...]) -> bool:
    return found.session.superuser or any(guard.table.writable for guard in guards)


def _empty(guards: tuple[Guard, ...]) -> tuple[str, ...]:
    empty = [guard for guard in guards if guard.table.rows == 0]
    if not empty:
        return ()
    names = ", ".join(
        shown(guard.name) + (f" ({guard.table.deleted} rows were deleted)" if guard.table.deleted else "")
        for guard in empty
    )
    if len(empty) == len(guards):
        return (
            f"EVERY table is empty: {names}. This may be the loss itself. Put the rows back and run init "
            "again with --force: a sidecar that starts from this file would call an empty database healthy.",
        )
    return (
        f"EMPTY NOW, and so expected to be empty: {names}. Where rows belong, put them back and run init "
        "again with --force: the loss of what was not there cannot be noticed.",
    )


def _unseen(blind: tuple[Blind, ...], found: Found) -> tuple[str, ...]:
    if not blind:
        return ()
    names = ", ".join(f"{shown(table.name)} ({shown(table.table.detail)})" for table in blind)
    return (
        f"NOT SEEN, and so not guarded: {names}. The rights below let {shown(found.session.role)} see; "
        "then run init again with --force.",
    )


def _unread(found: Found) -> tuple[str, ...]:
    unread = [
        f"{revision.tool} ({shown(revision.detail)})" for revision in found.revisions if revision.unseen
    ]
    if not unread:
        return ()
    return (
        f"The schema's revision could not be read: {', '.join(unread)}. Until it is declared a heal may meet "
        "a schema that it was not made for.",
    )


def _unheard(selection: Selection, found: Found) -> tuple[str, ...]:
    asked = selection.without_effect(found.tables)
    return (f"{shown(', '.join(asked))}: no table matches; upper and lower case differ.",) if asked else ()


def _role_too_strong(found: Found, guards: tuple[Guard, ...]) -> tuple[str, ...]:
    if not _is_too_strong(found, guards):
        return ()
    could = "is a superuser" if found.session.superuser else "could write to tables that it would guard"
    return (
        f"{shown(found.session.role)} {could}: good for one look. Let the sidecar run as a role that "
        f"only reads, as {rungs.WATCHER} below.",
    )

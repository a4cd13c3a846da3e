"""What the sidecar's role may, for `alpimonitor watchdog check`: each gap with its cost and its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ..core.seen import TableSeen
from ..core.words import Unseen
from .bounded import Bounded, Late
from .catalog import Catalog, Entry, Guarded
from .link import CONNECT_SECONDS, Link, Unseeable, unseen
from .queries import queries

_OLDEST_SERVER = 15
_STATEMENT_SECONDS = 2.0


class Standing(StrEnum):
    """How it stands with one right."""

    HOLDS = "holds"
    WARNING = "warning"  # it works, and could work better or safer
    GAP = "gap"  # something does not work


@dataclass(frozen=True)
class Right:
    """One thing that was checked. A gap and a warning say what they cost, and what to do about it."""

    subject: str
    standing: Standing
    said: str
    costs: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Session:
    """One row of the statement `session`."""

    pid: int
    role: str
    server_version: str
    server_version_num: int
    superuser: bool
    sees_subscriptions: bool


def check_rights(
    url: str, tables: Sequence[Guarded], *, revision_query: str | None, application_name: str
) -> tuple[Right, ...]:
    """Everything that the look at the database rests on. Only reads, ends in a few seconds, never raises."""
    link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
    catalog = Catalog(tables, lock_prefix="alpimonitor")
    checking = Bounded(
        lambda: tuple(_rights(link.open(), catalog, tables, revision_query)),
        link.sever,
        within=CONNECT_SECONDS + 6 * _STATEMENT_SECONDS,
        name="check-rights",
    )
    try:
        return checking.run()
    except Late:
        return (_no_connection(f"{link.place} did not answer in time", refused=False),)
    except Unseeable as error:
        return (_no_connection(error.detail, refused=error.unseen is Unseen.REFUSED),)
    except Exception as error:
        said = unseen(error)[1] if isinstance(error, psycopg.Error) else f"{type(error).__name__}: {error}"
        return (_no_connection(f"{link.place}: {said}", refused=False),)
    finally:
        checking.stop()
        link.drop()


def _rights(
    connection: psycopg.Connection,
    catalog: Catalog,
    tables: Sequence[Guarded],
    revision_query: str | None,
) -> Iterator[Right]:
    session = _session(connection)
    yield Right("connection", Standing.HOLDS, f"as {session.role}, PostgreSQL {session.server_version}")
    if session.server_version_num < _OLDEST_SERVER * 10_000:
        yield Right(
            "server version",
            Standing.GAP,
            f"PostgreSQL {session.server_version}",
            costs="nothing here was tried on it",
            remedy=f"upgrade to PostgreSQL {_OLDEST_SERVER} or newer",
        )
    yield _affinity(connection, session)
    _, entries = catalog.read(connection)
    for table, entry in zip(tables, entries, strict=True):
        yield from _table(table, entry, session.role)
    yield _least_privilege(connection, session, tables, entries)
    if not session.sees_subscriptions:
        yield Right(
            "subscriptions",
            Standing.WARNING,
            "pg_subscription_rel cannot be read",
            costs="a heal would not be refused on a table that logical replication fills",
            remedy=f"GRANT SELECT ON pg_subscription_rel TO {_quoted(session.role)};",
        )
    if revision_query is not None:
        yield _revision(connection, revision_query)


def _session(connection: psycopg.Connection) -> Session:
    with connection.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(queries()["session"].text, prepare=True).fetchall()[0]


def _affinity(connection: psycopg.Connection, session: Session) -> Right:
    """Whether every statement reaches one backend, the one that was connected to."""
    try:
        pids = {connection.info.backend_pid, session.pid, _session(connection).pid}
        said = f"backend {session.pid} answers every statement"
    except psycopg.errors.InvalidSqlStatementName:
        pids, said = set(), "a prepared statement was gone at the next one"
    if len(pids) == 1:
        return Right("session", Standing.HOLDS, said)
    return Right(
        "session",
        Standing.GAP,
        "statements of one connection reach several backends" if pids else said,
        costs="prepared statements and time-outs get lost: looks fail, or are not bounded",
        remedy="connect directly to PostgreSQL, or through a pooler in session mode",
    )


def _table(table: Guarded, entry: Entry, role: str) -> Iterator[Right]:
    subject = f"table {table.name}"
    found = entry.countable(table)
    if isinstance(found, TableSeen):
        yield Right(
            subject,
            Standing.GAP,
            found.detail,
            costs="its loss cannot be seen" if found.exists else "it counts as lost",
            remedy=_remedy(found, entry, role),
        )
        return
    yield Right(subject, Standing.HOLDS, f"{entry.schema}.{entry.name} can be counted")
    missing = entry.missing_columns(table)
    if missing:
        yield Right(
            subject,
            Standing.GAP,
            f"without the columns {', '.join(missing)}",
            costs="no heal runs",
            remedy="migrate the database, or correct `columns` in watchdog.toml",
        )


def _remedy(found: TableSeen, entry: Entry, role: str) -> str:
    if entry.schema is None or entry.name is None or not found.exists:
        return "migrate the database, or correct the table's name in watchdog.toml"
    if found.unseen is Unseen.ROW_SECURITY:
        return f"ALTER ROLE {_quoted(role)} BYPASSRLS;"
    return (
        f"GRANT USAGE ON SCHEMA {_quoted(entry.schema)} TO {_quoted(role)}; "
        f"GRANT SELECT ON TABLE {_quoted(entry.schema, entry.name)} TO {_quoted(role)};"
    )


def _least_privilege(
    connection: psycopg.Connection, session: Session, tables: Sequence[Guarded], entries: Sequence[Entry]
) -> Right:
    if session.superuser:
        said = f"{session.role} is a superuser"
    else:
        oids = [entry.oid for entry in entries if entry.oid is not None]
        rights: dict[int, list[str]] = dict(
            connection.execute(queries()["writable"].text, {"oids": oids}).fetchall()
        )
        named = [
            f"{table.name} ({', '.join(rights[entry.oid])})"
            for table, entry in zip(tables, entries, strict=True)
            if entry.oid in rights
        ]
        if not named:
            return Right("least privilege", Standing.HOLDS, f"{session.role} cannot write to a guarded table")
        said = f"{session.role} could write to {', '.join(named)}"
    names = ", ".join(_quoted(e.schema, e.name) for e in entries if e.schema and e.name) or "…"
    return Right(
        "least privilege",
        Standing.WARNING,
        said,
        costs="whoever gets hold of the sidecar's password could empty the tables it guards",
        remedy="give the sidecar a role of its own: CREATE ROLE alpimonitor_watch LOGIN; "
        f"\\password alpimonitor_watch; GRANT SELECT ON {names} TO alpimonitor_watch;",
    )


def _revision(connection: psycopg.Connection, query: str) -> Right:
    try:
        rows = connection.execute(query).fetchmany(2)
    except psycopg.Error as error:
        reason, said = unseen(error)
        remedy = "let the sidecar's role read what it reads" if reason is Unseen.FORBIDDEN else "correct it"
        return Right(
            "revision",
            Standing.GAP,
            f"[revision] query: {said}",
            costs="no heal runs, because the schema may not be the one it was made for",
            remedy=f"{remedy}, or migrate the database",
        )
    said = ", ".join(str(row[0]) for row in rows) or "none"
    return Right("revision", Standing.HOLDS, f"the schema is at {said}")


def _no_connection(said: str, *, refused: bool) -> Right:
    return Right(
        "connection",
        Standing.GAP,
        said,
        costs="nothing can be seen, and nothing is healed",
        remedy="correct role, password or database in the URL; a transaction pooler cannot be used"
        if refused
        else "start the database, or correct host and port in the URL",
    )


def _quoted(*parts: str) -> str:
    return sql.Identifier(*parts).as_string()

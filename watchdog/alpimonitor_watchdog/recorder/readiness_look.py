"""Measures attribution readiness of a live database: gathers within time-outs, then has it assessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from ..probe.bounded import Bounded, Late
from ..probe.catalog import Catalog, Guarded
from ..probe.link import CONNECT_SECONDS, Link, Unseeable, unseen
from ..probe.queries import Query, parse
from ..probe.queries import queries as of_the_probe
from ..settings import Settings
from .readiness import Application, Client, Facts, Readiness, RecorderFacts, Server, assess

QUERIES = Path(__file__).with_name("readiness.sql")
_STATEMENT_SECONDS = 2.0
_DELETE, _UPDATE, _TRUNCATE = 8, 16, 32  # bits of pg_trigger.tgtype


@cache
def queries() -> Mapping[str, Query]:
    """Every statement by its name."""
    return parse(QUERIES.read_text(encoding="utf-8"))


def measure(
    settings: Settings, *, application_name: str, listening: Callable[[], bool] | None = None
) -> Readiness:
    """Readiness of the guarded database now; `unseen` says why it could not be told.

    `listening` tells it of the sidecar that asks; without it the sessions are looked at. Only reads, ends in
    a few seconds, never raises.
    """
    url = settings.database_url.get_secret_value()
    link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
    measuring = Bounded(
        lambda: _facts(link.open(), settings, listening() if listening else None),
        link.sever,
        within=CONNECT_SECONDS + 3 * _STATEMENT_SECONDS,
        name="readiness",
    )
    try:
        return assess(measuring.run())
    except Late:
        return Readiness(unseen=f"{link.place} did not answer in time")
    except Unseeable as error:
        return Readiness(unseen=error.detail)
    except Exception as error:
        said = unseen(error)[1] if isinstance(error, psycopg.Error) else f"{type(error).__name__}: {error}"
        return Readiness(unseen=f"{link.place}: {said}")
    finally:
        measuring.stop()
        if not measuring.busy:
            link.drop()


def _facts(connection: psycopg.Connection, settings: Settings, listening: bool | None) -> Facts:
    tables = [
        Guarded(table.name, table.columns, context=table.kind == "context") for table in settings.tables
    ]
    _, entries = Catalog(tables, settings.lock_prefix).read(connection)
    there = {entry.oid: table for table, entry in zip(tables, entries, strict=True) if entry.oid is not None}
    with connection.cursor(row_factory=class_row(Server)) as cursor:
        server = cursor.execute(queries()["settings"].text).fetchall()[0]
    with connection.cursor(row_factory=class_row(Client)) as cursor:
        clients = cursor.execute(queries()["clients"].text).fetchall()
    declared = settings.application_role
    # Without a declaration it is whoever is connected.
    roles = [declared] if declared else sorted({client.role for client in clients if not client.own})
    applications = connection.execute(
        queries()["applications"].text, {"roles": roles, "oids": list(there)}
    ).fetchall()
    return Facts(
        server=server,
        recorder=_recorder(connection, there),
        clients=tuple(clients),
        applications=tuple(
            Application(role, superuser, tuple(owns), tuple(becomes))
            for role, superuser, owns, becomes in applications
        ),
        declared_role=declared,
        listening=listening,
    )


def _recorder(connection: psycopg.Connection, there: Mapping[int, Guarded]) -> RecorderFacts:
    needs = [_DELETE | _TRUNCATE | (_UPDATE if table.context else 0) for table in there.values()]
    row = connection.execute(
        of_the_probe()["recorder"].text, {"oids": list(there), "needs": needs}
    ).fetchone()
    if row is None:
        return RecorderFacts()
    readable, unarmed, drops, _ = row
    found = connection.execute(queries()["erasers"].text).fetchone()
    return RecorderFacts(
        installed=True,
        readable=readable,
        unarmed=tuple(there[oid].name for oid in unarmed),
        drops=drops,
        erasers=tuple(found[0]) if found else (),
    )

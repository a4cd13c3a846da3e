"""One look at the database, in a session that cannot write and takes no lock."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..core.seen import DatabaseSeen
from ..probe import link
from ..probe.observe import DatabaseProbe
from ..probe.queries import parse
from .target import Target

_STATEMENT_SECONDS = 1.0  # a person waits, nothing else: a busy server gets more time than by the sidecar
_QUERIES = Path(__file__).with_name("queries.sql")


def look(target: Target, cursor: int | None) -> DatabaseSeen:
    """What there is to see now. Never raises.

    `cursor`: where the sidecar's reading of recorded events ended; None: the newest of the last day.
    """
    probe = DatabaseProbe(
        _read_only(target),
        target.tables,
        application_name=_name(),
        timeout=_STATEMENT_SECONDS,
        count_limit=target.count_limit,
        revision_query=target.revision_query,
        lock_prefix=target.lock_prefix,
        application_role=target.application_role,
        cursor=cursor,
    )
    probe.closely = True
    try:
        return probe.look()
    finally:
        probe.close()


def guarded_by_recorder(target: Target) -> tuple[str, ...]:
    """The context tables that a flight recorder guards; none where there is no recorder, or no database."""
    asking = link.Link(_read_only(target), timeout=_STATEMENT_SECONDS, application_name=_name())
    query = parse(_QUERIES.read_text(encoding="utf-8"))["guarded"]
    try:
        return tuple(str(name) for (name,) in asking.open().execute(query.text).fetchall())
    except (link.Unseeable, psycopg.Error):
        return ()  # the look that follows says what is the matter with the database, if anything is
    finally:
        asking.drop()


def _read_only(target: Target) -> str:
    url = target.url.get_secret_value()
    given = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{given} -c default_transaction_read_only=on".strip())


def _name() -> str:
    return link.application_name(version("alpimonitor"), socket.gethostname(), os.getpid(), "diagnose")

"""The last run of ingestion, asked of the database by a declared statement instead of through the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import psycopg

from ..core.seen import IngestionSeen
from .answers import Malformed, archive_error, archive_failures, stations_seen, success_age
from .bounded import Bounded, Late
from .link import CONNECT_SECONDS, Link, Unseeable, unseen
from .queries import queries

_STATEMENT_SECONDS = 1.0
_COLUMNS = ("stations_seen", "started_at", "last_success_at", "archive_failures", "archive_error")
_BY_PLACE = _COLUMNS[:3]


class IngestionQuery:
    """`look` and `close` belong to one thread at a time."""

    def __init__(self, url: str, query: str, *, application_name: str) -> None:
        """`query` returns one row, and none before the first run.

        Its columns are called stations_seen and, as far as it tells them, started_at, last_success_at (both
        timestamptz), archive_failures, archive_error; or they are the first three, whatever they are called.
        """
        self._query = query
        self._link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
        within = CONNECT_SECONDS + 2 * _STATEMENT_SECONDS
        self._bounded = Bounded(self._look, self._link.sever, within=within, name="ingestion-query")

    def look(self) -> IngestionSeen | None:
        """The last finished run; None before the first. Raises Malformed, which says why it is not known."""
        try:
            return self._bounded.run()
        except Late:
            raise Malformed(f"no answer within {self._bounded.within:g} s") from None
        except Malformed:
            raise
        except Exception as error:
            # A value that the driver cannot read, for instance: the statement is not ours.
            raise Malformed(f"{type(error).__name__}: {error}") from None

    def abandon(self) -> None:
        """From any thread: this look ends at once, and so does every later one."""
        self._bounded.abandon()

    def close(self) -> None:
        """Give the connection back."""
        self._bounded.stop()
        self._link.drop()

    def _look(self) -> IngestionSeen | None:
        self._link.allow()
        try:
            connection = self._link.open()
            cursor = connection.execute(self._query)
            row = cursor.fetchone()
            names = [column.name for column in cursor.description or ()]
            ((now,),) = connection.execute(queries()["clock"].text, prepare=True).fetchall()
        except Unseeable as error:
            raise Malformed(error.detail) from None
        except psycopg.Error as error:
            self._link.drop()
            raise Malformed(unseen(error)[1]) from None
        return _run(_named(names, row), now) if row is not None else None


def _named(names: Sequence[str], row: Sequence[object]) -> Mapping[str, object]:
    if "stations_seen" in names:
        unknown = sorted(set(names) - set(_COLUMNS))
        if unknown:
            raise Malformed(f"a column {unknown[0]}; known are {', '.join(_COLUMNS)}")
        return dict(zip(names, row, strict=True))
    if len(row) != len(_BY_PLACE):
        raise Malformed(f"a row of {len(row)} columns, not of {', '.join(_BY_PLACE)}")
    return dict(zip(_BY_PLACE, row, strict=True))


def _run(told: Mapping[str, object], now: datetime) -> IngestionSeen:
    last_success_at = _time(told.get("last_success_at"))
    failures = archive_failures(told.get("archive_failures"))
    return IngestionSeen(
        stations_seen(told["stations_seen"]),
        _time(told.get("started_at")),
        last_success_at,
        success_age(last_success_at, now),
        failures,
        archive_error(told.get("archive_error")) if failures is not None else "",
    )


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Malformed("a time is not of the type timestamptz")
    return value.astimezone(UTC)

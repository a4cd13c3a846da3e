"""The last run of ingestion, asked of the database by a declared statement instead of through the API."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from ..core.seen import IngestionSeen
from .answers import Malformed, stations_seen
from .bounded import Bounded, Late
from .link import CONNECT_SECONDS, Link, Unseeable, unseen

_STATEMENT_SECONDS = 1.0


class IngestionQuery:
    """`look` and `close` belong to one thread at a time."""

    def __init__(self, url: str, query: str, *, application_name: str) -> None:
        """`query` returns one row: stations_seen, started_at, last_success_at; none before the first run."""
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

    def close(self) -> None:
        """Give the connection back."""
        self._bounded.stop()
        self._link.drop()

    def _look(self) -> IngestionSeen | None:
        self._link.allow()
        try:
            row = self._link.open().execute(self._query).fetchone()
        except Unseeable as error:
            raise Malformed(error.detail) from None
        except psycopg.Error as error:
            self._link.drop()
            raise Malformed(unseen(error)[1]) from None
        if row is None:
            return None
        if len(row) != 3:
            raise Malformed(f"a row of {len(row)} columns, not of stations_seen, started_at, last_success_at")
        seen, started_at, last_success_at = row
        return IngestionSeen(stations_seen(seen), _time(started_at), _time(last_success_at))


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Malformed("a time is not of the type timestamptz")
    return value.astimezone(UTC)

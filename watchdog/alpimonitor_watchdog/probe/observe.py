"""DatabaseProbe: one bounded look at the guarded database, which ends in a value and never in an exception.

A healthy look is five round trips: the catalog, the counts, the revision, the flight recorder's state and its
events; after them, now and then, come the deployment row, the content of tables and the rest of the evidence.
The look runs in a thread of its own, for what cannot be bounded
from inside (a name server that hangs, a network that swallows everything): the caller waits a bounded time,
and then severs the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Self

import psycopg

from ..core.seen import DatabaseSeen, TableSeen
from ..core.words import Unseen
from .bounded import Bounded, Late
from .catalog import Catalog, Countable, Entry, Guarded
from .content import LOOK_SECONDS, Contents, Readable
from .counting import Counting
from .evidence import Evidence
from .identity import DEPLOYMENT, Identifying
from .link import CONNECT_SECONDS, REFUSAL_SECONDS, Link, Unseeable, is_lost, unseen
from .queries import queries
from .recorder import Progress

if TYPE_CHECKING:
    from ..settings import Settings

_ALONE_SECONDS = 1.0  # that a look may spend on tables one by one
_MANY = 50  # tables from which on the server's memory matters
_HEADS = 10  # revisions of a branched history that are shown
_NOT_NOW = ("08", "57P")  # SQLSTATEs of a server that starts, stops or recovers, whatever its language
_Looked = tuple[DatabaseSeen, Progress | None]  # and what is read of the recorder, where it was asked


class DatabaseProbe:
    """`look` and `close` belong to one thread, which may set `closely` between two looks.

    `closely`: something is lost, so that evidence is gathered at each look, at most once a second.
    """

    def __init__(
        self,
        url: str,
        tables: Sequence[Guarded],
        *,
        application_name: str,
        timeout: float = 0.05,
        count_limit: int = 10_000,
        revision_query: str | None = None,
        lock_prefix: str = "alpimonitor",
        application_role: str | None = None,
        evidence: Mapping[str, str] | None = None,
        cursor: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout`, in seconds, bounds each statement. Connects at the first look only.

        `evidence`: name -> SELECT of what else is evidence. `cursor`: the last RecorderSeen's, by whichever
        process; recorded events from there on are read, some of them perhaps again. None: the newest.
        """
        self.closely = False
        self._tables = tuple(tables)
        self._link = Link(url, timeout=timeout, application_name=application_name)
        self._catalog = Catalog((*self._tables, DEPLOYMENT), lock_prefix)
        self._counting = Counting(count_limit)
        self._prepared: psycopg.Connection | None = None
        self._identifying = Identifying(timeout, monotonic)
        self._contents = Contents(timeout, monotonic)
        self._evidence = Evidence(
            self._tables,
            application_role=application_role,
            queries=evidence or {},
            cursor=cursor,
            timeout=timeout,
            monotonic=monotonic,
        )
        self._revision_query = revision_query
        self._monotonic = monotonic
        # Beside those: catalog, counts, revision, and one more that began just before the time was up; the
        # two of a new connection, the deployment row, and the contents; or the reason of a refusal.
        self.within = CONNECT_SECONDS + max(
            REFUSAL_SECONDS, _ALONE_SECONDS + 7 * timeout + LOOK_SECONDS + self._evidence.within
        )
        self._bounded = Bounded(self._look, self._link.sever, within=self.within, name="database-probe")

    @classmethod
    def of(cls, settings: Settings, application_name: str, cursor: int | None = None) -> Self:
        """The probe that the settings ask for."""
        return cls(
            settings.database_url.get_secret_value(),
            [
                Guarded(table.name, table.columns, context=table.kind == "context")
                for table in settings.tables
            ],
            application_name=application_name,
            timeout=settings.policy.timeout,
            count_limit=settings.policy.count_limit,
            revision_query=settings.revision.query if settings.revision else None,
            lock_prefix=settings.lock_prefix,
            application_role=settings.application_role,
            evidence=dict(settings.evidence),
            cursor=cursor,
        )

    def look(self) -> DatabaseSeen:
        """What there is to see now; at the latest `within` seconds later. Never raises."""
        began = self._monotonic()
        try:
            seen, progress = self._bounded.run()
            if progress is not None:
                self._evidence.handed_over(progress)
        except Late:
            detail = f"{self._link.place} did not answer within {self.within:g} s"
            seen = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail=detail)
        except Exception as error:
            # Whatever it was, it is no proof that anything is empty.
            seen = DatabaseSeen(unseen=Unseen.ERROR, detail=f"{type(error).__name__}: {error}")
        return replace(seen, duration=self._monotonic() - began)

    def abandon(self) -> None:
        """From any thread: this look ends at once, having seen nothing, and so does every later one."""
        self._bounded.abandon()

    def close(self) -> None:
        """Give the connection back."""
        self._bounded.stop()
        self._link.drop()

    def _look(self) -> _Looked:
        self._link.allow()
        try:
            return self._look_through(again=self._link.is_open)
        except Exception:
            self._link.drop()
            raise

    def _look_through(self, *, again: bool) -> _Looked:
        try:
            return self._look_at(self._link.open())
        except Unseeable as error:
            return self._refused(error), None
        except psycopg.Error as error:
            lost = self._link.lost
            self._link.drop()
            if lost and again:
                # It may have ended since the last look, by a restart or by a hand: that says nothing yet.
                return self._look_through(again=False)
            reason, said = unseen(error)
            return DatabaseSeen(
                unseen=Unseen.UNREACHABLE if lost else reason, detail=f"{self._link.place}: {said}"
            ), None

    def _look_at(self, connection: psycopg.Connection) -> _Looked:
        if connection is not self._prepared:
            self._prepare(connection)
        ends = self._monotonic() + _ALONE_SECONDS
        server, (*entries, deployment) = self._catalog.read(connection)
        tables = self._count(connection, entries, lambda: self._monotonic() < ends)
        revision, revision_unseen, detail = self._revision(connection)
        seen = DatabaseSeen(
            tables=self._with_content(connection, entries, tables),
            revision=revision,
            revision_unseen=revision_unseen,
            detail=detail,
            in_recovery=server.in_recovery,
            read_only=server.read_only,
            subscribed=self._subscribed(connection, entries) if server.may_be_subscribed else (),
            change_held_by=server.change_held_by,
            name=server.database,
            identity=self._identifying.of(connection, server.database_oid, deployment),
            clock=server.clock.astimezone(UTC),
        )
        return self._evidence.gathered(connection, seen, server, entries, closely=self.closely)

    def _refused(self, error: Unseeable) -> DatabaseSeen:
        """Of a refusal the code, too: the server's words for it may be in any language."""
        code = self._link.refusal() if error.unseen is Unseen.REFUSED else None
        not_now = code is not None and code.startswith(_NOT_NOW)
        return DatabaseSeen(
            unseen=Unseen.UNREACHABLE if not_now else error.unseen, detail=error.detail, code=code
        )

    def _prepare(self, connection: psycopg.Connection) -> None:
        self._prepared = connection
        if len(self._tables) > _MANY:
            try:
                connection.execute(queries()["keep_memory"].text)
            except psycopg.Error:
                # It only saves time: a server too busy for it can be looked at all the same.
                if is_lost(connection):
                    raise

    def _count(
        self, connection: psycopg.Connection, entries: Sequence[Entry], in_time: Callable[[], bool]
    ) -> tuple[TableSeen, ...]:
        """One answer for each declared table, in their order."""
        known = [entry.countable(table) for table, entry in zip(self._tables, entries, strict=True)]
        countable = [table for table in known if isinstance(table, Countable)]
        counted = {table.name: table for table in self._counting.count(connection, countable, in_time)}
        return tuple(
            _complete(table, entry, counted[found.name] if isinstance(found, Countable) else found)
            for table, entry, found in zip(self._tables, entries, known, strict=True)
        )

    def _with_content(
        self, connection: psycopg.Connection, entries: Sequence[Entry], seen: Sequence[TableSeen]
    ) -> tuple[TableSeen, ...]:
        """The same with the content of context tables, of which every row was counted."""
        readable = [
            Readable(found, entry.mark or "", counted.rows)
            for table, entry, counted in zip(self._tables, entries, seen, strict=True)
            if table.context and counted.rows is not None and not counted.capped
            if isinstance(found := entry.countable(table), Countable)
        ]
        contents = self._contents.of(connection, readable)
        return tuple(
            # A table with a content was counted whole: nothing else is to be said of it. (replace() takes
            # longer than everything else that is done here for a table.)
            TableSeen(
                table.name,
                rows=table.rows,
                missing_columns=table.missing_columns,
                content=contents[table.name],
            )
            if table.name in contents
            else table
            for table in seen
        )

    def _revision(self, connection: psycopg.Connection) -> tuple[str | None, Unseen | None, str]:
        """The revision; else why it could not be seen. A database without the table has none."""
        if self._revision_query is None:
            return None, None, ""
        try:
            rows = connection.execute(self._revision_query).fetchmany(_HEADS)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None, None, ""
        except psycopg.Error as error:
            if is_lost(connection):
                raise
            reason, said = unseen(error)
            return None, reason, f"revision: {said}"
        heads = sorted(str(row[0]) for row in rows if row and row[0] is not None)
        return ",".join(heads) or None, None, ""

    def _subscribed(self, connection: psycopg.Connection, entries: Sequence[Entry]) -> tuple[str, ...]:
        oids = [entry.oid for entry in entries]
        found = connection.execute(queries()["subscribed"].text, {"oids": oids}, prepare=True).fetchall()
        written = {oid for (oid,) in found}
        return tuple(table.name for table, oid in zip(self._tables, oids, strict=True) if oid in written)


def _complete(table: Guarded, entry: Entry, seen: TableSeen) -> TableSeen:
    return replace(seen, missing_columns=entry.missing_columns(table)) if table.columns else seen

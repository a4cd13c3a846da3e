"""Two fingerprints of one database, compared. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from .fingerprint import Fingerprint, TablePrint

_WALKED_ON = 100  # transactions: a crash forgets those that had written nothing yet, at most one a connection


@dataclass(frozen=True)
class Grown:
    """What a counter grew by. `whole`: since its last reset, because the growth cannot be told."""

    rows: int
    whole: bool = False


@dataclass(frozen=True)
class Compared:
    """How the newest fingerprint differs from the last one while all was well. Either may be missing."""

    before: Fingerprint | None
    after: Fingerprint | None

    def both(self) -> tuple[Fingerprint, Fingerprint] | None:
        if self.before is None or self.after is None:
            return None
        return self.before, self.after

    @property
    def timeline_changed(self) -> bool:
        pair = self.both()
        return pair is not None and _differ(pair[0].timeline, pair[1].timeline)

    @property
    def newer_timeline(self) -> bool:
        """As after a failover or a point-in-time recovery: the log may end earlier, and rightly so."""
        pair = self.both()
        return pair is not None and (pair[1].timeline or 0) > (pair[0].timeline or 0) > 0

    @property
    def older_timeline(self) -> bool:
        pair = self.both()
        return pair is not None and (pair[0].timeline or 0) > (pair[1].timeline or 0) > 0

    @property
    def restarted(self) -> bool:
        pair = self.both()
        return pair is not None and _differ(pair[0].started, pair[1].started)

    @property
    def statistics_reset(self) -> bool:
        """By their date, or because a counter went backwards."""
        pair = self.both()
        if pair is None:
            return False
        tables = [(was, pair[1].table(was.name)) for was in pair[0].tables]
        return _differ(pair[0].statistics_reset, pair[1].statistics_reset) or any(
            now is not None and now.oid == was.oid and _backwards(was, now) for was, now in tables
        )

    @property
    def log_back(self) -> int:
        """Bytes by which the log ends earlier than it did; 0 when it does not, or nobody knows."""
        pair = self.both()
        if pair is None or pair[0].in_recovery != pair[1].in_recovery:
            return 0
        return _back(pair[0].lsn, pair[1].lsn)

    @property
    def transactions_back(self) -> int:
        """By how many transactions the next one lies before what it was; 0 as for `log_back`."""
        pair = self.both()
        return 0 if pair is None else _back(pair[0].next_transaction, pair[1].next_transaction)

    @property
    def far_back(self) -> bool:
        """By more transactions than a crash forgets."""
        return self.transactions_back > _WALKED_ON

    @property
    def remarkable(self) -> bool:
        """Something differs, rows and values aside, by which a verdict or a circumstance can be told.

        A restart alone is not: as a rule nothing follows from it.
        """
        pair = self.both()
        if pair is None:
            return False
        was, now = pair
        return (
            bool(now.identity.differences(was.identity))
            or now.in_recovery != was.in_recovery
            or self.timeline_changed
            or self.log_back > 0
            or self.far_back
            or any(_less_visible(was.table(table.name), table) for table in now.tables)
        )

    def deleted(self, table: str) -> Grown | None:
        """By how much `n_tup_del` grew; None where it cannot be seen."""
        return self._grown(*self._prints(table), "deleted")

    def inserted(self, table: str) -> Grown | None:
        """By how much `n_tup_ins` grew; None where it cannot be seen."""
        return self._grown(*self._prints(table), "inserted")

    def _prints(self, table: str) -> tuple[TablePrint | None, TablePrint | None]:
        was = self.before.table(table) if self.before else None
        return was, self.after.table(table) if self.after else None

    def _grown(self, was: TablePrint | None, now: TablePrint | None, counter: str) -> Grown | None:
        after: int | None = getattr(now, counter, None)
        before: int | None = getattr(was, counter, None)
        if after is None:
            return None
        pair = self.both()
        renewed = pair is not None and _differ(pair[0].statistics_reset, pair[1].statistics_reset)
        if was is not None and now is not None:
            renewed = renewed or _backwards(was, now)
        if before is None or renewed:
            return Grown(after, whole=True)
        return Grown(after - before)


def initialised(system: str | None) -> datetime | None:
    """When a cluster was made: its system identifier begins with the seconds since 1970.

    Source: BootStrapXLOG in PostgreSQL's xlog.c.
    """
    if system is None or not system.isascii() or not system.isdecimal():
        return None
    seconds = int(system) >> 32
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 1 << 32 else None


def unreadable(was: TablePrint, now: TablePrint) -> bool:
    """The application's role could read the table, and may not any more."""
    return bool(was.application_reads) and now.application_reads is False


def newly_hidden(was: TablePrint, now: TablePrint) -> bool:
    """Row security is on and was off, or concerns the sidecar now."""
    return (now.secured and not was.secured) or (now.hidden and not was.hidden)


def _less_visible(was: TablePrint | None, now: TablePrint) -> bool:
    return was is not None and (unreadable(was, now) or newly_hidden(was, now) or was.oid != now.oid)


def _differ(one: object, two: object) -> bool:
    """Both are known and not the same."""
    return one is not None and two is not None and one != two


def _back(before: int | None, after: int | None) -> int:
    return max(0, before - after) if before is not None and after is not None else 0


def _backwards(was: TablePrint, now: TablePrint) -> bool:
    pairs = ((was.inserted, now.inserted), (was.updated, now.updated), (was.deleted, now.deleted))
    return any(_back(before, after) > 0 for before, after in pairs)

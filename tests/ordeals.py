"""One loss, from the wipe to its end, with a sidecar that comes to harm; and what must hold at the end."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import httpx

from alpimonitor_rehearsal.pager import Pager, Receipt
from alpimonitor_rehearsal.postgres import find_binaries
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.databases import PostgresForTests, new_database
from tests.sidecars import CONTEXT, Process, Sidecar, rows
from tests.warm_start import CHECKOUT, Harm, Warmth

DEADLINE = 60.0
SIDE_BY_SIDE = 4  # they wait more than they work
BUDGET = 3  # the default
QUICK = {
    "confirm_for": "300ms",
    "backoff_first": "200ms",
    "backoff_max": "200ms",
}
# What the seed's own plan says, without starting an interpreter for it.
PLAN = """
SELECT json_build_object(
    'inserts',
    coalesce(json_object_agg(name, array_fill(0, ARRAY[missing])) FILTER (WHERE missing > 0), '{}'),
    'updates', json_build_object(),
    'deletes', json_build_object())
FROM (VALUES %s) AS context (name, missing)
"""


@dataclass
class WarmSidecar(Sidecar):
    """A sidecar that starts at once, and may be harmed."""

    warmth: Warmth = field(kw_only=True)
    harm: Harm = field(default_factory=Harm, kw_only=True)
    through: str | None = field(default=None, kw_only=True)  # the address at which it sees the database

    def launch(self, log: IO[bytes]) -> Process:
        return self.warmth.start(["watchdog", "run"], self.environment, Path(log.name), self.harm)

    @property
    def environment(self) -> dict[str, str]:
        """Also what psql reads, so that no password is in an argument."""
        place = urlsplit(self.database)
        address = {
            "PGHOST": place.hostname,
            "PGPORT": place.port,
            "PGUSER": place.username,
            "PGPASSWORD": unquote(place.password or ""),
            "PGDATABASE": place.path.lstrip("/"),
        }
        found = {name: str(value) for name, value in address.items() if value is not None}
        seen_at = {"WATCHDOG_DATABASE_URL": self.through or self.database}
        return {**super().environment, **found, **seen_at, "PYTHONPATH": str(CHECKOUT)}


@dataclass
class Ordeal:
    """A sidecar in `folder`, its pager, and the log that its heals keep."""

    folder: Path
    database: str
    sidecar: WarmSidecar
    pager: Pager

    @property
    def heal_log(self) -> list[str]:
        """ "begin", "end" and "overlap", in the order in which they happened."""
        return [line.split()[0] for line in self._lines]

    def heal_began(self) -> float:
        """When the first heal began, in monotonic seconds of this machine."""
        return float(self._lines[0].split()[2])

    @property
    def _lines(self) -> list[str]:
        log = self.folder / "heals"
        return log.read_text().splitlines() if log.exists() else []

    def heal_runs(self) -> bool:
        """Whether a process that began a heal is alive."""
        began = [line.split()[1] for line in self._lines if line.startswith("begin")]
        return any(_alive(pid) for pid in began)

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def resolved(self) -> bool:
        return any(": resolved: " in receipt.title for receipt in self.pager.receipts)

    @property
    def dead(self) -> bool:
        assert self.sidecar.process is not None
        return self.sidecar.process.poll() is not None

    def healthy(self) -> bool:
        try:
            return bool(self.sidecar.state()["phase"] == "healthy")
        except httpx.TransportError:  # killed while it answered
            return False

    def over(self) -> bool:
        """Whether the incident is resolved, the sidecar at rest, and nothing left to be written."""
        try:
            return self.resolved() and self.healthy() and bool(self._delivered())
        except httpx.TransportError:
            return False

    def finish(self) -> None:
        """Wait for the end of the incident, and check what has to hold after any harm."""
        self.pager.wait_for(lambda _: self.resolved(), deadline=DEADLINE)
        self.sidecar.until("healthy", DEADLINE)
        incident = wait_until("every delivery's record", self._delivered, deadline=DEADLINE, every=0.05)
        self._check_notifications(incident)
        assert rows(self.database) == CONTEXT
        assert "overlap" not in self.heal_log
        assert 1 <= self.heal_log.count("begin") <= BUDGET
        assert self.heal_log.count("begin") <= len(incident["heals"]), "a heal ran that was never recorded"
        assert None not in [heal["outcome"] for heal in incident["heals"]]

    def _delivered(self) -> dict[str, Any] | None:
        """The incident, the only one, once all its notifications are settled."""
        (found,) = self.sidecar.get("api/incidents")["incidents"]
        incident: dict[str, Any] = self.sidecar.get(f"api/incidents/{found['id']}")
        queued = [row for row in incident["notifications"] if row["status"] == "queued"]
        return incident if not queued and found["resolved_at"] else None

    def _check_notifications(self, incident: dict[str, Any]) -> None:
        """Each once, the opening first, the end last; a repetition carries the key of what it repeats."""
        rows = incident["notifications"]
        kinds = [row["kind"] for row in rows]
        assert {row["status"] for row in rows} == {"delivered"}
        assert [kinds.count(kind) for kind in ("opened", "resolved")] == [1, 1], kinds
        assert (kinds[0], kinds[-1]) == ("opened", "resolved")
        receipts: dict[str, list[Receipt]] = {}
        for receipt in self.pager.receipts:
            assert re.search(rf"^Incident {incident['id']}\b", receipt.body, re.MULTILINE)
            receipts.setdefault(receipt.idempotency_key, []).append(receipt)
        # In the order of their first arrival, what was received is what was decided.
        assert [(same[0].title, same[0].body) for same in receipts.values()] == [
            (row["title"], row["body"]) for row in rows
        ]
        for same in receipts.values():
            assert len({(receipt.title, receipt.body) for receipt in same}) == 1


@contextlib.contextmanager
def ordeal(
    folder: Path,
    database: str,
    warmth: Warmth,
    *,
    harm: Harm | None = None,
    policy: dict[str, str] | None = None,
    through: str | None = None,
    gated: bool = False,
) -> Iterator[Ordeal]:
    """A healthy sidecar on `database`, seen `through` another address if that is given."""
    folder.mkdir(exist_ok=True)
    heal = [sys.executable, "-m", "tests.logged_heal", str(folder / "heals")]
    with Pager() as pager:
        sidecar = WarmSidecar(
            folder,
            database,
            {"NOTIFY": f"{pager.apprise_url}notify"},
            {**QUICK, **(policy or {})},
            plan=quick_plan(folder),
            run=[*heal, str(folder / "gate")] if gated else heal,
            after=["true"],
            through=through,
            warmth=warmth,
            harm=harm or Harm(),
        )
        begun = Ordeal(folder, database, sidecar, pager)
        try:
            sidecar.start()
            yield begun
        finally:
            if sidecar.process is not None:
                sidecar.process.kill()
                sidecar.process.wait(DEADLINE)


@dataclass(frozen=True)
class Stage:
    """What ordeals begin with: each gets a folder below `folder`, and a clone of `template`."""

    folder: Path
    server: PostgresForTests
    template: str
    warmth: Warmth

    @contextlib.contextmanager
    def ordeal(self, name: str, **how: Any) -> Iterator[Ordeal]:
        with (
            new_database(self.server, template=self.template) as database,
            ordeal(self.folder / name, database, self.warmth, **how) as begun,
            _telling(begun),
        ):
            yield begun

    @contextlib.contextmanager
    def ordeal_through_proxy(self, name: str, **how: Any) -> Iterator[tuple[Ordeal, TcpProxy]]:
        """Its sidecar sees the database through the proxy; its heals go straight to it."""
        with new_database(self.server, template=self.template) as database:
            place = urlsplit(database)
            with TcpProxy(place.hostname or "", place.port or 0) as proxy:
                through = database.replace(f":{place.port}/", f":{proxy.port}/")
                with (
                    ordeal(self.folder / name, database, self.warmth, through=through, **how) as begun,
                    _telling(begun),
                ):
                    yield begun, proxy


def quick_plan(folder: Path) -> list[str]:
    """The command that plans; its statement is kept in `folder`."""
    statement = folder / "plan.sql"
    statement.write_text(PLAN % ", ".join(_missing(*each) for each in CONTEXT.items()))
    psql = str(find_binaries().program("psql"))
    return [psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", str(statement)]


def side_by_side(cases: Mapping[str, Callable[[], bool | None]]) -> list[bool]:
    """Run all; an ExceptionGroup of those that failed, each with the name of its case."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        running = {name: threads.submit(case) for name, case in cases.items()}
    failures = []
    for name, ran in running.items():
        if (failure := ran.exception()) is not None:
            failure.add_note(name)
            failures.append(failure)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases failed", failures)
    return [bool(ran.result()) for ran in running.values()]


def _missing(table: str, expected: int) -> str:
    return f"('{table}', {expected} - (SELECT count(*)::int FROM {table}))"


@contextlib.contextmanager
def _telling(ordeal: Ordeal) -> Iterator[None]:
    """What fails brings the end of the sidecar's log with it."""
    try:
        yield
    except BaseException as failure:
        failure.add_note("\n".join(ordeal.sidecar.log.splitlines()[-40:]))
        raise


def _alive(pid: str) -> bool:
    """Whether a process runs. One that has ended may stay in /proc until somebody reaps it."""
    try:
        state = Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"

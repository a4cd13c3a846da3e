"""Several sidecars that watch one database: each has its own state; one log of heals, one pager."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from alpimonitor_rehearsal.pager import Pager, Receipt
from alpimonitor_rehearsal.waiting import wait_until
from tests.ordeals import DEADLINE, QUICK, WarmSidecar, quick_plan
from tests.sidecars import CONTEXT, rows
from tests.warm_start import Warmth

LEDGER = "SELECT sidecar, outcome FROM alpimonitor_watchdog.heal_attempt ORDER BY at"


@dataclass
class Member:
    """One of them. `name` is also the path at which the pager hears of it."""

    name: str
    sidecar: WarmSidecar
    pager: Pager

    def leads(self) -> bool:
        return bool((self.sidecar.state().get("leader") or {}).get("leads"))

    def follows(self) -> bool:
        """It knows of another that leads."""
        leader = self.sidecar.state().get("leader") or {}
        return leader.get("leads") is False and leader.get("other_pid") is not None

    def heals(self) -> list[Any]:
        """How its heals ended, as its own record has it."""
        listed = self.sidecar.get("api/incidents")["incidents"]
        details = [self.sidecar.get(f"api/incidents/{incident['id']}") for incident in listed]
        return [heal["outcome"] for detail in details for heal in detail["heals"]]

    def told(self, kind: str) -> list[str]:
        """The keys of the incidents of which the pager was told `kind`: "opened", "resolved", …

        A notification that was sent twice, because its sender died before it knew of the first time, is one.
        """
        once = dict.fromkeys(receipt.idempotency_key for receipt in self.receipts())
        return [incident for incident, of, _, _ in (key.rsplit("-", 3) for key in once) if of == kind]

    def until_told(self, kind: str, times: int = 1) -> list[str]:
        return wait_until(
            f"{self.name} telling {kind}",
            lambda: told if len(told := self.told(kind)) >= times else None,
            deadline=DEADLINE,
        )

    def receipts(self) -> list[Receipt]:
        return [receipt for receipt in self.pager.receipts if receipt.path == f"/{self.name}"]


@dataclass
class Team:
    """Sidecars on `database`, started by `start`, all stopped at the end."""

    folder: Path
    database: str
    warmth: Warmth
    pager: Pager
    members: list[Member] = field(default_factory=list)

    def start(
        self,
        name: str,
        *,
        policy: Mapping[str, str | int] | None = None,
        gated: bool = False,
        through: str | None = None,
        extra: str = "",
    ) -> Member:
        """One more, healthy, once it knows who leads: the first does. `gated`: its heals wait for `gate`."""
        folder = self.folder / name
        folder.mkdir()
        heal = [sys.executable, "-m", "tests.logged_heal", str(self.folder / "heals")]
        sidecar = WarmSidecar(
            folder,
            self.database,
            {"NOTIFY": f"{self.pager.apprise_url}{name}"},
            {**QUICK, **(policy or {})},
            plan=quick_plan(folder),
            run=[*heal, str(self.gate)] if gated else heal,
            after=["true"],
            extra=extra,
            through=through,
            warmth=self.warmth,
        )
        member = Member(name, sidecar, self.pager)
        self.members.append(member)
        sidecar.start()
        sidecar.until("healthy")
        known = member.follows if len(self.members) > 1 else member.leads
        wait_until(f"{name} knowing who leads", known, deadline=DEADLINE)
        return member

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def heal_log(self) -> list[tuple[str, int]]:
        """("begin" | "end" | "overlap", process id), in the order in which they happened."""
        log = self.folder / "heals"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def events(self) -> list[str]:
        return [event for event, _ in self.heal_log]

    def until_a_heal_begins(self) -> int:
        """Its process id."""
        return wait_until("the beginning of a heal", lambda: self.heal_log, deadline=DEADLINE)[0][1]

    def ledger(self) -> list[tuple[str, str | None]]:
        """(name, outcome) of every heal that the database has recorded, the oldest first."""
        names = {
            f"{socket.gethostname()}:{(each.sidecar.folder / 'state').resolve()}": each.name
            for each in self.members
        }
        with psycopg.connect(self.database) as connection:
            return [(names[sidecar], outcome) for sidecar, outcome in connection.execute(LEDGER)]

    def until_healthy(self, *members: Member) -> None:
        """At rest, the rows back, and the ledger written."""
        for member in members:
            member.sidecar.until("healthy", DEADLINE)
        assert rows(self.database) == CONTEXT
        assert "overlap" not in self.events()


@contextlib.contextmanager
def team(folder: Path, database: str, warmth: Warmth) -> Iterator[Team]:
    with Pager() as pager:
        begun = Team(folder, database, warmth, pager)
        try:
            yield begun
        finally:
            for member in begun.members:
                if member.sidecar.process is not None:
                    member.sidecar.process.kill()
            for member in begun.members:
                if member.sidecar.process is not None:
                    member.sidecar.process.wait(DEADLINE)


def leading(*members: Member) -> Member:
    """The one of them that leads, as soon as there is one, and the others know it."""

    def known() -> Member | None:
        leaders = [member for member in members if member.leads()]
        others = [member for member in members if member not in leaders]
        return leaders[0] if len(leaders) == 1 and all(member.follows() for member in others) else None

    return wait_until("one leading", known, deadline=DEADLINE)

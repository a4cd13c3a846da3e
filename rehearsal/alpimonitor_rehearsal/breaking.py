"""Breaks a database as a scenario says, by what an operator would use: psql, pg_dump, the server's own files.

It knows nothing of a sidecar. The one place that all see the database at is the network's address.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alpimonitor_rehearsal.postgres import PostgresServer, running_postgres
from alpimonitor_rehearsal.postgres.cluster import SUPERUSER
from alpimonitor_rehearsal.processes import environment, python_module
from alpimonitor_rehearsal.psql import run_psql
from alpimonitor_rehearsal.roles import OWNER, Login
from alpimonitor_rehearsal.scenarios import OPERATOR, Act, By, Kind, Script, Step
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_seed.fixtures import SHIPPED

BESIDE = "postgres"  # a database that is in every cluster
HOST = "127.0.0.1"


class StepFailed(RuntimeError):
    """A step could not be carried out. The message says which, and what its program said."""


@dataclass(frozen=True)
class States:
    """Data directories of stopped servers, with the same roles and passwords."""

    seeded: Path  # where a scenario begins
    earlier: Path  # the same cluster before its seed
    fresh: Path  # another cluster: its database is empty
    elsewhere: Path  # that one, migrated and seeded: another deployment


@dataclass(frozen=True)
class Site:
    """Where something is broken. `folder` is closed to others; the sidecar sees the server by `network`."""

    server: PostgresServer
    kind: Kind
    logins: Mapping[str, Login]
    states: States
    network: TcpProxy
    folder: Path
    stack: contextlib.ExitStack  # of what a step starts

    def url(self, role: str) -> str:
        """How `role` reaches the guarded database, around the network."""
        return at(self.logins[role], self.server.port, self.kind)

    def seen_url(self, role: str) -> str:
        """How `role` reaches it through the network, whatever stands behind that by then."""
        return at(self.logins[role], self.network.port, self.kind)

    def settings(self, script: Script) -> dict[str, str]:
        """The environment of an operator's shell."""
        superuser = self.server.environment()
        password = superuser["PGPASSWORD"] if script.by is By.SUPERUSER else self.logins[OWNER].password
        return environment(self.folder, os.environ) | {
            **superuser,
            "PGUSER": SUPERUSER if script.by is By.SUPERUSER else OWNER,
            "PGPASSWORD": password,
            "PGDATABASE": BESIDE if script.beside else self.kind.value,
            "PGAPPNAME": OPERATOR,
        }


def at(login: Login, port: int, kind: Kind) -> str:
    """The URL of a login for another port and another database than its own."""
    return f"{replace(login, port=port).url.rpartition('/')[0]}/{kind.value}"


def carry_out(step: Step, site: Site) -> None:
    """Do it, and return when it is done. Raises PsqlFailed, StepFailed or PostgresError."""
    if isinstance(step, Script):
        run_psql(site.server.psql, step.sql, site.settings(step), together=step.together)
    else:
        ACTS[step](site)


def _restart(site: Site) -> None:
    site.server.restart()


def _crash(site: Site) -> None:
    site.server.crash()
    site.server.start()


def _take_the_place_of_an_earlier_state(site: Site) -> None:
    _replaced(site, site.states.earlier)


def _start_afresh(site: Site) -> None:
    _replaced(site, site.states.fresh)


def _replaced(site: Site, root: Path) -> None:
    site.server.stop()
    site.server.become_copy_of(root)
    site.server.start()


def _follow(site: Site) -> None:
    site.server.stop()
    site.server.become_standby()
    site.server.start()


def _promote(site: Site) -> None:
    carry_out(Script("SELECT pg_promote();", by=By.SUPERUSER, beside=True), site)


def _lead_elsewhere(site: Site) -> None:
    other = site.stack.enter_context(
        running_postgres(
            copy_of=site.states.elsewhere,
            binaries=site.server.binaries,
            temporary=site.states.elsewhere.parent,
        )
    )
    site.network.lead_to(HOST, other.port)


def _dump(site: Site) -> None:
    settings = site.settings(Script("", by=By.SUPERUSER))
    _run("pg_dump", [str(site.server.pg_dump), f"--file={_dump_of(site)}"], settings)


def _load_the_dump(site: Site) -> None:
    carry_out(Script(_dump_of(site).read_text(encoding="utf-8"), by=By.SUPERUSER), site)


def _dump_of(site: Site) -> Path:
    return site.folder / "dump.sql"


def _prune(site: Site) -> None:
    fixtures = site.folder / "fixtures"
    fixtures.mkdir()
    for file in SHIPPED.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        if file.stem == "withdrawal":
            text = text.rpartition("[[withdrawal]]")[0]
        (fixtures / file.name).write_text(text, encoding="utf-8")
    command = python_module(
        "alpimonitor_cli.main", "seed", "--mode=converge", "--prune", "--max-prune=1",
        f"--fixtures={fixtures}", "--reason=the pump at Arolla was dismantled",
    )  # fmt: skip
    # The owner, as whoever corrects the context by hand: the seed of a boot never prunes.
    settings = environment(site.folder, os.environ) | {"SEED_DATABASE_URL": site.url(OWNER)}
    _run("alpimonitor seed", command, settings)


def _run(name: str, command: list[str], settings: Mapping[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=dict(settings), check=False)
    if done.returncode != 0:
        raise StepFailed(
            f"{name} was expected to exit 0, it exited {done.returncode}: {done.stderr.strip()[-600:]}"
        )


ACTS = {
    Act.RESTART: _restart,
    Act.CRASH: _crash,
    Act.TAKE_THE_PLACE_OF_AN_EARLIER_STATE: _take_the_place_of_an_earlier_state,
    Act.START_AFRESH: _start_afresh,
    Act.FOLLOW: _follow,
    Act.PROMOTE: _promote,
    Act.LEAD_ELSEWHERE: _lead_elsewhere,
    Act.DUMP: _dump,
    Act.LOAD_THE_DUMP: _load_the_dump,
    Act.PRUNE: _prune,
}

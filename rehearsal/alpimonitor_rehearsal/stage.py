"""The stage of a demo: a database, the API, one or two sidecars, the outside world, each its own process."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alpimonitor_rehearsal.outside import Addresses, Outside
from alpimonitor_rehearsal.postgres import PostgresServer, free_port, running_postgres
from alpimonitor_rehearsal.processes import Child, Processes, ProcessFailed, environment, python_module
from alpimonitor_rehearsal.psql import PsqlFailed, run_psql
from alpimonitor_rehearsal.roles import (
    API,
    DATABASE,
    HEALER,
    OWNER,
    SEEDER,
    WATCHDOG,
    Login,
    RolesFailed,
    administration,
    create_database,
)
from alpimonitor_rehearsal.scenarios import CONTEXT, OPERATOR
from alpimonitor_rehearsal.sidecar_view import SidecarView
from alpimonitor_rehearsal.sightings import FIRST, SECOND, STATION_FIELDS, SidecarSeen, Station
from alpimonitor_rehearsal.story import NOTIFY, PAGE, Beat
from alpimonitor_rehearsal.tcp_proxy import TcpProxy

READY_WITHIN = 60.0  # seconds, for each process

LIVE = "live"
SIMULATED = "simulated"

Tell = Callable[[Beat], None]


class StageFailed(RuntimeError):
    """The stage could not be set. The message says what was expected and what was seen instead."""


@dataclass(frozen=True)
class Props:
    """What stands on the stage, for whoever wants to look or to break something."""

    server: PostgresServer
    processes: Processes
    addresses: Addresses
    outside: Outside
    folder: Path
    config: str  # the text of watchdog.toml
    network: TcpProxy | None = None  # between the first sidecar and the database, where there are two

    def ended(self) -> list[Child]:
        """The processes that are gone and should not be."""
        return [child for child in self.processes.children if child.exit_code is not None]

    def psql(self, script: str) -> float:
        """Run `script` with psql, as an operator with the owner's credentials would.

        Returns the monotonic second of its exit. Raises StageFailed when psql does not succeed.
        """
        try:
            run_psql(self.server.psql, script, environment(self.folder, os.environ) | self.operator())
        except PsqlFailed as error:
            raise StageFailed(str(error)) from error
        return time.monotonic()

    def operator(self) -> dict[str, str]:
        """The settings of an operator's shell; the password is in a file that only its owner reads."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.server.port),
            "PGUSER": OWNER,
            "PGDATABASE": DATABASE,
            "PGPASSFILE": str(self.folder / "pgpass"),
            "PGAPPNAME": OPERATOR,
        }

    def psql_line(self) -> str:
        """A line for another terminal that connects as the tables' owner."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.operator().items())
        return f"{settings} {shlex.quote(str(self.server.psql))}"

    def command_line(self) -> str:
        """The beginning of a line that speaks with the sidecar, of two with the second.

        And with the database, as the sidecar's role: the password is in the file, not in the line.
        """
        settings = {
            "WATCHDOG_DATABASE_URL": f"postgresql://{WATCHDOG}@127.0.0.1:{self.server.port}/{DATABASE}",
            "PGPASSFILE": str(self.folder / "pgpass"),
            "WATCHDOG_CONFIG": str(self.folder / "watchdog.toml"),
            "ALPIMONITOR_API_URL": self.addresses.api.removesuffix("/api/v1"),
            "WATCHDOG_LISTEN": self.addresses.sidecar.removeprefix("http://"),
            "WATCHDOG_STATE_DIR": str(self.folder / _state_folder("" if self.network is None else SECOND)),
        }
        begin = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        return f"{begin} {shlex.quote(str(Path(sys.executable).with_name('alpimonitor')))}"


@contextlib.contextmanager
def set_stage(
    folder: Path, *, lindas: str, config: str, tell: Tell, two_sidecars: bool = False
) -> Iterator[Props]:
    """Start everything and wait until the API serves what ingestion has seen and the sidecar watches.

    `lindas` is `simulated`, `live` or the path of a payload; `config` is the text of watchdog.toml. Of two
    sidecars the first leads, and sees the database through a network of its own. Call it from the main
    thread. Raises PostgresError, ProcessFailed or StageFailed.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_postgres())
        # It goes with its data directory; what it said may explain what went wrong.
        stack.callback(_keep_log, server, folder)
        tell(Beat(f"started {server.description} on 127.0.0.1:{server.port} (pid {server.pid})"))
        processes = stack.enter_context(Processes(folder))
        base = environment(folder, os.environ, internet=lindas == LIVE)

        endpoint = {} if lindas == LIVE else {"LINDAS_ENDPOINT": _start_lindas(processes, base, lindas, tell)}
        pager = processes.start("pager", python_module("alpimonitor_rehearsal.pager"), base)
        pager_url = pager.announcement(deadline=READY_WITHIN)["url"]
        tell(Beat(f"started a pager on {pager_url} (pid {pager.pid})"))

        try:
            logins = create_database(server.url(), server.port)
        except RolesFailed as error:
            raise StageFailed(str(error)) from error
        _write_pgpass(folder, logins)
        ingestion = {**endpoint, "LINDAS_ARCHIVE_DIR": str(folder / "archive")}
        # Once there are tables it gives the roles their rights on them; the server begins without all that.
        admin = administration(server.url(), logins)
        api_url = _start_api(processes, base | ingestion | admin, logins, tell)

        addresses = Addresses(
            api=f"{api_url}/api/v1",
            sidecar=f"http://127.0.0.1:{free_port()}",
            pager=pager_url,
            database=server.url(DATABASE),
            first=f"http://127.0.0.1:{free_port()}" if two_sidecars else None,
        )
        outside = stack.enter_context(Outside(addresses, CONTEXT))
        network = stack.enter_context(TcpProxy("127.0.0.1", server.port)) if two_sidecars else None
        props = Props(server, processes, addresses, outside, folder, config, network)
        _wait_for_the_api(props)

        for sidecar in _sidecars(props, logins[WATCHDOG]):
            _start_sidecar(props, sidecar, base | ingestion, logins, tell)
        yield props


def _start_lindas(processes: Processes, base: Mapping[str, str], lindas: str, tell: Tell) -> str:
    arguments = [] if lindas == SIMULATED else ["--file", lindas]
    child = processes.start("LINDAS", python_module("alpimonitor_rehearsal.simulator", *arguments), base)
    url = child.announcement(deadline=READY_WITHIN)["url"]
    what = "simulated" if lindas == SIMULATED else f"from {lindas}"
    tell(Beat(f"started LINDAS, {what}, on {url} (pid {child.pid})"))
    return url


def _start_api(processes: Processes, base: Mapping[str, str], logins: Mapping[str, Login], tell: Tell) -> str:
    settings = {
        **base,
        "DATABASE_URL": logins[API].url,
        "OWNER_DATABASE_URL": logins[OWNER].url,
        "SEED_DATABASE_URL": logins[SEEDER].url,
        "SEED_ON_BOOT": "true",
        "INGESTION_ENABLED": "true",
        "PORT": "0",
        # The demo looks many times a second, from one address.
        "RATE_LIMIT": "1000000",
    }
    child = processes.start("API", python_module("alpimonitor_cli.main", "boot"), settings)

    def listening() -> re.Match[str] | None:
        return re.search(r"listens on (http://[\w.:]+)", child.logged())

    url = child.until("say where it listens", listening, deadline=READY_WITHIN).group(1)
    tell(Beat(f"started alpimonitor boot: the API on {url} (pid {child.pid})"))
    return url


def _wait_for_the_api(props: Props) -> None:
    """Until it serves stations and ingestion has seen every LIVE one. Raises ProcessFailed or StageFailed."""
    child = props.processes.children[-1]

    def served() -> frozenset[Station] | None:
        return props.outside.api().stations

    stations = child.until("answer /stations", served, deadline=READY_WITHIN)
    run = child.until("finish a run of ingestion", props.outside.ingestion, deadline=READY_WITHIN)
    live = sum(station[STATION_FIELDS.index("dataSource")] == "LIVE" for station in stations)
    if run["stationsSeenCount"] != live:
        raise StageFailed(
            f"expected: the first run of ingestion sees all {live} LIVE stations. Seen: "
            f"{run['stationsSeenCount']}, status {run['status']}, {run['errorMessage'] or 'no error'}"
        )


@dataclass(frozen=True)
class _Sidecar:
    """One that is to be started. `called` is empty where it is the only one."""

    called: str
    view: SidecarView
    login: Login
    is_ready: Callable[[SidecarSeen], bool] = lambda _: True


def _sidecars(props: Props, login: Login) -> tuple[_Sidecar, ...]:
    """In the order of their start: the first one leads because it comes first."""
    if props.network is None or props.outside.first is None:
        return (_Sidecar("", props.outside.sidecar, login),)
    through = replace(login, port=props.network.port)
    return (
        _Sidecar(FIRST, props.outside.first, through, lambda seen: seen.leads),
        _Sidecar(SECOND, props.outside.sidecar, login, lambda seen: seen.follows),
    )


def _start_sidecar(
    props: Props, sidecar: _Sidecar, base: Mapping[str, str], logins: Mapping[str, Login], tell: Tell
) -> None:
    called = sidecar.called
    config = props.folder / "watchdog.toml"
    config.write_text(props.config, encoding="utf-8")
    pager = props.addresses.pager.replace("http://", "json://") + (f"/{called}" if called else "")
    settings = {
        **base,
        "WATCHDOG_CONFIG": str(config),
        "WATCHDOG_STATE_DIR": str(props.folder / _state_folder(called)),
        "WATCHDOG_LISTEN": sidecar.view.address.removeprefix("http://"),
        "WATCHDOG_DATABASE_URL": sidecar.login.url,
        "WATCHDOG_NOTIFY_URL": f"{pager}/{NOTIFY}",
        "WATCHDOG_PAGE_URL": f"{pager}/{PAGE}",
        "ALPIMONITOR_API_URL": props.addresses.api.removesuffix("/api/v1"),
        # For the programs that the profile declares, the seed and one run of ingestion: straight to it.
        "SEED_DATABASE_URL": logins[HEALER].url,
        "DATABASE_URL": logins[API].url,
    }
    child = props.processes.start(
        f"{called} sidecar".strip(), python_module("alpimonitor_cli.main", "watchdog", "run"), settings
    )
    which = f", the {called} sidecar" if called else ""
    tell(
        Beat(f"started alpimonitor watchdog run{which}: its page on {sidecar.view.address} (pid {child.pid})")
    )

    def watching() -> bool:
        seen = sidecar.view.look()
        return sidecar.view.ready() and seen is not None and seen.up and sidecar.is_ready(seen)

    child.until("get ready", watching, deadline=READY_WITHIN)


def _state_folder(called: str) -> str:
    return f"watchdog-{called}" if called else "watchdog"


def _write_pgpass(folder: Path, logins: Mapping[str, Login]) -> None:
    descriptor = os.open(folder / "pgpass", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(logins[OWNER].pgpass + logins[WATCHDOG].pgpass)


def _keep_log(server: PostgresServer, folder: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.copyfile(server.server_log, folder / "postgresql.log")


__all__ = ["LIVE", "SIMULATED", "ProcessFailed", "Props", "StageFailed", "Tell", "set_stage"]

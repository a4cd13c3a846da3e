"""The commands of `alpimonitor`: mounts each package's own and imports only the one that was asked for.

Exit codes, every command: 0 it holds or is done; 1 it does not hold; 2 usage or settings; 3 refused by
preflight; 4 refused by the prune guard; 5 database unreachable; 6 migration failed; 7 refused by a guard
rail; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class Mount:
    """Where a command lives: `module` holds a Typer application named `app`."""

    module: str
    summary: str


MOUNTS = {
    "boot": Mount("alpimonitor_cli.boot", "Wait for the database, migrate, seed if asked, serve the API."),
    "db": Mount("alpimonitor_cli.db", "Migrate the database, or say at which revision it is."),
    "demo": Mount("alpimonitor_rehearsal.cli", "Wipe a real database and watch it being healed."),
    "incident": Mount(
        "alpimonitor_watchdog.incident_cli", "Incidents and their evidence: list, show, verify, export."
    ),
    "ingest": Mount(
        "alpimonitor_api.ingest.cli", "Fetch live measurements from LINDAS, or read them from a file."
    ),
    "roles": Mount(
        "alpimonitor_cli.roles.cli", "Give each part a role of its own, with the rights it needs."
    ),
    "recorder": Mount(
        "alpimonitor_watchdog.recorder_cli", "Record in the database who deletes, truncates or drops."
    ),
    "seed": Mount("alpimonitor_seed.cli", "Converge a database to the fixtures."),
    "settings": Mount("alpimonitor_cli.settings", "Explain every setting: watchdog.toml and environment."),
    "status": Mount("alpimonitor_watchdog.status_cli", "Say how a running sidecar sees the database."),
    "token": Mount("alpimonitor_api.tokens_cli", "Make, list and revoke the tokens of the API's operators."),
    "watchdog": Mount("alpimonitor_watchdog.cli", "Run the sidecar, or check what it rests on."),
}


class LazyGroup(TyperGroup):
    """Loads a command's module when the command is named, so that `--help` and each command start quickly."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(MOUNTS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        mount = MOUNTS.get(cmd_name)
        if mount is None:
            return None
        try:
            module = importlib.import_module(mount.module)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("alpimonitor_"):
                raise
            sys.stderr.write(
                f"alpimonitor {cmd_name}: the Python package {error.name} is not installed; "
                "this command needs the extra alpimonitor[rehearsal]\n"
            )
            raise SystemExit(2) from error
        command = get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, mount.summary) for name, mount in sorted(MOUNTS.items())])


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def root(ctx: typer.Context) -> None:
    """AlpiMonitor: a hydrology API, and the sidecar that puts its lost rows back.

    Each command has its own --help with examples and exit codes.
    """
    # Called when the command's module is loaded and before the command begins: see main.py.
    begins: Callable[[], None] | None = ctx.obj
    if begins is not None:
        begins()

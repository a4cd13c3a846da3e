"""`alpimonitor watchdog init`: looks at a live database and writes a watchdog.toml for it."""

from __future__ import annotations

import json
import os
import socket
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from .declaration import PolicySection
from .problems import SettingsError
from .variables import database_url

_SETTINGS, _UNREACHABLE = 2, 5  # exit codes
_STANDARD_OUTPUT = Path("-")


def init(
    url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="The database; default: WATCHDOG_DATABASE_URL, which keeps a password out of process lists.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Where to write; - is standard output.")
    ] = Path("watchdog.toml"),
    schema: Annotated[
        list[str] | None, typer.Option("--schema", metavar="NAME", help="Only this schema; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="PATTERN", help="Not these tables: audit_*, public.Audit*; repeatable."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Look at a live database and write a commented watchdog.toml for it, with healing dry-run.

    Only reads, in one transaction, and counts no table beyond count_limit. Says which rights watching, naming
    and healing need. The result is no backup, and a draft: read it.

    Exit codes: 0 written; 2 usage, the file is there, or there is nothing to guard; 5 database unreachable;
    130 interrupted.

    \b
    Examples:
      WATCHDOG_DATABASE_URL=postgresql://watch@db/app alpimonitor watchdog init
      alpimonitor watchdog init --database-url postgresql://watch@db/app --output - --json
      alpimonitor watchdog init --schema public --exclude 'audit_*' --output /etc/alpimonitor/watchdog.toml
    """
    from .init.inspect import inspect  # what only this command needs
    from .init.propose import propose
    from .init.save import save
    from .init.selection import Selection
    from .init.tell import as_json as described
    from .init.tell import rights, told
    from .init.write import text
    from .probe import link

    file = None if output == _STANDARD_OUTPUT else output
    if file is not None and file.exists() and not force:
        _refuse_to_replace(file)
    selection = Selection(tuple(schema or ()), tuple(exclude or ()))
    try:
        found = inspect(
            _database_url(url).get_secret_value(),
            selection,
            count_limit=PolicySection().count_limit,
            application_name=link.application_name(
                version("alpimonitor"), socket.gethostname(), os.getpid(), "init"
            ),
            monotonic=time.monotonic,
        )
    except link.Unseeable as error:
        _fail(f"{error.detail}: start the database, or correct the URL; nothing is written", _UNREACHABLE)
    proposal = propose(found, selection)
    if not proposal.guards:
        if proposal.blind:
            for line in rights(proposal):
                typer.echo(line, err=True)
            _fail(f"{proposal.warnings[0]} Nothing is written.", _SETTINGS)
        _fail(
            f"{proposal.place} has no table to guard ({len(proposal.passed)} passed over): migrate it first, "
            "or correct the database in the URL, --schema and --exclude; nothing is written",
            _SETTINGS,
        )
    toml = text(proposal)
    if file is not None:
        try:
            save(file, toml, replace=force)
        except FileExistsError:
            _refuse_to_replace(file)
        except OSError as error:
            _fail(f"{file} cannot be written ({error.strerror}): name another place with --output", _SETTINGS)
    if as_json:
        typer.echo(json.dumps(described(proposal, file, toml), indent=2))
        return
    if file is None:
        typer.echo(toml, nl=False)
    for line in told(proposal, file):
        typer.echo(line, err=file is None)


def _database_url(given: str | None) -> SecretStr:
    """From the option, else from the environment; exits 2 when it cannot be used."""
    if given is not None and not given.strip():
        _fail("--database-url is empty: is the variable that it was taken from set?", _SETTINGS)
    try:
        if given is None:
            return database_url("WATCHDOG_DATABASE_URL", os.environ)
        url = database_url("--database-url", {"--database-url": given})
    except SettingsError as error:
        _fail(str(error), _SETTINGS)
    if conninfo_to_dict(url.get_secret_value()).get("password"):
        typer.echo(
            "WARNING: a password in --database-url shows in process lists and in the shell's history: "
            "better set WATCHDOG_DATABASE_URL, or keep the password in ~/.pgpass",
            err=True,
        )
    return url


def _refuse_to_replace(file: Path) -> NoReturn:
    _fail(
        f"{file} is there and is left as it is: replace it with --force, or name another with --output",
        _SETTINGS,
    )


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"alpimonitor watchdog init: {message}", err=True)
    raise typer.Exit(code)

"""`alpimonitor watchdog ledger`: the table in which all sidecars of one database record their heals."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from .problems import SettingsError
from .variables import database_url

_SETTINGS, _UNREACHABLE = 2, 5  # exit codes
_OWNER = "OWNER_DATABASE_URL"
_STATEMENT_SECONDS = 10.0


def ledger(
    role: Annotated[
        str, typer.Option("--role", metavar="NAME", help="The role that the sidecars connect as.")
    ],
    apply: Annotated[
        bool, typer.Option("--apply", help=f"Run it, as the owner that {_OWNER} names; safe to repeat.")
    ] = False,
) -> None:
    """Print the SQL of the ledger of heals, or apply it.

    In it several sidecars share one budget; without it each counts only its own heals. AlpiMonitor's own
    migrations make it: this is for any other database. The sidecars' role may add to it and delete nothing.

    Exit codes: 0 printed or applied; 1 the server refused it; 2 usage or settings; 5 database unreachable;
    130 interrupted.

    \b
    Examples:
      alpimonitor watchdog ledger --role alpimonitor_watch | psql "$OWNER_DATABASE_URL"
      OWNER_DATABASE_URL=postgresql://owner@db/app alpimonitor watchdog ledger --role watch --apply
    """
    import psycopg  # what only this command needs

    from .leadership.ledger import LEDGER_SQL, grants
    from .probe import link

    statements = f"{LEDGER_SQL.read_text(encoding='utf-8')}\n{grants(role)}\n"
    if not apply:
        typer.echo(statements, nl=False)
        return
    try:
        url = database_url(_OWNER, os.environ).get_secret_value()
    except SettingsError as error:
        _fail(str(error), _SETTINGS)
    name = link.application_name(version("alpimonitor"), socket.gethostname(), os.getpid(), "ledger")
    owner = link.Link(url, timeout=_STATEMENT_SECONDS, application_name=name)
    try:
        connection = owner.open()
        with connection.transaction():
            connection.execute(statements)  # no value in it but a quoted name
    except link.Unseeable as error:
        _fail(f"{error.detail}: start the database, or correct {_OWNER}", _UNREACHABLE)
    except psycopg.Error as error:
        _fail(f"{owner.place} refused the ledger ({link.unseen(error)[1]}); nothing was changed", 1)
    finally:
        owner.drop()
    typer.echo(f"{owner.place}: the ledger of heals is there, and {role} may keep it.")


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"alpimonitor watchdog ledger: {message}", err=True)
    raise typer.Exit(code)

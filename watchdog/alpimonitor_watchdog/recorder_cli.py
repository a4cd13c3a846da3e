"""`alpimonitor recorder`: the flight recorder in any database: install, status, remove, prune."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .durations import seconds
from .problems import SettingsError
from .variables import database_url

if TYPE_CHECKING:
    from .probe.link import Link
    from .recorder.wishes import Wish

_UNDONE, _SETTINGS, _UNREACHABLE = 1, 2, 5  # exit codes
_OWNER = "OWNER_DATABASE_URL"
_STATEMENT_SECONDS = 60.0
_CODES = (
    "Exit codes: 0 {holds}; 1 {fails}; 2 usage or settings; 5 database unreachable; "
    "130 interrupted, what was done stays."
)

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Record in the database who deletes, truncates, changes or drops, and in which transaction.",
)

UrlVariable = Annotated[
    str,
    typer.Option(
        "--database-url-env", metavar="NAME", help="The variable with the URL of the tables' owner."
    ),
]
Tables = Annotated[
    str | None,
    typer.Option(
        "--tables",
        metavar="A,B",
        help="Tables whose rows are to stay; default, without --operational: those of WATCHDOG_CONFIG.",
    ),
]
Operational = Annotated[
    str | None,
    typer.Option(
        "--operational", metavar="A,B", help="Tables of which only DELETE and TRUNCATE are recorded."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command(
    epilog=_CODES.format(holds="every table is guarded", fails="some are not, or the server refused it")
)
def install(
    tables: Tables = None,
    operational: Operational = None,
    keep_literals: Annotated[
        bool | None,
        typer.Option(
            "--keep-literals/--mask-literals",
            help="Record statements with their values, or masked; default: as installed, else masked.",
        ),
    ] = None,
    journal: Annotated[
        int | None,
        typer.Option(
            "--journal",
            metavar="N",
            min=0,
            max=100_000,
            help="Keep so many rows of each statement of --tables; default: as installed, else 0.",
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option("--reader", metavar="ROLE", help="The sidecar's role: it may read the evidence."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "--sql", help="Only print the SQL, for managed servers or to read it."),
    ] = False,
    url_variable: UrlVariable = _OWNER,
    as_json: AsJson = False,
) -> None:
    """Install the flight recorder, or bring an installed one to what is asked. Safe to repeat.

    Needs the tables' owner, with CREATE on the database; what DROP takes is recorded where that role may make
    event triggers, too. Where a role alpimonitor_recorder exists that it may become, evidence is given to it:
    CREATE ROLE alpimonitor_recorder NOLOGIN. No table is waited for longer than a moment at a time.

    \b
    Examples:
      OWNER_DATABASE_URL=postgresql://owner@db/app alpimonitor recorder install --tables station,sensor
      alpimonitor recorder install --tables station --operational measurement --reader alpimonitor_watch
      alpimonitor recorder install --tables station --sql | psql "$OWNER_DATABASE_URL"
    """
    from .recorder.install import install  # what only this command needs
    from .recorder.tell import installed_as_json, told
    from .recorder.wishes import script

    wishes = _wishes("install", tables, operational, keep_literals=keep_literals, journal=journal)
    if dry_run:
        typer.echo(script(wishes, reader), nl=False)
        return
    with _linked("install", url_variable) as link:
        done = install(link, wishes, reader=reader, wait=threading.Event().wait, say=_progress)
        place = link.place
    if as_json:
        typer.echo(json.dumps(installed_as_json(done), indent=2))
    else:
        for line in told(done, place):
            typer.echo(line)
    raise typer.Exit(0 if done.holds else _UNDONE)


@app.command(epilog=_CODES.format(holds="armed", fails="not installed, or something is not recorded"))
def status(url_variable: UrlVariable = _OWNER, as_json: AsJson = False) -> None:
    """Say what the flight recorder records of each guarded table, and what it does not. Only reads.

    \b
    Examples:
      alpimonitor recorder status
      alpimonitor recorder status --database-url-env WATCHDOG_DATABASE_URL --json
    """
    from .recorder.status import status  # what only this command needs
    from .recorder.tell import described, state

    with _linked("status", url_variable) as link:
        found = status(link)
        place = link.place
    if as_json:
        typer.echo(json.dumps(described(found), indent=2))
    elif found is None:
        typer.echo(f"{place}: no flight recorder; install it: alpimonitor recorder install --tables A,B")
    else:
        for line in state(found, place):
            typer.echo(line)
    raise typer.Exit(0 if found is not None and found.armed else _UNDONE)


@app.command(epilog=_CODES.format(holds="removed", fails="some of it is still there"))
def remove(
    tables: Annotated[
        str | None,
        typer.Option(
            "--tables", metavar="A,B", help="Only from these tables; default: from every guarded one."
        ),
    ] = None,
    drop_evidence: Annotated[
        bool,
        typer.Option(
            "--drop-evidence", help="Drop what was recorded, too, and the recorder with it: for good."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really do it; else it is only said what goes.")] = False,
    url_variable: UrlVariable = _OWNER,
    as_json: AsJson = False,
) -> None:
    """Record no longer. What was recorded stays, unless --drop-evidence is given.

    \b
    Examples:
      alpimonitor recorder remove --tables measurement --yes
      alpimonitor recorder remove --drop-evidence --yes
    """
    from .probe import names  # what only this command needs
    from .recorder.remove import drop_evidence as drop
    from .recorder.remove import release, unwatch
    from .recorder.status import status
    from .recorder.tell import goes, outcomes

    named = _named("remove", tables, "--tables")
    if named and drop_evidence:
        _fail("remove", "--drop-evidence is about all tables: give it without --tables", _SETTINGS)
    with _linked("remove", url_variable) as link:
        found = status(link)
        if found is None:
            _fail("remove", f"{link.place} has no flight recorder: nothing to remove", _UNDONE)
        chosen = named or [t.name for t in found.tables if t.exists and t.kind]
        if not yes:
            for line in goes(found, chosen, everything=not named, evidence=drop_evidence):
                typer.echo(line, err=True)
            _fail("remove", "nothing was changed: repeat it with --yes", _SETTINGS)
        watched = found.drops and not named and not unwatch(link)
        done = release(
            link, [names.parse(name) for name in chosen], wait=threading.Event().wait, say=_progress
        )
        if drop_evidence and all(table.holds for table in done):
            drop(link)
    if as_json:
        typer.echo(json.dumps({"tables": outcomes(done)}, indent=2))
    else:
        for table in done:
            typer.echo(f"{table.table}: {table.outcome.value.replace('_', ' ')} {table.detail}".rstrip())
        if watched and not drop_evidence:
            typer.echo("DROP is still recorded: event triggers are a superuser's to drop")
    gone = all(table.holds for table in done) and (drop_evidence or not watched)
    raise typer.Exit(0 if gone else _UNDONE)


@app.command(epilog=_CODES.format(holds="pruned", fails="the server refused it"))
def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="DURATION", help="Such as 30d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many events would go.")] = False,
    url_variable: UrlVariable = _OWNER,
    as_json: AsJson = False,
) -> None:
    """Delete old events, and the rows that were kept of them. The sidecar's own copies are not touched.

    \b
    Examples:
      alpimonitor recorder prune --older-than 30d --dry-run
      alpimonitor recorder prune --older-than 90d
    """
    from .recorder.remove import prune  # what only this command needs

    try:
        age = seconds(older_than)
    except ValueError as error:
        _fail("prune", f"--older-than is {error}", _SETTINGS)
    with _linked("prune", url_variable) as link:
        gone = prune(link, older_than=age, dry_run=dry_run, say=_progress)
    if as_json:
        typer.echo(json.dumps({"events": gone, "dry_run": dry_run}))
    else:
        typer.echo(f"{gone} events older than {older_than} {'would be deleted' if dry_run else 'deleted'}")


def _wishes(
    command: str,
    tables: str | None,
    operational: str | None,
    *,
    keep_literals: bool | None,
    journal: int | None,
) -> list[Wish]:
    from .probe import names
    from .recorder.wishes import Wish, spelled
    from .settings import declared_tables

    chosen = [(name, True) for name in _named(command, tables, "--tables")]
    chosen += [(name, False) for name in _named(command, operational, "--operational")]
    asked = bool(chosen)
    if not asked:
        try:
            chosen = [(table.name, table.kind == "context") for table in declared_tables(os.environ)]
        except SettingsError as error:
            _fail(command, str(error), _SETTINGS)
    kinds: dict[str, bool] = {}
    for name, context in chosen:
        table = names.parse(name)
        if kinds.setdefault(spelled(table).removeprefix('"public".'), context) != context:
            _fail(command, f"{name} is among --tables and --operational: leave it in one", _SETTINGS)
    return [
        Wish(names.parse(name), context, keep_literals, journal if context else None, kind_asked=asked)
        for name, context in chosen
    ]


def _named(command: str, written: str | None, option: str) -> list[str]:
    """The names of a list with commas. No name of a table with a comma in it can be given that way."""
    from .probe import names

    found = [name.strip() for name in (written or "").split(",") if name.strip()]
    if written is not None and not found:
        _fail(command, f"{option} names no table: name some, or leave it out", _SETTINGS)
    for name in found:
        try:
            names.parse(name)
        except ValueError as error:
            _fail(command, f"{name!r} is {error}", _SETTINGS)
    return found


@contextmanager
def _linked(command: str, variable: str) -> Iterator[Link]:
    """A connection of the owner's, closed at the end; exits when there is none, or when it fails."""
    import psycopg

    from .probe import link
    from .recorder.install import Refused

    try:
        url = database_url(variable, os.environ).get_secret_value()
    except SettingsError as error:
        _fail(command, str(error), _SETTINGS)
    name = link.application_name(version("alpimonitor"), socket.gethostname(), os.getpid(), "recorder")
    owner = link.Link(url, timeout=_STATEMENT_SECONDS, application_name=name)
    try:
        owner.open()
        yield owner
    except link.Unseeable as error:
        _fail(command, f"{error.detail}: start the database, or correct {variable}", _UNREACHABLE)
    except Refused as error:
        _fail(command, f"{owner.place} refused it: {error}", _UNDONE)
    except psycopg.Error:
        _fail(command, f"{owner.place} ended the connection: run this again", _UNREACHABLE)
    finally:
        owner.drop()


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _fail(command: str, message: str, code: int) -> NoReturn:
    typer.echo(f"alpimonitor recorder {command}: {message}", err=True)
    raise typer.Exit(code)

"""`alpimonitor seed`: composition root, what it prints, exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from alpimonitor_api.tables import SeedMode
from alpimonitor_seed import logs
from alpimonitor_seed.apply import Request, Seeding, Stop, Unreachable, seed
from alpimonitor_seed.fixture_files import BadFixtures
from alpimonitor_seed.fixtures import SHIPPED, load
from alpimonitor_seed.plan import Wish
from alpimonitor_seed.record import Client
from alpimonitor_seed.report import as_object, lines, print_json
from alpimonitor_seed.target import Target, UnusableUrl, from_environment, is_local

EXIT = {
    Stop.FAILED: 1,
    Stop.CONTRADICTION: 1,
    Stop.PREFLIGHT: 3,
    Stop.PRUNE_GUARD: 4,
    Stop.LOST: 5,
}
USAGE, UNREACHABLE = 2, 5

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Exit codes: 0 done; 1 the database refused, or contradicts the fixtures; 2 usage, settings or "
    "fixtures; 3 refused by preflight; 4 refused by the prune guard; 5 database unreachable; 130 interrupted."
)
def main(
    mode: Annotated[
        SeedMode,
        typer.Option(help="missing: insert what is absent. converge: also update what differs."),
    ] = SeedMode.MISSING,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete rows that the fixtures no longer declare.")
    ] = False,
    overwrite_tuned: Annotated[
        bool, typer.Option("--overwrite-tuned", help="Also replace values that an operator tuned.")
    ] = False,
    max_prune: Annotated[
        int, typer.Option(min=0, metavar="N", help="The most rows that --prune may delete.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, write nothing. Exits as the seed would.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    base: Annotated[
        bool, typer.Option("--base", help="Print the fixture rows as JSON and stop; needs no database.")
    ] = False,
    confirm_database: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The database that may be changed, when it is not a local one."),
    ] = None,
    fixtures: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder of fixtures.", show_default="the shipped ones")
    ] = SHIPPED,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why; recorded, and stated to the flight recorder."),
    ] = None,
) -> None:
    """Converge the database of SEED_DATABASE_URL (or DATABASE_URL) to the fixtures, in one transaction.

    A database that is not on this machine, or that says it is production, is refused unless ALLOW_PROD_SEED=1
    is set for this one command; to change or delete there also takes --confirm-database.

    \b
    Examples:
      alpimonitor seed                                    insert what is missing
      alpimonitor seed --mode converge --dry-run          what would change?
      alpimonitor seed --prune --max-prune 3              delete up to three undeclared rows
      ALLOW_PROD_SEED=1 alpimonitor seed                  the same as the first, in production
      alpimonitor seed --dry-run --json                   the plan, for a program
    """
    try:
        _log_to_stderr(os.environ)
        declared = load(fixtures)
        if base:
            print_json({table: [dict(row) for row in rows] for table, rows in declared.rows.items()})
            return
        if overwrite_tuned and mode is SeedMode.MISSING:
            raise Unusable("--overwrite-tuned has no effect in mode missing: add --mode converge")
        seeding = Seeding(
            target=from_environment(os.environ, "SEED_DATABASE_URL"),
            fixtures=declared,
            client=Client.of_this_process(),
            request=Request(
                wish=Wish(mode, prune, overwrite_tuned, max_prune),
                dry_run=dry_run,
                allowed=os.environ.get("ALLOW_PROD_SEED") == "1",
                confirmed=confirm_database,
                reason=reason,
            ),
        )
        _warn_of_fallback(seeding.target)
        with _progress(f"seeding {seeding.target}: {declared.count} rows declared"):
            result = seed(seeding)
    except (BadFixtures, UnusableUrl, Unusable) as error:
        _complain(str(error))
        raise typer.Exit(USAGE) from None
    except Unreachable as error:
        _complain(f"the database cannot be reached: {error}. Is it up, and are role and password right?")
        raise typer.Exit(UNREACHABLE) from None
    if result.why:
        _complain(f"{result.outcome.value}: {result.why}")
    if as_json:
        print_json(as_object(result))
    else:
        for line in lines(declared, result):
            typer.echo(line)
    raise typer.Exit(EXIT[result.stop] if result.stop else 0)


class Unusable(Exception):
    """The options or settings contradict each other. The text says what to do."""


def _log_to_stderr(environ: Mapping[str, str]) -> None:
    level = environ.get("LOG_LEVEL", "").upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise Unusable(f"LOG_LEVEL is {level!r}: set it to DEBUG, INFO, WARNING or ERROR")
    form = environ.get("LOG_FORMAT", "").lower() or "plain"
    if form not in logs.FORMATS:
        raise Unusable(f"LOG_FORMAT is {form!r}: set it to plain or json")
    logs.configure(level, form)


def _complain(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"alpimonitor seed: {line}", err=True)


def _warn_of_fallback(target: Target) -> None:
    if target.fell_back and not is_local(target):
        _complain(
            "warning: SEED_DATABASE_URL is not set, so this uses DATABASE_URL; "
            "give the seed a role of its own, and the API one that cannot delete"
        )


@contextmanager
def _progress(text: str) -> Iterator[None]:
    """A sign of life for a person who waits; nothing for a program or a log."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield

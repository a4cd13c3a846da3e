"""`alpimonitor db`: migrate the database, or say at which revision it is."""

from __future__ import annotations

import json
import os
from typing import Annotated, NoReturn

import typer

from alpimonitor_cli import migrate
from alpimonitor_seed.target import Target, UnusableUrl, from_environment, is_local

NOT_NEWEST, USAGE, UNREACHABLE, MIGRATION_FAILED = 1, 2, 5, 6
SEE_PLAN = "see alpimonitor roles plan"

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Migrate the database of OWNER_DATABASE_URL (or DATABASE_URL), or say at which revision it is.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command(
    epilog="Exit codes: 0 done; 2 usage or settings; 5 database unreachable; "
    "6 migration failed, the database is as it was; 130 interrupted, the database is as it was."
)
def upgrade(as_json: AsJson = False) -> None:
    """Migrate to the newest revision. Safe to run twice, and from several places at once.

    The first migration writes DEPLOYMENT_ENVIRONMENT into the database; one on this machine may do without.

    \b
    Examples:
      alpimonitor db upgrade
      DEPLOYMENT_ENVIRONMENT=staging alpimonitor db upgrade --json
    """
    target = _target()
    environment = os.environ.get("DEPLOYMENT_ENVIRONMENT", "").strip() or None
    try:
        migrated = migrate.upgrade(target.url, environment=environment)
    except migrate.EnvironmentUnusable as error:
        _fail(USAGE, str(error))
    except migrate.Unreachable as error:
        _fail(UNREACHABLE, f"{target} cannot be reached: {error}")
    except migrate.MigrationFailed as error:
        _fail(MIGRATION_FAILED, f"migration failed, {target} is as it was: {error}")
    _refresh_rights(target)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "before": migrated.before,
                    "after": migrated.after,
                    "environment": migrated.environment,
                }
            )
        )
    elif migrated.changed:
        typer.echo(f"{target}: migrated from {migrated.before or 'empty'} to {migrated.after}")
    else:
        typer.echo(f"{target}: at {migrated.after}, nothing to migrate")


@app.command(
    epilog="Exit codes: 0 at the newest revision; 1 not, or it cannot be told; 2 usage or settings; "
    "5 database unreachable; 130 interrupted."
)
def current(as_json: AsJson = False) -> None:
    """Say at which revision the database is, and which is the newest.

    \b
    Examples:
      alpimonitor db current
      alpimonitor db current --json
    """
    target = _target()
    try:
        newest = migrate.head()
        revision = migrate.current(target.url)
    except migrate.Unreachable as error:
        _fail(UNREACHABLE, f"{target} cannot be reached: {error}")
    except migrate.RevisionUnknown as error:
        _fail(NOT_NEWEST, f"{target} does not tell its revision: {error}")
    except migrate.MigrationFailed as error:
        _fail(NOT_NEWEST, f"the newest revision cannot be told: {error}")
    if as_json:
        typer.echo(json.dumps({"revision": revision, "newest": newest}))
    else:
        hint = "" if revision == newest else f", the newest is {newest}: run alpimonitor db upgrade"
        typer.echo(f"{target}: {f'at {revision}' if revision else 'never migrated'}{hint}")
    raise typer.Exit(0 if revision == newest else NOT_NEWEST)


def _refresh_rights(target: Target) -> None:
    """Give the roles their rights on what was migrated. Without them it is migrated all the same."""
    from alpimonitor_cli.roles.apply import RolesRefused, Unreachable, refresh, unused_passwords

    if unused := unused_passwords(os.environ):
        _warn(unused)
    try:
        done = refresh(target.url)
    except (RolesRefused, Unreachable) as error:
        _warn(f"the roles were not given their rights on what was migrated ({error}): {SEE_PLAN}")
        return
    if done is not None and not done.after.holds:
        _warn(f"the roles are not all as they should be: {SEE_PLAN}")


def _warn(text: str) -> None:
    typer.echo(f"alpimonitor db: warning: {text}", err=True)


def _target() -> Target:
    try:
        target = from_environment(os.environ, "OWNER_DATABASE_URL")
    except UnusableUrl as error:
        _fail(USAGE, str(error))
    if target.fell_back and not is_local(target):
        typer.echo(
            "alpimonitor db: warning: OWNER_DATABASE_URL is not set, so this uses DATABASE_URL", err=True
        )
    return target


def _fail(code: int, text: str) -> NoReturn:
    typer.echo(f"alpimonitor db: {text}", err=True)
    raise SystemExit(code)

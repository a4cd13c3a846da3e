"""`alpimonitor roles`: the roles of AlpiMonitor's database, planned and applied."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import typer
from psycopg.conninfo import conninfo_to_dict

from alpimonitor_cli.roles.apply import Done, RolesRefused, Unreachable, apply, passwords_in, planned
from alpimonitor_cli.roles.names import ADMIN_URL
from alpimonitor_cli.roles.plan import Plan, Step
from alpimonitor_seed.target import Target, UnusableUrl, parse

DIFFERENT, USAGE, UNREACHABLE = 1, 2, 5

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Give each part of AlpiMonitor a role of its own, with the rights that it needs and no others.",
)

Url = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help=f"As a role that may make roles, without its password; default: {ADMIN_URL}.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AsSql = Annotated[bool, typer.Option("--sql", help="Print the statements alone, for psql.")]


@app.command(
    "plan",
    epilog="Exit codes: 0 the roles are as they should be; 1 they are not; 2 usage or settings; "
    "5 database unreachable; 130 interrupted.",
)
def plan_(database_url: Url = None, as_json: AsJson = False, as_sql: AsSql = False) -> None:
    """Say how the roles differ from what they should be. Changes nothing.

    Passwords are compared where OWNER_DATABASE_PASSWORD and its like are set; none is ever shown.

    \b
    Examples:
      alpimonitor roles plan
      alpimonitor roles plan --sql > roles.sql       for a managed server: read it, then psql --file=roles.sql
      alpimonitor roles plan --database-url postgresql://postgres@db/alpimonitor --json
    """
    _plan(database_url, as_json=as_json, as_sql=as_sql)


@app.command(
    "apply",
    epilog="Exit codes: 0 the roles are as they should be; 1 something is left that this role may not do, or "
    "the server refused; 2 usage or settings; 5 database unreachable; 130 interrupted, nothing was changed.",
)
def apply_(
    database_url: Url = None,
    as_json: AsJson = False,
    as_sql: AsSql = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as alpimonitor roles plan.")] = False,
) -> None:
    """Make the roles, owners and rights what they should be, in one transaction. Safe to repeat.

    Takes away what is too much, too. A password comes from OWNER_DATABASE_PASSWORD and its like, and goes to
    the server as a verifier; a role whose variable is not set keeps the one it has.

    \b
    Examples:
      alpimonitor roles apply
      alpimonitor roles apply --dry-run
      ADMIN_DATABASE_URL=postgresql://postgres@db/alpimonitor alpimonitor roles apply --json
    """
    if dry_run:
        _plan(database_url, as_json=as_json, as_sql=as_sql)
    target = _target(database_url)
    try:
        done = apply(target.url, passwords_in(os.environ))
    except Unreachable as error:
        _fail(UNREACHABLE, f"{target} cannot be reached: {error}")
    except RolesRefused as error:
        _fail(DIFFERENT, f"{target} refused, and is as it was: {error}")
    _tell(target, done.before, done, as_json=as_json, as_sql=as_sql)
    raise typer.Exit(0 if done.after.holds else DIFFERENT)


def _plan(database_url: str | None, *, as_json: bool, as_sql: bool) -> NoReturn:
    target = _target(database_url)
    try:
        found = planned(target.url, passwords_in(os.environ))
    except Unreachable as error:
        _fail(UNREACHABLE, f"{target} cannot be reached: {error}")
    except RolesRefused as error:
        _fail(DIFFERENT, f"{target} does not tell its roles: {error}")
    _tell(target, found, None, as_json=as_json, as_sql=as_sql)
    raise typer.Exit(0 if found.holds else DIFFERENT)


def _tell(target: Target, plan: Plan, done: Done | None, *, as_json: bool, as_sql: bool) -> None:
    """`plan` is what was found to do, `done` how it stands now if it was done."""
    now = done.after if done else plan
    if as_json:
        document: dict[str, Any] = {
            "database": str(target),
            "applied": done is not None,
            "holds": now.holds,
            "steps": [{"sql": shown(step), "why": step.why} for step in plan.steps],
            "left": [
                {"sql": shown(each.step), "why": each.step.why, "needs": each.needs} for each in now.left
            ],
            "notes": list(now.notes),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if as_sql:
        typer.echo("\n".join(script(plan)))
        return
    for line in _lines(target, plan, done):
        typer.echo(line)
    for each in now.left:
        typer.echo(f"left: {each.step.why}")
        typer.echo(f"      it takes {each.needs}: {shown(each.step)}")
    if done is not None and done.after.steps:
        typer.echo("left: a right that was given by somebody else than its owner; see alpimonitor roles plan")
    for note in now.notes:
        typer.echo(f"note: {note}")


def _lines(target: Target, plan: Plan, done: Done | None) -> Iterator[str]:
    if plan.holds:
        yield f"{target}: the roles are as they should be, nothing to do"
        return
    what = "were taken" if done else "to take: alpimonitor roles apply"
    yield f"{target}: {len(plan.steps)} steps {what}"
    for step in plan.steps:
        yield f"  {step.why}"


def script(plan: Plan) -> Iterator[str]:
    """What psql would run; what it cannot is a comment."""
    yield "\\set ON_ERROR_STOP on"
    yield "BEGIN;"
    for step in plan.steps:
        yield f"-- {step.why}"
        yield shown(step)
    yield "COMMIT;"
    for each in plan.left:
        yield f"-- It takes {each.needs}: {each.step.why}"
        yield f"-- {shown(each.step)}"
    for note in plan.notes:
        yield f"-- {note}"


def shown(step: Step) -> str:
    """The statement, or in place of one that holds a verifier how to do without."""
    return f"\\password {step.sql.split(' ')[2]}" if step.secret else step.sql


def _target(database_url: str | None) -> Target:
    variable = ADMIN_URL if database_url is None else "--database-url"
    url = os.environ.get(ADMIN_URL, "").strip() if database_url is None else database_url
    if not url:
        _fail(USAGE, f"{ADMIN_URL} is not set: set it to the database's URL, as a role that may make roles")
    try:
        target = parse(url, variable=variable)
    except UnusableUrl as error:
        _fail(USAGE, str(error))
    if database_url is not None and conninfo_to_dict(url).get("password"):
        _fail(
            USAGE,
            f"a password in --database-url shows in process lists and in the shell's history: set {ADMIN_URL}"
            " instead, or keep the password in ~/.pgpass",
        )
    return target


def _fail(code: int, text: str) -> NoReturn:
    for line in text.splitlines():
        typer.echo(f"alpimonitor roles: {line}", err=True)
    raise typer.Exit(code)

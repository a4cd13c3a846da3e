"""`alpimonitor token`: makes, lists and revokes the tokens of API_TOKENS_FILE."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from alpimonitor_api.times import utc_text
from alpimonitor_api.token_file import (
    NAME,
    NAME_SHAPE,
    Entries,
    Entry,
    Scope,
    TokenFileError,
    digest,
    new_token,
    read,
    turn,
    write,
)

REFUSED, USAGE = 1, 2

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LONGEST = timedelta(days=3650)

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False)

File = Annotated[
    Path | None,
    typer.Option(
        "--file", envvar="API_TOKENS_FILE", metavar="FILE", help="The file of tokens.", show_envvar=True
    ),
]
Name = Annotated[str, typer.Option("--name", help="Whose it is: it stands in the audit, such as marie.")]


@app.callback()
def root() -> None:
    """Make, list and revoke the tokens that let operators tune thresholds.

    The file holds only hashes. A running API takes a change over at the next request that shows a token, if
    its user may read the file: run this as that user, or let the file belong to it, or to a group of it with
    mode 0640. A change keeps owner and mode.
    """


@app.command(
    epilog="Exit codes: 0 made; 1 there is a token of that name; 2 usage, or FILE cannot be used; "
    "130 interrupted."
)
def create(
    name: Name,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it is for; may be given again.")],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it holds, such as 12h, 90d, 4w.")
    ] = None,
    file: File = None,
) -> None:
    """Make a token and print it, alone and only this once. FILE is made if it is not there.

    \b
    Examples:
      alpimonitor token create --file tokens.json --name marie --scope operator
      alpimonitor token create --name the-watchdog --scope watchdog > token
      alpimonitor token create --name audit-2026 --scope auditor --expires 90d
    """
    path, name = _file(file), unicodedata.normalize("NFC", name)
    if NAME.fullmatch(name) is None:
        _fail(USAGE, f"--name {name!r} is no name of a token: it has {NAME_SHAPE}")
    now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - this is main
    until = None if expires is None else now + _lasting(expires)
    token = new_token()
    entry = Entry(
        name=name,
        scopes=tuple(dict.fromkeys(scope)),
        sha256=digest(token).hex(),
        created_at=now,
        expires_at=until,
    )
    try:
        with turn(path):
            kept = _entries(path)
            if kept.named(name) is not None:
                _fail(
                    REFUSED, f"{path} has a token of the name {name}: revoke it first, or take another name"
                )
            write(path, Entries(tokens=(*kept.tokens, entry)))
    except TokenFileError as error:
        _fail(USAGE, str(error))
    typer.echo(token)
    holds = "until it is revoked" if until is None else f"until {utc_text(until)}"
    typer.echo(
        f"The token of {name} ({', '.join(entry.scopes)}) holds {holds}. Keep it: it is not shown again.",
        err=True,
    )


@app.command(
    "list", epilog="Exit codes: 0 done; 2 usage, or FILE cannot be used; 130 interrupted."
)  # fmt: skip
def list_(
    file: File = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say whose tokens there are, what for, and how long they hold. Shows neither tokens nor hashes.

    \b
    Examples:
      alpimonitor token list
      alpimonitor token list --file tokens.json --json
    """
    path = _file(file)
    try:
        entries = read(path).entries
    except TokenFileError as error:
        _fail(USAGE, str(error))
    now = datetime.now(UTC)  # noqa: TID251 - this is main
    told = [_told(entry, now) for entry in sorted(entries.tokens, key=lambda entry: entry.name)]
    if as_json:
        typer.echo(json.dumps({"tokens": told}, indent=2, ensure_ascii=False))
        return
    for one in told:
        until = f"until {one['expires_at']}" if one["expires_at"] else "until revoked"
        state = "EXPIRED" if one["expired"] else until
        typer.echo(f"{one['name']}  {','.join(one['scopes'])}  since {one['created_at']}  {state}")


@app.command(
    epilog="Exit codes: 0 revoked; 1 there is no token of that name; 2 usage, or FILE cannot be used; "
    "130 interrupted."
)
def revoke(
    name: Annotated[str, typer.Argument(help="Whose token.", metavar="NAME")], file: File = None
) -> None:
    """Take a token away.

    \b
    Examples:
      alpimonitor token revoke marie
      alpimonitor token revoke audit-2026 --file tokens.json
    """
    path, name = _file(file), unicodedata.normalize("NFC", name)
    try:
        with turn(path):
            kept = read(path).entries
            if kept.named(name) is None:
                _fail(
                    REFUSED,
                    f"{path} has no token of the name {name}: alpimonitor token list says whose there are",
                )
            write(path, Entries(tokens=tuple(entry for entry in kept.tokens if entry.name != name)))
    except TokenFileError as error:
        _fail(USAGE, str(error))
    typer.echo(f"The token of {name} is revoked.", err=True)


def _file(given: Path | None) -> Path:
    if given is None:
        _fail(USAGE, "name the file of tokens with --file FILE, or set API_TOKENS_FILE")
    return given


def _entries(path: Path) -> Entries:
    """None in a file that is not there yet."""
    return read(path).entries if path.exists() else Entries()


def _lasting(text: str) -> timedelta:
    written = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    lasts = int(written[1]) * UNITS[written[2]] if written else timedelta(0)
    if not timedelta(0) < lasts <= LONGEST:
        _fail(USAGE, f"--expires {text!r} is no time: write hours, days or weeks, such as 12h, 90d or 4w")
    return lasts


def _told(entry: Entry, now: datetime) -> dict[str, Any]:
    until = entry.expires_at
    return {
        "name": entry.name,
        "scopes": list(entry.scopes),
        "created_at": utc_text(entry.created_at),
        "expires_at": None if until is None else utc_text(until),
        "expired": until is not None and until <= now,
    }


def _fail(code: int, text: str) -> NoReturn:
    typer.echo(f"alpimonitor token: {text}", err=True)
    raise typer.Exit(code)

"""`alpimonitor settings`: explains every setting of every program."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

OUTDATED, USAGE = 1, 2

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Explain every setting: the sections of watchdog.toml and the environment variables."""


@app.command(
    epilog="Exit codes: 0 done, or FILE is current; 1 FILE is not current; 2 usage, or FILE cannot be used; "
    "130 interrupted."
)
def reference(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write FILE instead of standard output.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say how FILE differs from what it should be.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, instead of Markdown.")] = False,
) -> None:
    """Print every section, key and variable with its shape, default and meaning.

    \b
    Examples:
      alpimonitor settings reference
      alpimonitor settings reference --json
      alpimonitor settings reference --output runbooks/settings.md
      alpimonitor settings reference --output runbooks/settings.md --check
    """
    if check and output is None:
        _fail("--check compares a file: name it with --output FILE")
    from alpimonitor_cli import settings_reference

    wanted = (
        json.dumps(settings_reference.document(), indent=2, ensure_ascii=False) + "\n"
        if as_json
        else settings_reference.page()
    )
    if output is None:
        typer.echo(wanted, nl=False)
        return
    try:
        if not check:
            output.write_text(wanted, encoding="utf-8")
            return
        found = output.read_text(encoding="utf-8")
    except FileNotFoundError:
        found = ""
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{output}: {getattr(error, 'strerror', None) or 'it is not a text'}: name another file")
    if not check:
        _fail(f"{output}: its folder is not there: make it, or name another file")
    if found != wanted:
        for line in difflib.unified_diff(
            found.splitlines(), wanted.splitlines(), str(output), "what it should be", lineterm=""
        ):
            typer.echo(line)
        typer.echo(
            f"alpimonitor settings: {output} is not current: write it again, without --check",
            err=True,
        )
        raise typer.Exit(OUTDATED)
    typer.echo(f"{output} is current")


def _fail(text: str) -> NoReturn:
    typer.echo(f"alpimonitor settings: {text}", err=True)
    raise typer.Exit(USAGE)

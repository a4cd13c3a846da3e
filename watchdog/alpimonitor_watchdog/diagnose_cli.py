"""`alpimonitor watchdog diagnose`: what happened, and who did it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .problems import SettingsError
from .store.errors import StoreError

if TYPE_CHECKING:
    from .core.seen import DatabaseSeen
    from .diagnose.answer import Answer
    from .diagnose.kept import Kept
    from .diagnose.target import Target

_WRONG, _SETTINGS, _UNREACHABLE = 1, 2, 5  # exit codes


def diagnose(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="watchdog.toml; default: WATCHDOG_CONFIG, else the shipped profile.",
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option(
            "--database-url-env",
            metavar="NAME",
            help="The variable with the database's URL, such as DATABASE_URL; default: the sidecar's.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="Without a watchdog.toml: a table that has to hold rows; repeatable. "
            "Default: those that the flight recorder guards.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            help="The sidecar's state directory, or a copy of it; default: WATCHDOG_STATE_DIR.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say what happened to the database, who did it, what speaks for that, and what could not be seen.

    At any time, also beside a running sidecar: it only reads, the database as well as the state directory. If
    nothing is wrong now, it tells of the newest incident that the sidecar keeps. With --table, or with
    --database-url-env and no watchdog.toml, it looks at a database of which nobody declared anything.

    Exit codes: 0 nothing is wrong now; 1 something is; 2 usage or settings; 5 database unreachable, and
    nothing to conclude; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog diagnose
      alpimonitor watchdog diagnose --json --state-dir copy-of-the-state
      alpimonitor watchdog diagnose --database-url-env DATABASE_URL --table customer --table invoice
    """
    from .diagnose.answer import answered  # what only this command needs
    from .diagnose.answer import as_json as as_object
    from .diagnose.looking import look
    from .diagnose.tell import told

    try:
        target = _target(config, variable, table or [], state_dir)
        kept = _kept(target, state_dir)
        target = _with_tables(target, kept)
    except SettingsError as error:
        _fail(str(error))
    seen = look(target, kept.state.cursor if kept.state is not None else None)
    if seen.unseen is None and not target.tables:
        _fail(
            f"{target.place} has no flight recorder that names its tables, and nobody else does: "
            "name them with --table, or a watchdog.toml with --config"
        )
    if unknown := _unknown(table or [], seen, kept):
        _fail(
            f"--table: {target.place} has no table {', '.join(unknown)}, and nothing is recorded or kept of "
            "one; write its name as the database has it, with its schema if that is not on the search path"
        )
    answer = answered(target, seen, kept, datetime.now(UTC))  # noqa: TID251 - a composition root
    typer.echo(json.dumps(as_object(answer), indent=2, ensure_ascii=False) if as_json else told(answer))
    raise typer.Exit(_code(answer))


def _target(config: Path | None, variable: str | None, tables: list[str], state_dir: Path | None) -> Target:
    """Raises SettingsError."""
    from .diagnose import target

    declared = config is not None or bool(os.environ.get("WATCHDOG_CONFIG"))
    if tables and config is not None:
        raise SettingsError("--table and --config: the file says which tables; give one of the two")
    if tables or (variable is not None and not declared):
        return target.undeclared(os.environ, variable, tables, state_dir)
    return target.as_declared(os.environ, config, variable, state_dir)


def _kept(target: Target, named: Path | None) -> Kept:
    """What a sidecar keeps; without it there is less to go by. Raises SettingsError: one was named."""
    from .diagnose import kept

    if target.state_dir is None:
        return kept.Kept(gap=f"{kept.UNKNOWN_BEFORE}: name its state directory with --state-dir")
    try:
        return kept.read(target.state_dir)
    except StoreError as error:
        if named is not None:
            raise SettingsError(str(error)) from None
        return kept.Kept(gap=f"{kept.UNKNOWN_BEFORE}: {error}")


def _with_tables(target: Target, kept: Kept) -> Target:
    """Where nobody names tables: those that the recorder guards, else those that the sidecar knows."""
    from .diagnose.looking import guarded_by_recorder
    from .diagnose.target import with_tables

    if target.tables:
        return target
    good = kept.state.good if kept.state is not None else None
    known = [table.name for table in good.tables] if good is not None else []
    return with_tables(target, guarded_by_recorder(target) or known)


def _unknown(named: list[str], seen: DatabaseSeen, kept: Kept) -> list[str]:
    """Names given by hand that are in no catalog, and that nothing says were there before."""
    good = kept.state.good if kept.state is not None else None
    known = {table.name for table in good.tables} if good is not None else set()
    known |= {event.table for event in seen.recorder.events} if seen.recorder is not None else set()
    return [
        table.name
        for table in seen.tables
        if table.name in named and not table.exists and table.name not in known
    ]


def _code(answer: Answer) -> int:
    from .core.verdict import What

    concluded = answer.verdict is not None and answer.verdict.what is not What.UNKNOWN
    if not answer.reached and not concluded:
        return _UNREACHABLE
    return _WRONG if answer.wrong else 0


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        typer.echo(f"alpimonitor watchdog diagnose: {line}", err=True)
    raise typer.Exit(_SETTINGS)

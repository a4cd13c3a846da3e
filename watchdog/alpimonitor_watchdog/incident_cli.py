"""`alpimonitor incident list | show | verify | export`: what the sidecar keeps in its state directory.

It need not run; beside a running one, and on a copy, they read alike and write nothing there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import incident_told
from .variables import text

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="The sidecar's state directory, or a copy of it; default: WATCHDOG_STATE_DIR.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of an incident, as `list` has it.")]

_HASH = re.compile(r"[0-9a-f]{8,64}")


class Exit(IntEnum):
    """The exit codes that these commands use."""

    DOES_NOT_HOLD = 1
    USAGE = 2


@app.callback()
def incident() -> None:
    """Incidents and their evidence, as the sidecar keeps them outside the database."""


@app.command("list")
def list_incidents(
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the incidents, the newest first.

    Exit codes: 0 listed; 1 the store is damaged; 2 usage, or there is no store; 130 interrupted.

    \b
    Examples:
      alpimonitor incident list
      alpimonitor incident list --limit 5 --json
    """
    from .store import incidents

    with _store("list", state_dir) as connection:
        found = incidents.newest(connection, limit)
    _answer({"incidents": found}, incident_told.listed(found), as_json=as_json)


@app.command()
def show(id: IdArgument, state_dir: StateOption = None, as_json: JsonOption = False) -> None:
    """Show an incident: what was lost, who did it, its timeline, evidence and notifications.

    Exit codes: 0 shown; 1 the store is damaged; 2 usage, or there is no such incident; 130 interrupted.

    \b
    Examples:
      alpimonitor incident show 20260421T121000Z-1
    """
    from .store import evidence, incidents

    with _store("show", state_dir) as connection:
        found = incidents.one(connection, id)
        if found is None:
            _fail("show", f"there is no incident {id}: `alpimonitor incident list` names them", Exit.USAGE)
        rows = [evidence.as_json(row) for row in evidence.newest(connection, id, found["evidence"]["count"])]
    found["evidence"]["rows"] = rows
    _answer(found, incident_told.shown(found), as_json=as_json)


@app.command()
def verify(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Say also how much of it is this incident's.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="HASH",
            help="A head from a notification, or how it begins: 8 characters or more.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="What `export` wrote, instead of a store.")
    ] = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the hash of every piece of evidence anew: whatever was changed, added or taken away shows.

    Only a head that left the machine before shows that the end was cut off, or all of it rewritten.

    Exit codes: 0 the chain holds, and the head is in it; 1 it does not, or the head is not; 2 usage, or there
    is nothing to verify; 130 interrupted.

    \b
    Examples:
      alpimonitor incident verify --head 9f2c41aa07be
      alpimonitor incident verify 20260421T121000Z-1 --state-dir copy-of-the-state --json
      alpimonitor incident verify --file incident.json
    """
    from .store import chain, evidence, export, incidents

    if head is not None and not _HASH.fullmatch(head.lower()):
        _fail("verify", f"--head {head!r} is no hash: copy it from a notification", Exit.USAGE)
    if file is not None and (id is not None or state_dir is not None):
        _fail("verify", "--file stands alone, or with --head: the file names its incident", Exit.USAGE)
    sought = head.lower() if head else None
    if file is not None:
        begins = chain.Anchor()
        try:
            found, id, rows = export.verify_exported(file.read_bytes(), sought)
        except OSError as error:
            _fail("verify", f"the file {file} cannot be read: {error.strerror}", Exit.USAGE)
        except export.NoExport as error:
            _fail("verify", f"the file {file} cannot be verified: {error}", Exit.USAGE)
    else:
        with _store("verify", state_dir) as connection:
            if id is not None and incidents.one(connection, id) is None:
                _fail(
                    "verify", f"there is no incident {id}: `alpimonitor incident list` names them", Exit.USAGE
                )
            begins = evidence.anchor(connection)
            found = chain.verify(begins, evidence.every(connection), sought)
            rows = len(evidence.ids(connection, id)) if id is not None else 0
    holds = found.holds and (sought is None or found.sought_at is not None)
    said = {
        "holds": holds,
        "rows": found.rows,
        "head": {"hash": found.head.hash, "count": found.head.count},
        "pruned": {"rows": begins.pieces, "until": begins.until},
        "lost": [{"first": first, "last": last} for first, last in found.lost],
        "broken": [
            {
                "id": link.id,
                "what": link.what,
                "expected": link.expected,
                "found": link.found,
                "says": str(link),
            }
            for link in found.broken
        ],
        "sought": None
        if sought is None
        else {"hash": sought, "row": found.sought_at, "rows_after": found.after_sought},
        "incident": None if id is None else {"id": id, "rows": rows},
    }
    _answer(said, incident_told.verified(said), as_json=as_json)
    if not holds:
        raise typer.Exit(Exit.DOES_NOT_HOLD)


@app.command()
def export(
    id: IdArgument,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Where to; a file that is there is not replaced.")
    ],
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an incident with its evidence into one JSON file, which `verify --file` checks anywhere.

    Exit codes: 0 written; 1 the store is damaged; 2 usage, there is no such incident, or the file cannot be
    written; 130 interrupted.

    \b
    Examples:
      alpimonitor incident export 20260421T121000Z-1 --output incident.json
    """
    from .store.export import exported

    with _store("export", state_dir) as connection:
        document = exported(connection, id)
    if document is None:
        _fail("export", f"there is no incident {id}: `alpimonitor incident list` names them", Exit.USAGE)
    body = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        # Statements may hold data: for nobody else, until its owner says so.
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            target.write(body)
    except OSError as error:
        _fail("export", f"the file {output} cannot be written: {error.strerror}", Exit.USAGE)
    own, rows = len(document["chain"]["evidence"]), len(document["chain"]["rows"])
    said = {"incident": id, "file": str(output), "evidence": own, "rows": rows}
    _answer(
        said,
        f"{output}: incident {id}, {own} pieces of evidence in {rows} rows of the chain.",
        as_json=as_json,
    )


@contextmanager
def _store(command: str, state_dir: Path | None) -> Iterator[Any]:
    from .store import NoStore, StoreError
    from .store.reading import reading

    try:
        with reading(state_dir or Path(text("WATCHDOG_STATE_DIR", os.environ))) as connection:
            yield connection
    except NoStore as error:
        _fail(command, str(error), Exit.USAGE)
    except StoreError as error:
        _fail(command, str(error), Exit.DOES_NOT_HOLD)


def _answer(said: dict[str, Any], told: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(said, indent=2, ensure_ascii=False) if as_json else told)


def _fail(command: str, message: str, code: Exit) -> NoReturn:
    typer.echo(f"alpimonitor incident {command}: {message}", err=True)
    raise typer.Exit(code)

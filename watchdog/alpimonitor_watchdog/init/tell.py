"""What people and programs are told of a proposal, beside the file. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .propose import Proposal
from .rungs import Rung
from .spelling import shown
from .write import NOT_A_BACKUP


def told(proposal: Proposal, file: Path | None) -> Iterator[str]:
    """Lines for a terminal. `file` None: the file's text goes to standard output."""
    kinds = [guard.judgement.kind for guard in proposal.guards]
    yield (
        f"{file or 'the text'} describes {proposal.place}: {kinds.count('context')} context tables, "
        f"{kinds.count('operational')} operational, {len(proposal.blind)} not seen, "
        f"{len(proposal.passed)} passed over. Healing is dry-run."
    )
    yield NOT_A_BACKUP
    yield ""
    for warning in proposal.warnings:
        yield f"WARNING: {warning}"
    yield ""
    yield from rights(proposal)
    yield ""
    yield "Next: read the file and correct it, set WATCHDOG_DATABASE_URL, and then"
    yield f"  alpimonitor watchdog check --config {file or 'FILE'}"


def rights(proposal: Proposal) -> Iterator[str]:
    """The rungs with their statements, or why there are none."""
    owners = sorted({shown(guard.table.owner) for guard in proposal.guards if guard.table.owner})
    who = f", such as the owner of the tables, {' or '.join(owners)}" if owners else ""
    yield f"Rights, rung by rung, for a role that may grant them{who}:"
    for number, rung in enumerate(proposal.rungs, start=1):
        yield f"{number}. {rung.name}: {rung.gives}"
        yield from (f"   {statement}" for statement in rung.statements)
        yield from (f"   -- {note}" for note in rung.notes)


def as_json(proposal: Proposal, file: Path | None, toml: str) -> dict[str, Any]:
    """The same for programs; the text itself only where no file was written."""
    return {
        "file": None if file is None else str(file),
        "toml": toml if file is None else None,
        "database": proposal.place,
        "at": proposal.found.session.at.isoformat(),
        "role": proposal.found.session.role,
        "tables": [
            {
                "name": guard.name,
                "kind": guard.judgement.kind,
                "why": guard.judgement.why.value,
                "rows": guard.table.rows,
                "capped": guard.table.capped,
                "expected": guard.expected,
                "floor": guard.floor,
            }
            for guard in proposal.guards
        ],
        "not_seen": [
            {
                "name": blind.name,
                "reason": blind.table.unseen.value if blind.table.unseen else None,
                "detail": blind.table.detail,
                "remedy": blind.remedy,
            }
            for blind in proposal.blind
        ],
        "passed_over": [
            {"name": passed.name, "reason": passed.why.name.lower()} for passed in proposal.passed
        ],
        "revision": proposal.revision and {"tool": proposal.revision.tool, "value": proposal.revision.value},
        "warnings": list(proposal.warnings),
        "rights": {rung.name: _rung(rung) for rung in proposal.rungs},
        "note": NOT_A_BACKUP,
    }


def _rung(rung: Rung) -> dict[str, list[str]]:
    return {"statements": list(rung.statements), "notes": list(rung.notes)}

"""`alpimonitor watchdog accept | adopt | hold | pause | resume | heal | acknowledge`: tell a running sidecar.

They ask over the sidecar's web surface, with the token that it keeps in its state directory.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from .durations import seconds
from .operator_call import Call, Exit, database, preview, rows

app = typer.Typer(rich_markup_mode=None, add_completion=False)

ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, in one line: it lands in the timeline.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The sidecar; default: where WATCHDOG_LISTEN says it listens."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The sidecar's own answer, as it is.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; required without a terminal.")]

_TIME_OF_DAY = re.compile(r"(?P<hour>\d\d):(?P<minute>\d\d)(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII)
_UNTIL = (
    "write a duration such as 30m or 2h, or a time with its offset such as 14:00Z or 2026-04-21T14:00:00Z"
)


@app.command()
def accept(
    reason: ReasonOption, url: UrlOption = None, as_json: JsonOption = False, yes: YesOption = False
) -> None:
    """Declare the present rows intended: they become the last good state, and no heal puts back what is gone.

    Shows the rows first and asks. Exit codes: 0 done; 1 the sidecar does not answer or confirm, or you said
    no; 2 usage or token; 7 refused; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog accept --reason "two stations were closed for good"
      alpimonitor watchdog accept --reason "release 4.2 drops glaciers" --yes
    """
    call = Call("accept", url, as_json)
    call.confirm(yes, lambda: rows(call.state()), "Are these rows intended?")
    call.act({"reason": reason})


@app.command()
def adopt(
    reason: ReasonOption, url: UrlOption = None, as_json: JsonOption = False, yes: YesOption = False
) -> None:
    """Declare the database that answers now the one to guard, such as after a restore or a move.

    Shows the database and its rows first and asks. Exit codes: 0 done; 1 the sidecar does not answer or
    confirm, or you said no; 2 usage or token; 7 refused; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog adopt --reason "moved to the new cluster"
    """
    call = Call("adopt", url, as_json)
    call.confirm(yes, lambda: database(call.state()), "Is this the database to guard?")
    call.act({"reason": reason})


@app.command()
def hold(reason: ReasonOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """No heal of the open incident until `resume`; watching and notifying go on.

    The hold ends with the incident; before one is open, use pause.

    Exit codes: 0 done; 1 the sidecar does not answer or confirm; 2 usage or token; 7 refused;
    130 interrupted.

    \b
    Examples:
      alpimonitor watchdog hold --reason "looking at the rows before they are put back"
    """
    Call("hold", url, as_json).act({"reason": reason})


@app.command()
def pause(
    reason: ReasonOption,
    until: Annotated[
        str, typer.Option("--until", metavar="WHEN", help="30m, 2h, 14:00Z or 2026-04-21T14:00:00Z.")
    ],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """No heal until a time, at most 7 days away; watching and notifying go on.

    Exit codes: 0 done; 1 the sidecar does not answer or confirm; 2 usage, token, or a time that cannot be
    used; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog pause --until 30m --reason "loading the new sensors by hand"
      alpimonitor watchdog pause --until 14:00Z --reason "migration window"
    """
    call = Call("pause", url, as_json)
    now = datetime.now(UTC)  # noqa: TID251 - the composition root
    try:
        ends = end_of_pause(until, now)
    except ValueError as error:
        raise call.failed(f"--until {until!r} {error}", Exit.USAGE) from None
    call.act({"reason": reason, "until": ends.isoformat()})


@app.command()
def resume(reason: ReasonOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """End hold and pause, and let a healer that was stopped by repeated losses try once more.

    Exit codes: 0 done; 1 the sidecar does not answer or confirm; 2 usage or token; 7 refused;
    130 interrupted.

    \b
    Examples:
      alpimonitor watchdog resume --reason "the job that emptied the tables is stopped"
    """
    Call("resume", url, as_json).act({"reason": reason})


@app.command()
def heal(
    reason: ReasonOption,
    now: Annotated[bool, typer.Option("--now", help="Heal without the waits.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what a heal would do, and what stops it.")
    ] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Heal now, or say what a heal would do. Guard rails that keep from harm hold all the same.

    With --now the plan is shown first, and you are asked. Exit codes: 0 done; 1 the sidecar does not answer
    or confirm, or you said no; 2 usage or token; 7 refused by a guard rail; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog heal --dry-run --reason "what would it put back?"
      alpimonitor watchdog heal --now --reason "consumers are waiting"
    """
    call = Call("heal", url, as_json)
    if now == dry_run:
        raise call.failed("say either --now or --dry-run", Exit.USAGE)
    if dry_run:
        call.act({"reason": reason, "dry_run": True}, told=preview)
        return
    call.confirm(yes, lambda: preview(call.answer({"reason": reason, "dry_run": True})), "Heal now?")
    call.act({"reason": reason, "now": True})


@app.command()
def acknowledge(reason: ReasonOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Say that a person is on it: no page and no reminder of the open incident unless it gets worse.

    Exit codes: 0 done; 1 the sidecar does not answer or confirm; 2 usage or token; 7 refused;
    130 interrupted.

    \b
    Examples:
      alpimonitor watchdog acknowledge --reason "I am looking at it, back by 15:00"
    """
    Call("acknowledge", url, as_json).act({"reason": reason})


def end_of_pause(written: str, now: datetime) -> datetime:
    """When a pause ends, in UTC: a duration from now, a time of day (the next one), or a date and time.

    Raises ValueError with what is wrong and what to write.
    """
    written = written.strip()
    time_of_day = _TIME_OF_DAY.fullmatch(written.upper())
    try:
        if time_of_day is not None:
            there = datetime.fromisoformat(f"2000-01-01T{written.upper()}").tzinfo
            ends = now.astimezone(there).replace(
                hour=int(time_of_day["hour"]), minute=int(time_of_day["minute"]), second=0, microsecond=0
            )
            return (ends if ends > now else ends + timedelta(days=1)).astimezone(UTC)
        if "T" in written.upper():
            ends = datetime.fromisoformat(written.upper())
        else:
            return now + timedelta(seconds=seconds(written))
        if ends.tzinfo is None:
            raise ValueError
        return ends.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"is no end of a pause: {_UNTIL}") from None

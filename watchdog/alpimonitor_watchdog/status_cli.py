"""`alpimonitor status`: what a running sidecar sees, asked over its own web surface."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from .live import Live, NoSidecar, own_address
from .problems import SettingsError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def status(
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="The sidecar; default: where WATCHDOG_LISTEN says it listens."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The sidecar's own answer, as it is.")] = False,
) -> None:
    """Say in a few lines how a running sidecar sees the database.

    Exit codes: 0 healthy; 1 an incident is open, or the sidecar hangs or does not answer; 2 usage or
    settings; 130 interrupted.

    \b
    Examples:
      alpimonitor status
      alpimonitor status --url http://127.0.0.1:9877 --json
    """
    try:
        state = Live(url or own_address(os.environ)).state()
    except SettingsError as error:
        typer.echo(f"alpimonitor status: {error}", err=True)
        raise typer.Exit(2) from None
    except NoSidecar as error:
        typer.echo(f"alpimonitor status: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(state, indent=2, ensure_ascii=False) if as_json else told(state))
    if state["stale"] or state["phase"] not in ("healthy", "suspected", "resolved"):
        raise typer.Exit(1)


def told(state: dict[str, Any]) -> str:
    """The sidecar's state in lines for a terminal."""
    must_do = f"You must act: {state['must_do']}" if state["act"] else state["must_do"]
    lines = [f"{state['database']}: {state['label']}. {state['sentence']}", must_do]
    if state["stale"]:
        lines.insert(0, f"The sidecar has not looked for {state['age_seconds']:.0f} s: its loop hangs.")
    if state["incident"]:
        lines.append(f"incident {state['incident']['id']}, opened {state['incident']['opened_at']}")
        if person := state["incident"]["acknowledged"]:
            lines.append(f"{person['by']} is on it since {person['at']}")
    if hold := state["healing"]["hold"]:
        lines.append(f"healing held by {hold['by']} since {hold['at']}: {hold['reason']}")
    if pause := state["healing"]["pause"]:
        lines.append(f"healing paused by {pause['by']} until {pause['until']}: {pause['reason']}")
    if work := state["healing"]["maintenance"]:
        lines.append(f"maintenance until {work['until']}: {work['reason']}")
    if state["healing"]["refusal"]:
        lines.append(f"no heal now: {_refusal(state['healing'])}")
    if leader := state["leader"]:
        if leader["other_pid"]:
            lines.append(f"another sidecar leads, and heals: its session is {leader['other_pid']}")
        elif not leader["leads"]:
            lines.append("this sidecar does not lead, and heals nothing")
    for table in state["tables"]:
        rows = "not seen" if table["rows"] is None else f"{table['rows']}{'+' if table['capped'] else ''}"
        wanted = f" of {table['expected']}" if table["kind"] == "context" else ""
        why = f" ({table['detail']})" if table["detail"] else ""
        lines.append(f"  {table['name']:18} {rows:>8}{wanted:8} {table['condition']}{why}")
    warnings = [*state["warnings"], *([state["store_error"]] if state["store_error"] else [])]
    return "\n".join(lines + [f"warning: {warning}" for warning in warnings])


def _refusal(healing: dict[str, Any]) -> str:
    """Why no heal runs now, when it may, and what will refuse it in the end."""
    refusal, obstacle = healing["refusal"], healing["obstacle"]
    if obstacle and obstacle != refusal:
        return f"{refusal}; it will be refused: {obstacle}"
    seconds = healing["seconds_until_heal"]
    return f"{refusal}; heals in {seconds:.0f} s" if seconds >= 1 and not obstacle else str(refusal)

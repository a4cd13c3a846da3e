"""One operator's command and its talk with the sidecar: what is shown, asked, said, and the exit code."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import typer

from .live import Live, NoSidecar, Reply, own_address, own_token
from .problems import SettingsError
from .web.access_token import TokenError
from .web.asked import BY_AT_MOST


class Exit(IntEnum):
    """The exit codes of these commands."""

    DONE = 0
    NOT_CONFIRMED = 1
    USAGE = 2
    REFUSED = 7


class Call:
    """One command's talk with the sidecar: every way in which it fails is a sentence and an exit code."""

    def __init__(self, action: str, url: str | None, as_json: bool) -> None:
        self._action = action
        self._as_json = as_json
        try:
            self._live = Live(url or own_address(os.environ))
            self._token = own_token(os.environ)
        except (SettingsError, TokenError) as error:
            raise self.failed(str(error), Exit.USAGE) from None

    def confirm(self, yes: bool, show: Callable[[], str], question: str) -> None:
        """Show what is about to happen and ask, unless the operator said yes already."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise self.failed(
                "there is no terminal to ask at: say --yes to do it without being asked", Exit.USAGE
            )
        typer.echo(show(), err=True)
        if not typer.confirm(question, err=True):
            raise self.failed("nothing was done", Exit.NOT_CONFIRMED)

    def state(self) -> dict[str, Any]:
        try:
            return self._live.state()
        except NoSidecar as error:
            raise self.failed(str(error), Exit.NOT_CONFIRMED) from None

    def act(self, asked: dict[str, Any], told: Callable[[dict[str, Any]], str] | None = None) -> None:
        """Ask, and print what came of it."""
        said = self.answer(asked)
        if self._as_json:
            typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
        else:
            typer.echo(told(said) if told else f"{said['sentence']} ({said['state']})")

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._live.act(self._action, {**asked, "by": _who()}, self._token)
        except NoSidecar as error:
            raise self.failed(str(error), Exit.NOT_CONFIRMED) from None
        if reply.status == 200:
            return reply.said
        if self._as_json:
            typer.echo(json.dumps(reply.said, indent=2, ensure_ascii=False))
        if reply.status == 401:
            raise self.failed(
                f"the sidecar at {self._live.base} does not know this token: it is another one's, or an old "
                "one. Set WATCHDOG_STATE_DIR to that sidecar's, or WATCHDOG_TOKEN_FILE to its token.",
                Exit.USAGE,
            )
        raise self.failed(*_why(reply))

    def failed(self, message: str, code: Exit) -> typer.Exit:
        """The command's end, once the operator is told why."""
        typer.echo(f"alpimonitor watchdog {self._action}: {message}", err=True)
        return typer.Exit(code)


def _why(reply: Reply) -> tuple[str, Exit]:
    """What the operator is told when it was not done."""
    if reply.status == 409:
        return f"refused ({reply.said.get('refused')}): {reply.said.get('sentence')}", Exit.REFUSED
    problem = reply.said.get("error")
    if not isinstance(problem, dict):
        return f"the sidecar answered {reply.status}: {problem}", Exit.NOT_CONFIRMED
    told = f"{problem.get('message')} {problem.get('remedy')}"
    return told, Exit.USAGE if reply.status < 500 else Exit.NOT_CONFIRMED


def rows(state: dict[str, Any]) -> str:
    """The context tables, rows present and expected."""
    lines = [f"{state['database']}: {state['phase']}. {state['sentence']}"]
    for table in state["tables"]:
        if table["kind"] == "context":
            seen = "not seen" if table["rows"] is None else table["rows"]
            lines.append(f"  {table['name']:18} {seen:>8} of {table['expected']:<8} {table['condition']}")
    return "\n".join(lines)


def database(state: dict[str, Any]) -> str:
    """What is known of the database that answers, and its rows."""
    identity = (state["look"] or {}).get("identity") or {}
    known = [f"{name.replace('_', ' ')} {value}" for name, value in identity.items() if value is not None]
    return f"It answers as: {', '.join(known) or 'nothing that can be seen'}\n{rows(state)}"


def preview(said: dict[str, Any]) -> str:
    """What a heal would do, and each guard rail."""
    lines = [said["sentence"]]
    for rail in said["guards"]:
        verdict = "holds"
        if rail["reason"]:
            verdict = f"{'waits' if rail['waits'] else 'refuses'}: {rail['reason']}; {rail['remedy']}"
        lines.append(f"  {rail['guard'].replace('_', ' '):14} {verdict}")
    return "\n".join(lines)


def _who() -> str:
    """`user@host`; behind sudo the person's own name."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:BY_AT_MOST]

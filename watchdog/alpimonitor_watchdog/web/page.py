"""The status page: one document, nothing from elsewhere, escaped by default."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..core.advice import words


class Page:
    """Renders what /api/state and the store say, for a person who was just woken up."""

    def __init__(self) -> None:
        loader = PackageLoader("alpimonitor_watchdog.web", "templates")
        self._environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._environment.filters.update(
            clock=clock, moment=moment, ago=ago, duration=duration, words=words, told=told, code=code
        )
        self._style = self._part("page.css")
        self._script = self._part("page.js")

    @property
    def policy(self) -> str:
        """The Content-Security-Policy that lets this page's own style and script through, and no other."""
        return (
            f"default-src 'none'; style-src '{_hash(self._style)}'; script-src '{_hash(self._script)}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def render(
        self,
        state: dict[str, Any] | None,
        incidents: list[dict[str, Any]],
        incident: dict[str, Any] | None,
        *,
        now: datetime,
        store_error: str,
    ) -> str:
        """`state` None: no tick yet. `incident`: the open or the newest one, in full."""
        return self._environment.get_template("status.html").render(
            state=state,
            incidents=incidents,
            incident=incident,
            now=now,
            store_error=store_error,
            style=Markup(self._style),  # noqa: S704 - our own files
            script=Markup(self._script),  # noqa: S704
        )

    def _part(self, name: str) -> str:
        loader = self._environment.loader
        if loader is None:
            raise AssertionError("the environment was built with a loader")
        return loader.get_source(self._environment, name)[0]


def clock(text: str) -> str:
    """ "2026-04-21T12:10:00.000Z" -> "12:10:00"."""
    return text[11:19]


def moment(text: str) -> str:
    """ "2026-04-21T12:10:00.000Z" -> "2026-04-21 12:10:00 UTC"."""
    return f"{text[:10]} {text[11:19]} UTC"


def ago(text: str, now: datetime) -> str:
    """How long before `now`: "12 s ago". A clock that was set back gives "just now"."""
    seconds = (now - datetime.fromisoformat(text)).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """In the largest unit that says enough: "90 s", "45 min", "5 h", "12 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def told(detail: str) -> str:
    """A timeline's detail, its leading reason in words: "loss_confirmed: …" -> "loss confirmed: …"."""
    reason, separator, rest = detail.partition(": ")
    return detail if " " in reason else words(reason) + separator + rest


def code(sentence: str) -> Markup:
    """A sentence, what stands between backticks as code: commands are to be copied."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

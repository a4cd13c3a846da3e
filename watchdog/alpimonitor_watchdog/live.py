"""A running sidecar, asked over its own web surface by the commands that work beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .problems import SettingsError
from .variables import listen_address
from .web.access_token import FILE_NAME, Token, read_token

STATE_DIR = "var/watchdog"
_STATE_WITHIN = 5.0  # seconds
_ACTION_WITHIN = 45.0  # more than the sidecar takes to say that it has no answer


class NoSidecar(Exception):
    """Nothing that is a sidecar answers at the address. The text is for the operator."""


@dataclass(frozen=True)
class Reply:
    """What the sidecar said to an action: an HTTP status and an object."""

    status: int
    said: dict[str, Any]


@dataclass(frozen=True)
class Live:
    """The sidecar at `base`, such as "http://127.0.0.1:9877". Redirects and proxies are not followed.

    Raises SettingsError where `base` is no address at all: nobody needs to be asked to know that.
    """

    base: str

    def __post_init__(self) -> None:
        try:
            given = httpx.URL(self.base)
        except httpx.InvalidURL:
            given = httpx.URL()
        if given.scheme not in ("http", "https") or not given.host or not 0 <= (given.port or 0) <= 65535:
            raise SettingsError(
                f"{self.base} is not the address of a sidecar: an address looks like http://127.0.0.1:9877"
            )

    def state(self) -> dict[str, Any]:
        """What /api/state says. Raises NoSidecar, also while it has not looked yet."""
        reply = self._asked("GET", "/api/state", _STATE_WITHIN)
        if reply.status == 503:
            raise NoSidecar(f"the sidecar at {self.base} has not looked yet: ask again in a second")
        if reply.status != 200:
            raise self._none(f"answered {reply.status}")
        return reply.said

    def act(self, action: str, body: Mapping[str, Any], token: Token) -> Reply:
        """Ask for an action. Raises NoSidecar."""
        return self._asked("POST", f"/api/{action}", _ACTION_WITHIN, json=body, headers=token.header)

    def _asked(self, method: str, path: str, within: float, **more: Any) -> Reply:
        try:
            answer = httpx.request(
                method, f"{self.base.rstrip('/')}{path}", timeout=within, trust_env=False, **more
            )
            said = answer.json()
        except httpx.TimeoutException:
            raise self._none(f"no answer within {within:g} s") from None
        except httpx.HTTPError as error:
            raise self._none(str(error) or type(error).__name__) from None
        except ValueError:
            raise self._none("what answers there is something else") from None
        if not isinstance(said, dict):
            raise self._none("what answers there is something else")
        return Reply(answer.status_code, said)

    def _none(self, why: str) -> NoSidecar:
        return NoSidecar(
            f"no sidecar answers at {self.base} ({why}): "
            "start it with `alpimonitor watchdog run`, or give its address with --url"
        )


def own_address(environ: Mapping[str, str]) -> str:
    """Where WATCHDOG_LISTEN says that the sidecar of this environment listens. Raises SettingsError."""
    host, port = listen_address("WATCHDOG_LISTEN", environ)
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def own_token(environ: Mapping[str, str]) -> Token:
    """The token of the sidecar of this environment, or the one in WATCHDOG_TOKEN_FILE. Raises TokenError."""
    named = environ.get("WATCHDOG_TOKEN_FILE")
    return read_token(
        Path(named) if named else Path(environ.get("WATCHDOG_STATE_DIR") or STATE_DIR) / FILE_NAME
    )

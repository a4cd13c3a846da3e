"""What the environment says: secrets, references in the file, addresses. What cannot be used is fatal.

A secret comes from a variable NAME, or from the file that NAME_FILE names; a variable set to nothing counts
as not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from .problems import SettingsError


@dataclass(frozen=True)
class Read:
    """A variable that is read. `default` as one would write it; None where there is none."""

    default: str | None
    meaning: str


VARIABLES = {
    "WATCHDOG_CONFIG": Read(None, "the watchdog.toml to read; not set: the shipped profile"),
    "WATCHDOG_DATABASE_URL": Read(
        None,
        "the guarded database, by a role that only reads, directly and through no transaction pooler: "
        "`postgresql://role:password@host:5432/name`. `[database] url_env` may name another variable",
    ),
    "OWNER_DATABASE_URL": Read(
        None,
        "the guarded database, by the role that owns its tables; "
        "for `recorder` and `watchdog ledger --apply`",
    ),
    "WATCHDOG_HEAL_DATABASE_URL": Read(
        None, "kept from the programs that a heal runs; otherwise without effect until snapshots are restored"
    ),
    "WATCHDOG_STATE_DIR": Read(
        "var/watchdog", "the folder of the sidecar's own store, made with mode 0700; one sidecar for a folder"
    ),
    "WATCHDOG_LISTEN": Read(
        "127.0.0.1:9877",
        "host:port of the status page, the metrics and the health addresses; port 0 is any free one; "
        "`alpimonitor status` asks there, too",
    ),
    "WATCHDOG_PUBLIC_URL": Read(
        None, "the link to the status page in notifications; not set: where the page listens"
    ),
    "WATCHDOG_TOKEN_FILE": Read(
        None,
        "the file with the token that accept, hold and the other actions need; not set: the one that the "
        "sidecar keeps in `WATCHDOG_STATE_DIR`",
    ),
    "LOG_LEVEL": Read("info", "debug, info, warning, error or critical"),
    "LOG_FORMAT": Read("plain", "plain: a line for people; json: an object a line"),
}

PROFILE_VARIABLES = {
    "ALPIMONITOR_API_URL": Read("http://127.0.0.1:8000", "where consumers reach the API"),
    "DEPLOYMENT_ENVIRONMENT": Read("development", "what the database has to say it is"),
    "WATCHDOG_API_TOKEN": Read(
        None,
        "a token of the API with the scope watchdog, which its rate limit does not hold back; "
        "not set: none is sent",
    ),
    "WATCHDOG_NOTIFY_URL": Read(
        None, "an apprise URL that hears of everything; not set: the channel `notify` is left out"
    ),
    "WATCHDOG_PAGE_URL": Read(
        None, "an apprise URL that wakes somebody; not set: the channel `page` is left out"
    ),
}

_EXPANDED_KEYS = ("url", "environment")
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}")
_TOKEN = re.compile(r"[!-~]{1,4096}")
_DATABASE_URL = "a URL such as postgresql://role:password@host:5432/name, special characters as %XX"


def expanded(written: Any, environ: Mapping[str, str], *, inside: bool = False) -> Any:
    """Replace ${NAME} and ${NAME:-default} in the texts below the keys `url` and `environment`.

    Raises SettingsError when a variable is not set and has no default.
    """
    if isinstance(written, dict):
        return {
            key: expanded(value, environ, inside=inside or key in _EXPANDED_KEYS)
            for key, value in written.items()
        }
    if isinstance(written, list):
        return [expanded(value, environ, inside=inside) for value in written]
    if not inside or not isinstance(written, str):
        return written

    def resolved(reference: re.Match[str]) -> str:
        name = reference["name"]
        value = environ.get(name) or reference["default"]
        if value is None:
            raise SettingsError(
                f"${{{name}}} names an environment variable that is not set: "
                f"set {name}, or write ${{{name}:-default}}"
            )
        return value

    return _REFERENCE.sub(resolved, written)


def secret(name: str, environ: Mapping[str, str], *, what: str = "the URL") -> SecretStr | None:
    """The value of a variable, or of the file that its _FILE names; None when neither is set."""
    if value := environ.get(name, "").strip():
        return SecretStr(value)
    file = environ.get(f"{name}_FILE")
    if not file:
        return None
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise SettingsError(
            f"{name}_FILE names {file}, which cannot be read ({reason}): name one that the sidecar may read"
        ) from None
    if not value:
        raise SettingsError(f"{name}_FILE names {file}, which is empty: write {what} into it")
    return SecretStr(value)


def bearer_token(name: str, environ: Mapping[str, str]) -> SecretStr | None:
    """A token that fits into a header; None when it is not set."""
    token = secret(name, environ, what="the token")
    if token is not None and _TOKEN.fullmatch(token.get_secret_value()) is None:
        # Refused here: whoever sends it would quote it in an error.
        raise SettingsError(
            f"{name} is not a bearer token (its value is not shown here): set it to one word of visible "
            f"ASCII characters, such as `alpimonitor token create` prints, or let {name}_FILE name a file "
            "that holds one"
        )
    return token


def database_url(name: str, environ: Mapping[str, str]) -> SecretStr:
    """libpq's URL form, with a database named: libpq would silently take the role's name for it."""
    url = secret(name, environ)
    if url is None:
        raise SettingsError(
            f"{name} is not set: set it to {_DATABASE_URL}, or let {name}_FILE name a file that holds it"
        )
    reason = _unusable(url.get_secret_value())
    if reason:
        raise SettingsError(f"{name} {reason} (its value is not shown here): set it to {_DATABASE_URL}")
    return url


def _unusable(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        return "does not begin with postgresql://"
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The driver's message quotes the piece it stumbled on, which may be the password.
        return "is not a URL that PostgreSQL's client understands"
    if not parts.get("dbname"):
        return "names no database"
    if not all(port.isdigit() for port in str(parts.get("port", "5432")).split(",") if port):
        return "has a port that is not a number"
    return ""


def text(name: str, environ: Mapping[str, str]) -> str:
    """What a variable says, else its default; empty without either."""
    return environ.get(name) or VARIABLES[name].default or ""


def listen_address(name: str, environ: Mapping[str, str]) -> tuple[str, int]:
    """`host:port`, an IPv6 address in brackets; port 0 is any free one."""
    written, default = text(name, environ), VARIABLES[name].default
    found = re.fullmatch(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(?P<port>\d{1,5})", written)
    if found is None or int(found["port"]) > 65535:
        raise SettingsError(f"{name} is {written!r}: set it to host:port such as {default} or [::1]:9877")
    return found["host"].strip("[]"), int(found["port"])


def public_address(name: str, environ: Mapping[str, str]) -> str | None:
    """An http or https address without credentials; None when it is not set."""
    written = environ.get(name)
    if not written:
        return None
    parts = urlsplit(written)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise SettingsError(
            f"{name} is not an address that can be shown to people: "
            "set it to http://host:port/ or https://host/, without user and password"
        )
    return written


def one_of(name: str, allowed: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """A word of a closed list, in any case; returned in lower case."""
    written = text(name, environ)
    if written.lower() not in allowed:
        raise SettingsError(f"{name} is {written!r}: set it to one of {', '.join(allowed)}")
    return written.lower()

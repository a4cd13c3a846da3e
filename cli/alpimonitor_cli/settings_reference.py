"""The settings reference: what the packages declare of their settings, joined into one page.

The page of the repository is written by `alpimonitor settings reference --output runbooks/settings.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

from pydantic.fields import FieldInfo

from alpimonitor_api.settings import Settings
from alpimonitor_cli import boot
from alpimonitor_cli.roles import names as roles
from alpimonitor_rehearsal import variables as rehearsal
from alpimonitor_seed import variables as seed
from alpimonitor_watchdog import variables as watchdog
from alpimonitor_watchdog.reference import Section, sections

HEAD = """\
# Settings

Written by `alpimonitor settings reference` from what the programs declare; a test compares the two. The
environment beats the file, and a variable set to nothing counts as not set. A value that cannot be used ends
the start with exit code 2, its name, the shape that is expected and the remedy.

## watchdog.toml

`WATCHDOG_CONFIG` names the file. Without it the profile of AlpiMonitor is used, a commented example of nearly
everything: [alpimonitor.toml](../watchdog/alpimonitor_watchdog/profiles/alpimonitor.toml).
`alpimonitor watchdog check` says whether a file can be used, and what it does not cover.

- Every section may be left out but `[[table]]`. An unknown key is an error.
- A duration is a number and its unit, in quotes: `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`.
- Below the keys `url` and `environment`, `${NAME}` and `${NAME:-default}` are replaced from the environment.
- A secret is never written here: `url_env` names the variable that holds it.
"""

ENVIRONMENT = """\
## Environment

What a URL of PostgreSQL leaves open, libpq takes from its own variables, such as `PGSSLMODE`. Special
characters of a password are percent-encoded.
"""

COMPOSE = """\
### compose.yaml

[.env.example](../.env.example) has the passwords and addresses that `compose.yaml` asks for.
"""


class Explained(Protocol):
    """How each package declares a variable that it reads."""

    @property
    def default(self) -> str | None: ...
    @property
    def meaning(self) -> str: ...


@dataclass(frozen=True)
class Variable:
    """An environment variable that is read."""

    name: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Part:
    """The variables of one program. `note` may be empty."""

    title: str
    note: str
    variables: tuple[Variable, ...]


def parts() -> tuple[Part, ...]:
    """The environment variables, in the order in which a deployment needs them."""
    from_file = "A secret is taken from NAME or from the file that NAME_FILE names, so for any `url_env`."
    inherited = (
        "Its processes inherit the language, the time zone and PATH, with `--lindas live` those of "
        "a proxy, and nothing else."
    )
    return (
        Part("boot and db", "", _listed(boot.VARIABLES)),
        Part("roles, and a boot that prepares", "", _listed(roles.VARIABLES)),
        Part("API and ingestion", "", tuple(_of_field(*field) for field in Settings.model_fields.items())),
        Part("seed", "", _listed(seed.VARIABLES)),
        Part("Sidecar", from_file, _listed(watchdog.VARIABLES)),
        Part("The sidecar's shipped profile", "", _listed(watchdog.PROFILE_VARIABLES)),
        Part("demo", inherited, _listed(rehearsal.DEMO)),
        Part("Tests and ./dev", "", _listed(rehearsal.TESTS)),
    )


def document() -> dict[str, Any]:
    """The reference for programs."""
    return {
        "sections": [asdict(section) for section in sections()],
        "environment": [asdict(part) for part in parts()],
    }


def page() -> str:
    """The reference as Markdown."""
    blocks = [
        HEAD,
        *(_section(section) for section in sections()),
        ENVIRONMENT,
        *map(_part, parts()),
        COMPOSE,
    ]
    return "\n".join(block.strip("\n") + "\n" for block in blocks)


def _listed(declared: Mapping[str, Explained]) -> tuple[Variable, ...]:
    return tuple(Variable(name, read.default, read.meaning) for name, read in declared.items())


def _of_field(name: str, field: FieldInfo) -> Variable:
    meaning = ": ".join(text for text in (field.title, field.description) if text)
    default = None if field.is_required() else _default(field.default)
    return Variable(name.upper(), default, meaning)


def _default(value: Any) -> str | None:
    """A default of the API as one would write it."""
    match value:
        case None | ():
            return None
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds() / 60:g}"
        case Enum():
            return str(value.value)
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _section(section: Section) -> str:
    rows = (
        (f"`{key.name}`", key.shape, _code(key.default) or ("required" if key.required else "–"), key.meaning)
        for key in section.keys
    )
    table = "\n".join(_table(("key", "value", "default", "meaning"), rows))
    return f"### `{section.heading}`\n\n{section.meaning}\n\n```toml\n{section.example}\n```\n\n{table}"


def _part(part: Part) -> str:
    rows = ((f"`{each.name}`", _code(each.default) or "–", each.meaning) for each in part.variables)
    table = "\n".join(_table(("variable", "default", "meaning"), rows))
    note = f"{part.note}\n\n" if part.note else ""
    return f"### {part.title}\n\n{note}{table}"


def _code(default: str | None) -> str:
    if default is None:
        return ""
    return default if default.startswith("`") or " " in default else f"`{default}`"


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"

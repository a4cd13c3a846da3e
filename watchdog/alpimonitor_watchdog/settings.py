"""The sidecar's settings: watchdog.toml and the environment, read once at start into one frozen object.

Environment beats file. A value that cannot be used is fatal: `load` raises SettingsError, whose text names
the place, the shape that is expected and the remedy, and never shows a value that may hold a secret.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr, ValidationError

from .core.brakes import Window
from .core.model import Policy
from .core.seen import Expectation, TableExpected
from .core.words import Tag
from .declaration import (
    Declaration,
    HealCommand,
    Healing,
    Health,
    Heartbeat,
    Ingestion,
    Maintenance,
    PolicySection,
    Revision,
    Table,
)
from .problems import SettingsError, described
from .variables import (
    bearer_token,
    database_url,
    expanded,
    listen_address,
    one_of,
    public_address,
    secret,
    text,
)

__all__ = ["SHIPPED_PROFILE", "Channel", "Settings", "SettingsError", "load"]

SHIPPED_PROFILE = Path(__file__).parent / "profiles" / "alpimonitor.toml"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("plain", "json")


@dataclass(frozen=True)
class Channel:
    """Where notifications go: an apprise URL, and which notifications it carries."""

    name: str
    url: SecretStr
    tags: frozenset[Tag]


@dataclass(frozen=True)
class Settings:
    """Everything the sidecar is told from outside. Durations in seconds."""

    config: Path
    database_url: SecretStr
    environment: str | None
    application_role: str | None
    lock_prefix: str
    tables: tuple[Table, ...]
    evidence: tuple[tuple[str, str], ...]  # name and statement of each query
    revision: Revision | None
    ingestion: Ingestion | None
    health: tuple[Health, ...]
    policy: PolicySection
    healing: Healing
    heal_command: HealCommand | None
    maintenance: tuple[Maintenance, ...]
    heartbeat: Heartbeat | None
    channels: tuple[Channel, ...]
    state_dir: Path
    listen_host: str
    listen_port: int
    public_url: str | None  # where people open the status page; None: where it listens
    log_level: str  # lower case
    log_format: str  # plain or json
    tokens: Mapping[str, SecretStr] = field(default_factory=dict)  # by the variable that `token_env` names
    secret_names: frozenset[str] = frozenset()  # the sidecar's own variables, no business of a child process
    warnings: tuple[str, ...] = ()  # what works, and not as somebody may believe

    @property
    def leader_lease(self) -> float:
        """Seconds for which a sidecar that leads may go on without an answer of the database."""
        return self.policy.leader_lease or max(1.0, self.policy.interval)

    @property
    def database_place(self) -> str:
        """`name@host:port`, without user and password."""
        parts = conninfo_to_dict(self.database_url.get_secret_value())
        return f"{parts['dbname']}@{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"

    def expectation(self) -> Expectation:
        """What a healthy system looks like."""
        usual = Expectation(tables=())
        return Expectation(
            tables=tuple(_expected(table) for table in self.tables),
            revisions=frozenset(self.revision.allowed) if self.revision else usual.revisions,
            stations=self.ingestion.expected if self.ingestion else usual.stations,
            ingestion_interval=self.ingestion.interval if self.ingestion else usual.ingestion_interval,
            stale_after=self.ingestion.stale_after if self.ingestion else usual.stale_after,
            environment=self.environment,
            # The address that ingestion is read from is one of them.
            health_watched=bool(self.health or self.ingestion),
        )

    def core_policy(self) -> Policy:
        """The numbers of deciding, and the first healer of the order that is declared."""
        shared = {number.name for number in fields(Policy)} & set(PolicySection.model_fields)
        declared = {"command": self.heal_command is not None}
        return Policy(
            mode=self.healing.mode,
            healer=next((healer for healer in self.healing.order if declared[healer]), None),
            maintenance=tuple(
                Window(planned.reason, planned.start, planned.end) for planned in self.maintenance
            ),
            **{name: getattr(self.policy, name) for name in shared},
        )


def _expected(table: Table) -> TableExpected:
    expected = table.expected or 0
    return TableExpected(
        name=table.name,
        context=table.kind == "context",
        floor=expected if table.floor is None else table.floor,
        expected=expected,
    )


def load(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """Read the declaration that `config`, else WATCHDOG_CONFIG, names; else the shipped profile.

    Raises SettingsError with a line for each thing that cannot be used.
    """
    path = config or Path(text("WATCHDOG_CONFIG", environ) or SHIPPED_PROFILE)
    declared = _declaration(path, environ)
    channels, without_channel = _channels(declared, environ)
    host, port = listen_address("WATCHDOG_LISTEN", environ)
    return Settings(
        config=path,
        database_url=database_url(declared.database.url_env, environ),
        environment=declared.database.environment,
        application_role=declared.database.application_role,
        lock_prefix=declared.database.lock_prefix,
        tables=declared.table,
        evidence=tuple(declared.evidence.queries.items()),
        revision=declared.revision,
        ingestion=declared.ingestion,
        health=declared.health,
        policy=declared.policy,
        healing=declared.healing,
        heal_command=declared.heal.command,
        maintenance=declared.maintenance,
        heartbeat=declared.heartbeat,
        channels=channels,
        state_dir=Path(text("WATCHDOG_STATE_DIR", environ)),
        listen_host=host,
        listen_port=port,
        public_url=public_address("WATCHDOG_PUBLIC_URL", environ),
        log_level=one_of("LOG_LEVEL", LOG_LEVELS, environ),
        log_format=one_of("LOG_FORMAT", LOG_FORMATS, environ),
        tokens=_tokens(declared, environ),
        secret_names=_secret_names(declared),
        warnings=(*without_channel, *_without_effect(declared)),
    )


def declared_tables(environ: Mapping[str, str]) -> tuple[Table, ...]:
    """The tables of the declaration that `load` would read, for whoever needs nothing else of it.

    Raises SettingsError.
    """
    return _declaration(Path(text("WATCHDOG_CONFIG", environ) or SHIPPED_PROFILE), environ).table


def _declaration(path: Path, environ: Mapping[str, str]) -> Declaration:
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        replaced = expanded(written, environ)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}): let WATCHDOG_CONFIG name a watchdog.toml, "
            "or unset it to use the shipped profile"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}; see https://toml.io") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    try:
        # Through JSON, where pydantic is strict about numbers and still takes a list for a tuple.
        return Declaration.model_validate_json(json.dumps(replaced, default=str))
    except ValidationError as error:
        problems = [f"{path}: {line}" for line in described(error, Declaration, written)]
    # Outside the handler: a chained ValidationError would carry the values into a traceback.
    raise SettingsError("\n".join(problems))


def _channels(
    declared: Declaration, environ: Mapping[str, str]
) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """The channels that have a URL, and a warning for what is missing."""
    channels: list[Channel] = []
    warnings: list[str] = []
    for channel in declared.channel:
        url = secret(channel.url_env, environ)
        if url is not None:
            channels.append(Channel(channel.name, url, frozenset(channel.tags)))
        elif channel.required:
            raise SettingsError(
                f"[[channel]] {channel.name!r} needs the environment variable {channel.url_env}, "
                f"which is not set: set it to an apprise URL, let {channel.url_env}_FILE name a file "
                "that holds one, or give the channel required = false"
            )
        else:
            warnings.append(f"channel {channel.name!r} is left out: {channel.url_env} is not set")
    carried = {tag for channel in channels for tag in channel.tags}
    if not channels:
        warnings.append("no channel: nobody is notified of anything")
    elif Tag.PAGE not in carried:
        warnings.append("no channel with the tag page: nobody is paged when a heal fails or is refused")
    elif Tag.NOTIFY not in carried:
        warnings.append("no channel with the tag notify: nobody hears of an incident that heals itself")
    return tuple(channels), tuple(warnings)


def _token_names(declared: Declaration) -> frozenset[str]:
    asked = (*declared.health, *((declared.ingestion,) if declared.ingestion else ()))
    return frozenset(place.token_env for place in asked if place.token_env is not None)


def _tokens(declared: Declaration, environ: Mapping[str, str]) -> Mapping[str, SecretStr]:
    """The tokens that are set."""
    found = {name: bearer_token(name, environ) for name in sorted(_token_names(declared))}
    return {name: token for name, token in found.items() if token is not None}


def _secret_names(declared: Declaration) -> frozenset[str]:
    names = {
        "WATCHDOG_HEAL_DATABASE_URL",
        declared.database.url_env,
        *(channel.url_env for channel in declared.channel),
        *_token_names(declared),
        *([declared.heartbeat.url_env] if declared.heartbeat else []),
    }
    return frozenset(names | {f"{name}_FILE" for name in names})


def _without_effect(declared: Declaration) -> tuple[str, ...]:
    present = {"[heartbeat]": declared.heartbeat}
    return tuple(
        f"{section} is declared and has no effect in this version"
        for section, value in present.items()
        if value
    )

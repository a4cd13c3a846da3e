"""The API's settings: one frozen object, read from the environment once, by whoever is main.

Every field is the environment variable of the same name in capitals; a variable set to nothing counts as not
set. A value that cannot be used is fatal at start: `load` raises `SettingsError`, whose text names each
variable, says what shape is expected and what to do, and never shows the value of one that may hold a secret.

A field's description is that shape; its title, where the description does not tell, what the value is for.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LINDAS_ENDPOINT = "https://lindas.admin.ch/query"
"""The public SPARQL endpoint that carries the federal hydrology."""

LONGEST_SCHEDULE_MINUTES = 24 * 60


class SettingsError(Exception):
    """The environment does not describe a server that can start. The text is for the operator."""


class LogFormat(Enum):
    PLAIN = "plain"  # a line a person reads
    JSON = "json"  # an object a line, for a log collector


class LogLevel(Enum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def check_database_url(value: SecretStr) -> SecretStr:
    """Only libpq's URL form, with a database named: libpq would silently take the role's name for it."""
    url = value.get_secret_value()
    if any(character.isspace() for character in url):
        raise ValueError("it holds white space")
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("it does not begin with postgresql://")
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The driver's message quotes the piece it stumbled on, which may be the password.
        raise ValueError("it is not a URL that PostgreSQL's client understands") from None
    if not parts.get("dbname"):
        raise ValueError("it names no database")
    # A password that is not encoded ends at its first / or @; the rest passes for port, database or host, and
    # would be told in messages as such.
    if not all(port.isdecimal() for port in str(parts.get("port", "5432")).split(",") if port):
        raise ValueError("its port is not a number")
    hosts = str(parts.get("host", "")).split(",")
    if any("@" in host[1:] for host in hosts) or ("@" in str(parts["dbname"]) and "%40" not in url):
        raise ValueError("it holds an @ too many")
    return value


def upper_case(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def split_origins(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """An origin is compared as text with what a browser sends: one written differently would never match."""
    for origin in origins:
        if origin == "*":
            raise ValueError("it holds *, and this is a list of those who are allowed")
        parts = urlsplit(origin)
        if "@" in parts.netloc:
            raise ValueError("one of them carries a user name")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{origin!r} is not an origin")
        if origin != origin.lower():
            raise ValueError(f"{origin!r} is not in lower case")
        if origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{origin!r} holds more than scheme, host and port")
    return origins


def parse_schedule(value: object) -> object:
    """`10` and `*/10 * * * *` both mean every ten minutes; no other cron expression is offered."""
    if not isinstance(value, str):
        return value
    written = re.fullmatch(r"(?P<minutes>\d{1,4})|\*/(?P<step>\d{1,2})( \*){4}", " ".join(value.split()))
    if written is None:
        raise ValueError("it is neither a number of minutes nor */N * * * *")
    minutes = int(written["minutes"] or written["step"])
    if not 1 <= minutes <= (LONGEST_SCHEDULE_MINUTES if written["minutes"] else 59):
        raise ValueError("the number of minutes is out of bounds")
    return timedelta(minutes=minutes)


def check_endpoint(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, or a port that is none
        usable = False
    if not usable or any(character.isspace() for character in value):
        raise ValueError("it is not an http or https address")
    return value


def parse_networks(value: object) -> object:
    """`10.0.0.0/8, ::1`: networks between commas; an address alone is a network of one."""
    if not isinstance(value, str):
        return value
    networks = []
    for part in (part.strip() for part in value.split(",")):
        if not part:
            continue
        try:
            networks.append(ip_network(part))
        except ValueError as error:
            # The library's words say which: not an address at all, or one with bits beyond its network's.
            raise ValueError(str(error)) from None
    return tuple(networks)


Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(parse_networks)]
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1"))


class Settings(BaseSettings):
    """Everything the API and its ingestion are told from outside. Immutable; no module keeps one."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    database_url: Annotated[SecretStr, AfterValidator(check_database_url)] = Field(
        title="the database, as the role of the API and of ingestion",
        description="a URL such as postgresql://role:password@host:5432/name, special characters as %XX",
        json_schema_extra={"may_hold_a_secret": True},
    )
    database_pool_size: int = Field(
        default=8, ge=1, le=200, description="the most connections to keep to PostgreSQL, 1 to 200, such as 8"
    )
    database_timeout_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="the longest wait for PostgreSQL, in seconds, above 0 and at most 60, such as 2",
    )
    database_transaction_pooler: bool = Field(
        default=False,
        description="true or false; true behind a transaction pooler such as PgBouncer, "
        "which bears neither prepared statements nor session settings",
    )
    host: str = Field(
        default="127.0.0.1", min_length=1, description="the address to listen on, such as 127.0.0.1"
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        title="the port to listen on",
        description="a port from 1 to 65535, such as 8000, or 0 for any free one",
    )
    behind_tls: bool = Field(
        default=False, description="true or false; true when every client reaches the API over https"
    )
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split_origins), AfterValidator(check_origins)
    ] = Field(
        default=(),
        title="the browsers that may read the answers",
        description="origins between commas, each scheme://host[:port] without a path, such as https://example.ch",
        json_schema_extra={"may_hold_a_secret": True},
    )
    rate_limit: int = Field(
        default=60,
        ge=1,
        le=1_000_000,
        title="how often one address may ask; /health and /status are free",
        description="requests a minute and address, 1 to 1000000, such as 60",
    )
    trusted_proxies: Networks = Field(
        default=(),
        title="the proxies whose X-Forwarded-For names the client",
        description="networks between commas, such as 192.0.2.0/24; without one the client is who connects",
    )
    cache_seconds: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="how long an answer may be given again",
        description="seconds, 0 (never) to 1: a cache must not hide an emptied database for longer",
    )
    api_tokens_file: Path | None = Field(
        default=None,
        title="the tokens of operators, hashed; without one nobody tunes a threshold",
        description="a file that `alpimonitor token create` writes, readable by this process",
    )
    metrics_from: Networks = Field(
        default=LOOPBACK,
        title="who may read /metrics",
        description="networks between commas, such as 127.0.0.0/8, ::1; never a client behind a proxy",
    )
    log_level: Annotated[LogLevel, BeforeValidator(upper_case)] = Field(
        default=LogLevel.INFO,
        title="how much is logged",
        description="one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
    )
    log_format: Annotated[LogFormat, BeforeValidator(lower_case)] = Field(
        default=LogFormat.PLAIN, title="how lines are logged", description="plain or json"
    )
    ingestion_enabled: bool = Field(
        default=True, description="true or false; false when another process fetches the measurements"
    )
    ingestion_schedule: Annotated[timedelta, BeforeValidator(parse_schedule)] = Field(
        default=timedelta(minutes=10),
        description=f"minutes between runs, 1 to {LONGEST_SCHEDULE_MINUTES}, such as 10, or */10 * * * *",
    )
    ingestion_healthy_threshold_minutes: int = Field(
        default=30,
        ge=1,
        le=7 * LONGEST_SCHEDULE_MINUTES,
        description="minutes after which a silent ingestion counts as unhealthy, 1 or more, such as 30",
    )
    lindas_endpoint: Annotated[str, AfterValidator(check_endpoint)] = Field(
        default=LINDAS_ENDPOINT,
        description=f"the address of a SPARQL endpoint, such as {LINDAS_ENDPOINT}",
        json_schema_extra={"may_hold_a_secret": True},
    )
    lindas_archive_dir: Path | None = Field(
        default=None,
        title="where raw payloads are kept for 30 days, if anywhere",
        description="a folder that the process may write to, for the raw payloads",
    )
    deployment_environment: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        title="what this deployment is",
        description="the environment's name in lower case, such as production, staging or development",
    )


def load() -> Settings:
    """Read the environment. Raises SettingsError with one line for each variable that cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [describe(found) for found in error.errors(include_url=False, include_context=False)]
    # Outside the handler: a chained ValidationError would carry the values into a traceback.
    raise SettingsError("\n".join(problems))


def describe(problem: Any) -> str:
    """One of pydantic's errors as a line: the variable, what is wrong with it, what it should look like."""
    name = str(problem["loc"][0])
    field = Settings.model_fields[name]
    variable = name.upper()
    if problem["type"] == "missing":
        return f"{variable} is not set: set it to {field.description}"
    extra = field.json_schema_extra
    secret = isinstance(extra, dict) and bool(extra.get("may_hold_a_secret"))
    shown = "has a value that is not shown here" if secret else f"is {problem['input']!r}"
    reason = ""
    if problem["type"] == "value_error":
        reason = ", but " + problem["msg"].removeprefix("Value error, ")
    return f"{variable} {shown}{reason}: set it to {field.description}"

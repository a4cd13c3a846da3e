"""Brings a database to the newest revision: under one lock, in one transaction, within time-outs."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

import alpimonitor_api
from alpimonitor_cli.application_name import application_name
from alpimonitor_seed.target import is_local, parse

ENVIRONMENT_SHAPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
DEFAULT_ENVIRONMENT = "development"


class Unreachable(Exception):
    """The database cannot be reached with these credentials. The text is the server's, without a password."""


class MigrationFailed(Exception):
    """The database is as it was before; the text says what stood in the way."""


class RevisionUnknown(Exception):
    """The database is there and does not tell its revision; the text says why."""


class EnvironmentUnusable(Exception):
    """DEPLOYMENT_ENVIRONMENT is needed for this database and missing, or has no usable shape."""


@dataclass(frozen=True)
class Limits:
    """How long a migration may take, in seconds, before it gives up and leaves the database as it was."""

    other_migration: float = 120  # waiting for another replica that migrates
    table_lock: float = 10  # waiting for a table that somebody else holds
    statement: float = 300
    connect: int = 10


@dataclass(frozen=True)
class Migrated:
    """What a migration did: the revisions before (None: an empty database) and after."""

    before: str | None
    after: str
    environment: str  # of the `deployment` row, however old

    @property
    def changed(self) -> bool:
        return self.before != self.after


def migrations_folder() -> Path:
    """Where the revisions are: the checkout's own, else those inside the installed package.

    The checkout comes first because an editable install copies force-included files once, and they go stale.
    """
    package = Path(alpimonitor_api.__file__).resolve().parent
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "migrations" / "env.py").is_file():
        return checkout / "migrations"
    return package / "_migrations"


def head(migrations: Path | None = None) -> str:
    """The newest revision that this version of the program knows. Raises MigrationFailed."""
    folder = migrations or migrations_folder()
    try:
        revision = ScriptDirectory.from_config(_config(folder)).get_current_head()
    except Exception as error:  # a revision is a program: reading it may fail in any way
        raise MigrationFailed(f"the revisions in {folder} cannot be read: {_named(error)}") from error
    if revision is None:
        raise MigrationFailed(f"no revisions in {folder}: the installation is incomplete")
    return revision


def current(url: str, *, limits: Limits | None = None) -> str | None:
    """The database's revision, None when it was never migrated. Raises Unreachable or RevisionUnknown."""
    limits = limits or Limits()
    try:
        with _connect(url, limits) as connection:
            _limit(connection, "lock_timeout", limits.table_lock)
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise RevisionUnknown(_explained(error)) from error
    except CommandError as error:
        raise RevisionUnknown(str(error)) from error


def upgrade(
    url: str, *, environment: str | None, limits: Limits | None = None, migrations: Path | None = None
) -> Migrated:
    """Migrate to the newest revision and, on the first run, write the `deployment` row.

    Safe when several replicas call it at once: the `migration` lock makes them take turns, and the later ones
    find nothing to do. Everything happens in one transaction, so that a failure changes nothing.

    Raises Unreachable, EnvironmentUnusable or MigrationFailed.
    """
    limits = limits or Limits()
    migrations = migrations or migrations_folder()
    target = head(migrations)
    connection = _connect(url, limits)
    try:
        with connection, connection.begin():
            _take_turn(connection, limits)
            before = MigrationContext.configure(connection).get_current_revision()
            if before != target:
                config = _config(migrations)
                config.attributes["connection"] = connection
                _run_revisions(config)
            return Migrated(before, target, _deployment(connection, url, environment))
    except DBAPIError as error:
        raise MigrationFailed(_explained(error)) from error
    except CommandError as error:
        raise MigrationFailed(
            f"{error}. Another version of the program has migrated this database: run that or a newer one"
        ) from error


def _run_revisions(config: Config) -> None:
    """A revision is a program and may fail in any way; the caller's transaction undoes what it did."""
    try:
        command.upgrade(config, "head")
    except (DBAPIError, CommandError):
        raise
    except Exception as error:
        raise MigrationFailed(f"a revision failed: {_named(error)}") from error


def _named(error: Exception) -> str:
    """`ValueError: what it says`, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _config(migrations: Path) -> Config:
    config = Config()
    # The option goes through ConfigParser, to which a percent sign is syntax.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


def _connect(url: str, limits: Limits) -> Connection:
    """Connect through libpq's own URL, of which SQLAlchemy understands only a part."""

    def open_connection() -> psycopg.Connection:
        return psycopg.connect(
            url,
            connect_timeout=limits.connect,
            application_name=application_name("migrate"),
            client_encoding="utf8",  # in a database of encoding SQL_ASCII text would come as bytes
            prepare_threshold=None,  # so that a transaction pooler may stand in between
            autocommit=False,
        )

    engine: Engine = create_engine("postgresql+psycopg://", creator=open_connection, poolclass=NullPool)
    try:
        return engine.connect()
    except DBAPIError as error:
        raise Unreachable(str(error.orig).strip()) from error


def _take_turn(connection: Connection, limits: Limits) -> None:
    """Wait for the `migration` lock, which the transaction's end gives back, then bound what follows."""
    _be_missed(connection)
    _limit(connection, "lock_timeout", limits.other_migration)
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:migration', 0))"))
    _limit(connection, "lock_timeout", limits.table_lock)
    _limit(connection, "statement_timeout", limits.statement)


def _be_missed(connection: Connection) -> None:
    """Killed in the middle of a statement, a migration would keep its lock until that statement has ended."""
    try:
        with connection.begin_nested():
            connection.execute(text("SELECT set_config('client_connection_check_interval', '1s', true)"))
    except DBAPIError as error:
        # A server on a system that cannot tell refuses the setting, and does without.
        if not isinstance(error.orig, psycopg.errors.InvalidParameterValue):
            raise


def _limit(connection: Connection, setting: str, seconds: float) -> None:
    connection.execute(
        text("SELECT set_config(:setting, :value, true)"),
        {"setting": setting, "value": f"{round(seconds * 1000)}ms"},
    )


def _deployment(connection: Connection, url: str, environment: str | None) -> str:
    """The environment the database says it belongs to, written now if it never was."""
    found: str | None = connection.execute(text("SELECT environment FROM deployment")).scalar()
    if found is not None:
        return found
    chosen = _environment(url, environment)
    connection.execute(
        text("INSERT INTO deployment (id, environment) VALUES (:id, :environment)"),
        {"id": uuid.uuid4(), "environment": chosen},
    )
    return chosen


def _environment(url: str, environment: str | None) -> str:
    if environment:
        if not ENVIRONMENT_SHAPE.fullmatch(environment):
            raise EnvironmentUnusable(
                f"DEPLOYMENT_ENVIRONMENT is {environment!r}: use lower-case letters, digits, - and _, "
                "such as production, staging or development"
            )
        return environment
    if is_local(parse(url, variable="the database URL")):
        return DEFAULT_ENVIRONMENT
    raise EnvironmentUnusable(
        "DEPLOYMENT_ENVIRONMENT is not set, and this database is not on this machine: set it to the "
        "environment's name, such as production or staging; the first migration writes it into the database"
    )


def _explained(error: DBAPIError) -> str:
    """The server's words, and what to do where that is known. Statements and parameters are left out."""
    said = str(error.orig).strip()
    match getattr(error.orig, "sqlstate", None):
        case "55P03":
            remedy = (
                "somebody holds a lock for too long: look for it in pg_stat_activity, then run this again"
            )
        case "57014":
            remedy = "a statement took longer than its time-out: run this again when the database is quieter"
        case "42501":
            remedy = "the role may not change the schema: give OWNER_DATABASE_URL a role that owns it"
        case "25006":
            remedy = "the database is read-only, perhaps a standby: point OWNER_DATABASE_URL at the primary"
        case _:
            return said
    return f"{said}; {remedy}"

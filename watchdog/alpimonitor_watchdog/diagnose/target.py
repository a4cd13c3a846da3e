"""What is looked at: as watchdog.toml declares it, or only a database and the names of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from ..core.model import Policy
from ..core.seen import Expectation, TableExpected
from ..probe import names
from ..probe.catalog import Guarded
from ..settings import Settings, SettingsError, load
from ..variables import database_url

URL_VARIABLE = "WATCHDOG_DATABASE_URL"


@dataclass(frozen=True)
class Target:
    """A database, the tables to look at, and what is expected of them.

    `declared` False: nobody said how many rows there have to be. `state_dir`: where a sidecar keeps what it
    saw; None: nothing says that a sidecar watches this database.
    """

    url: SecretStr
    tables: tuple[Guarded, ...]
    expected: Expectation
    policy: Policy
    declared: bool
    state_dir: Path | None = None
    count_limit: int = 10_000
    revision_query: str | None = None
    application_role: str | None = None
    lock_prefix: str = "alpimonitor"

    @property
    def place(self) -> str:
        """`name@host:port`, without user and password."""
        parts = conninfo_to_dict(self.url.get_secret_value())
        return f"{parts['dbname']}@{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"


def as_declared(
    environ: Mapping[str, str], config: Path | None, variable: str | None, state_dir: Path | None
) -> Target:
    """The sidecar's own database, or the one that `variable` names, by the sidecar's declaration.

    Raises SettingsError.
    """
    url = database_url(variable, environ) if variable else None
    # The sidecar's own variable may be absent where only another one is needed.
    known = {URL_VARIABLE: url.get_secret_value(), **environ} if url else environ
    settings = load(known, config)
    return replace(_of(settings), url=url or settings.database_url, state_dir=state_dir or settings.state_dir)


def undeclared(
    environ: Mapping[str, str], variable: str | None, tables: Sequence[str], state_dir: Path | None
) -> Target:
    """A database of which nobody declared anything. Raises SettingsError for what is no table's name."""
    url = database_url(variable or URL_VARIABLE, environ)
    kept = environ.get("WATCHDOG_STATE_DIR")
    target = Target(
        url,
        (),
        Expectation(()),
        Policy(),
        declared=False,
        state_dir=state_dir or (Path(kept) if kept else None),
    )
    return with_tables(target, tables)


def with_tables(target: Target, tables: Sequence[str]) -> Target:
    """The same with these context tables, of which each has to hold a row. Raises SettingsError."""
    for name in tables:
        try:
            names.parse(name)
        except ValueError as error:
            raise SettingsError(f"{name!r} is {error}") from None
    return replace(
        target,
        tables=tuple(Guarded(name, context=True) for name in tables),
        expected=Expectation(
            tuple(TableExpected(name, context=True, floor=1, expected=1) for name in tables)
        ),
    )


def _of(settings: Settings) -> Target:
    return Target(
        url=settings.database_url,
        tables=tuple(
            Guarded(table.name, table.columns, context=table.kind == "context") for table in settings.tables
        ),
        expected=settings.expectation(),
        policy=settings.core_policy(),
        declared=True,
        count_limit=settings.policy.count_limit,
        revision_query=settings.revision.query if settings.revision else None,
        application_role=settings.application_role,
        lock_prefix=settings.lock_prefix,
    )

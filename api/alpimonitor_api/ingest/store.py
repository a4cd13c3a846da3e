"""What ingestion reads and writes in the database: one transaction a pass, which is also its turn.

Single-flight by the transaction's `ingestion` advisory lock: it holds behind a transaction pooler too, and
ends with the connection. Until there is a payload the transaction touches no table, so that it stands in
nobody's way while LINDAS is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Executable, NestedTransaction, and_, create_engine, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from alpimonitor_api.application_name import application_name
from alpimonitor_api.ingest import alert_rows
from alpimonitor_api.ingest.alerts import Active, Changes, Reading
from alpimonitor_api.ingest.latest_run import LATEST_RUN
from alpimonitor_api.ingest.storing import COMPARE, STORE, Measurement, array_parameters
from alpimonitor_api.tables import DataSource, IngestionStatus, ingestion_run, sensor, station

TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(hashtextextended('alpimonitor:ingestion', 0))")
WAIT_FOR_TURN = (
    # A pass asks LINDAS for a minute at most, and holds the turn as long.
    text("SELECT set_config('lock_timeout', '90s', true), set_config('statement_timeout', '0', true)"),
    text("SELECT true FROM pg_advisory_xact_lock(hashtextextended('alpimonitor:ingestion', 0))"),
)
LIMITS = text(
    "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '30s', true),"
    # Three tries at LINDAS take a minute; a server's own, shorter bound would end the pass. This one ends the
    # turn of a process whose machine or network went away in the middle.
    " set_config('idle_in_transaction_session_timeout', '120s', true)"
)

CLOCK = select(func.clock_timestamp())


class Unreachable(Exception):
    """No connection to the database, or it was lost. The text is the server's, without a password."""


class StoreFault(Enum):
    NO_SCHEMA = "no_schema"
    NO_RIGHT = "no_right"
    READ_ONLY = "read_only"
    TOO_SLOW = "too_slow"  # a table is locked, or the statement took too long
    CONTEXT_GONE = "context_gone"  # a sensor disappeared between reading and writing
    OTHER = "other"


class StoreError(Exception):
    """The database is there and did not take it; nothing of the pass was stored."""

    def __init__(self, fault: StoreFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault


@dataclass(frozen=True)
class LiveStation:
    """An active station of data source LIVE, with its active sensors: identifiers by parameter."""

    ofev_code: str
    sensors: dict[str, UUID]


@dataclass(frozen=True)
class Stored:
    """How many measurements are new, and how many had another value before."""

    created: int
    updated: int


@dataclass(frozen=True)
class RunRow:
    """A row of ingestion_run, by its column names."""

    source: str
    status: IngestionStatus
    started_at: datetime
    completed_at: datetime
    duration_ms: int
    stations_seen_count: int
    measurements_created_count: int
    measurements_updated_count: int
    measurements_skipped_count: int
    error_message: str | None
    http_status: int | None
    payload_bytes: int | None
    payload_sha256: str | None
    archive_path: str | None
    archive_error: str | None


class Turn:
    """The only ingestion that runs now. Methods raise StoreError or Unreachable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def attempt(self) -> Iterator[NestedTransaction]:
        """What is done inside is stored together or not at all, and its failure leaves the turn usable."""
        with _translated(), self._connection.begin_nested() as savepoint:
            yield savepoint

    def since_latest_run(self, within: timedelta) -> timedelta | None:
        """How long ago LINDAS was asked with success, by whichever process; None beyond `within`.

        The look is undone, and with it the table's lock, which must not stand while LINDAS is asked.
        """
        try:
            with self.attempt() as look:
                age = self._connection.scalars(LATEST_RUN, {"within": within}).first()
                look.rollback()
        except StoreError:
            return None  # storing meets the same obstacle, and records it
        return max(age, timedelta()) if age is not None else None

    def clock(self) -> datetime:
        """The database's clock, which all that share it have in common."""
        with _translated():
            now: datetime = self._connection.execute(CLOCK).scalar_one()
            return now

    def alerts(self) -> tuple[Sequence[Active], Sequence[Reading]]:
        """What deciding about alerts stands on: the active rows, and every watched sensor."""
        return alert_rows.read(self._connection)

    def change_alerts(self, changes: Changes) -> None:
        alert_rows.write(self._connection, changes)

    def live_stations(self) -> tuple[LiveStation, ...]:
        found = self._connection.execute(
            select(station.c.ofev_code, sensor.c.parameter, sensor.c.id)
            .join_from(
                station, sensor, and_(sensor.c.station_id == station.c.id, sensor.c.is_active), isouter=True
            )
            .where(station.c.data_source == DataSource.LIVE, station.c.is_active)
        )
        sensors: dict[str, dict[str, UUID]] = {}
        for code, parameter, identifier in found:
            known = sensors.setdefault(code, {})
            if identifier is not None:
                known[parameter] = identifier
        return tuple(LiveStation(code, known) for code, known in sensors.items())

    def store(self, measurements: Sequence[Measurement]) -> Stored:
        """Insert what is new, in one statement; replace another value only by that of a later payload."""
        if not measurements:
            return Stored(0, 0)
        return self.store_arrays(array_parameters(measurements))

    def store_arrays(self, arrays: Mapping[str, str]) -> Stored:
        """As `store`, of what array_parameters has made ready."""
        return self._counted(STORE, arrays)

    def compare(self, measurements: Sequence[Measurement]) -> Stored:
        """What `store` would come to; changes nothing."""
        return self._counted(COMPARE, array_parameters(measurements))

    def _counted(self, statement: Executable, arrays: Mapping[str, str]) -> Stored:
        created, updated = self._connection.execute(statement, arrays).one()
        return Stored(created, updated)

    def keep(self) -> None:
        """Commit what was stored, without a run: it was no pass. The turn is over."""
        with _translated():
            self._connection.commit()

    def record(self, run: RunRow) -> None:
        """Write the run and commit. The turn is over."""
        with _translated():
            self._connection.execute(insert(ingestion_run).values(asdict(run)))
            self._connection.commit()


class Store:
    """Opens a connection a pass. `url` is libpq's."""

    def __init__(self, url: str, *, connect_timeout_seconds: int = 5) -> None:
        def connect() -> psycopg.Connection:
            return psycopg.connect(
                url,
                connect_timeout=connect_timeout_seconds,
                application_name=application_name("ingest"),
                client_encoding="utf8",  # in a database of encoding SQL_ASCII text would come as bytes
                prepare_threshold=None,  # each statement runs once a pass, and a pooler may not bear it
            )

        self._engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)

    @contextmanager
    def turn(self) -> Iterator[Turn | None]:
        """The turn, or None while another ingestion has it. What was not recorded by the end is undone.

        Raises Unreachable.
        """
        with self._connected() as connection:
            with _translated():
                taken = connection.execute(TAKE_TURN).scalar_one()
                connection.execute(LIMITS)
            yield Turn(connection) if taken else None

    @contextmanager
    def awaited_turn(self) -> Iterator[Turn]:
        """The turn, once every other ingestion is through with its own.

        Raises Unreachable, or StoreError after a wait that no pass explains.
        """
        with self._connected() as connection:
            with _translated():
                for statement in WAIT_FOR_TURN:
                    connection.execute(statement)
                connection.execute(LIMITS)
            yield Turn(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            raise Unreachable(_said(error)) from error
        try:
            yield connection
        finally:
            # Rolls back what was not committed; on a lost connection there is nothing to say.
            connection.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None:
            raise Unreachable(_said(error)) from error
        raise _refusal(error) from error


def _refusal(error: DBAPIError) -> StoreError:
    said = _said(error)
    match getattr(error.orig, "sqlstate", None):
        case "42P01" | "42703":
            return StoreError(StoreFault.NO_SCHEMA, f"{said}; migrate it: alpimonitor db upgrade")
        case "42501":
            return StoreError(StoreFault.NO_RIGHT, f"{said}; grant it to the role of DATABASE_URL")
        case "25006":
            return StoreError(StoreFault.READ_ONLY, f"{said}; point DATABASE_URL at the primary")
        case "55P03" | "57014":
            return StoreError(StoreFault.TOO_SLOW, f"{said}; see pg_stat_activity for who holds a lock")
        case "23503":
            return StoreError(StoreFault.CONTEXT_GONE, f"{said}; the context is being changed or was lost")
        case _:
            return StoreError(StoreFault.OTHER, said)


def _said(error: DBAPIError) -> str:
    """The server's own words in one line, without the statement and its values."""
    diagnostic = getattr(error.orig, "diag", None)
    primary = diagnostic.message_primary if diagnostic is not None else None
    return " ".join((primary or str(error.orig)).split())

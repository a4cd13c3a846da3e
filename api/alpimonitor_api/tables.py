"""Every table of the database, declared once.

Context tables are declared by the fixtures and needed for anything to work; operational tables are written
by ingestion and operators, never by the seed; `deployment` and `seed_run` keep the books. Every foreign key
restricts: nothing disappears as a side effect of something else.

Times are `timestamptz`. Figures are `double precision`: a gauge reading is a rounded physical value of a few
significant digits, which a double gives back exactly as it was written, in eight bytes and without the cost
of `numeric` in means over months. Constraints refuse NaN and the infinities, which JSON cannot carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB


class FlowType(StrEnum):
    NATURAL = "NATURAL"
    RESIDUAL = "RESIDUAL"  # what is left below a withdrawal
    DOTATION = "DOTATION"  # a prescribed minimum flow


class DataSource(StrEnum):
    LIVE = "LIVE"  # the federal network, ingested
    RESEARCH = "RESEARCH"  # instrumented, without a public feed
    SEED = "SEED"  # exists in the fixtures only


class SourcingStatus(StrEnum):
    CONFIRMED = "CONFIRMED"  # a verifiable public source
    ILLUSTRATIVE = "ILLUSTRATIVE"  # a plausible placement


class Parameter(StrEnum):
    DISCHARGE = "DISCHARGE"
    WATER_LEVEL = "WATER_LEVEL"
    TEMPERATURE = "TEMPERATURE"
    TURBIDITY = "TURBIDITY"


class Direction(StrEnum):
    ABOVE = "ABOVE"  # high water: reaching the value from below counts
    BELOW = "BELOW"  # low water: reaching the value from above counts


class AlertType(StrEnum):
    THRESHOLD_EXCEEDED = "THRESHOLD_EXCEEDED"
    STATISTICAL_ANOMALY = "STATISTICAL_ANOMALY"
    STATION_OFFLINE = "STATION_OFFLINE"


class AlertLevel(StrEnum):
    INFO = "INFO"
    VIGILANCE = "VIGILANCE"
    ALERT = "ALERT"


class IngestionSource(StrEnum):
    LINDAS_HYDRO = "LINDAS_HYDRO"


class IngestionStatus(StrEnum):
    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"  # some rows of the payload were malformed and skipped
    FAILURE = "FAILURE"


class SeedMode(StrEnum):
    MISSING = "missing"  # inserts what is absent and touches nothing else
    CONVERGE = "converge"  # also updates fixture-owned values


class SeedOutcome(StrEnum):
    APPLIED = "applied"
    NOTHING_TO_DO = "nothing_to_do"
    DRY_RUN = "dry_run"
    REFUSED = "refused"
    FAILED = "failed"


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _quoted(members: Sequence[StrEnum]) -> str:
    return ", ".join(f"'{member.value}'" for member in members)


def _one_of(column: str, members: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({_quoted(list(members))})", name=column)


def _key() -> Column[object]:
    """The identifier of a context row, given by `ids`; the database never invents one."""
    return Column("id", Uuid, primary_key=True)


def _generated_key() -> Column[object]:
    return Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()"))


def _text(name: str, *, nullable: bool = False) -> tuple[Column[object], CheckConstraint]:
    """A text that is never blank."""
    return Column(name, Text, nullable=nullable), CheckConstraint(
        f"btrim({name}) <> ''", name=f"{name}_not_blank"
    )


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _written_at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


def _references(table: str, name: str = "") -> Column[object]:
    return Column(
        name or f"{table}_id",
        Uuid,
        ForeignKey(f"{table}.id", ondelete="RESTRICT", onupdate="RESTRICT"),
        nullable=False,
    )


def _position() -> tuple[Column[object] | CheckConstraint, ...]:
    """WGS 84, decimal degrees."""
    return (
        Column("latitude", Double, nullable=False),
        Column("longitude", Double, nullable=False),
        CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude_range"),
        CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude_range"),
    )


def _altitude(name: str) -> tuple[Column[object] | CheckConstraint, ...]:
    """Metres above sea level."""
    return (
        Column(name, Integer, nullable=False),
        CheckConstraint(f"{name} BETWEEN -500 AND 9000", name=f"{name}_range"),
    )


def _finite(
    name: str, *, nullable: bool = False, positive: bool = False
) -> tuple[Column[object], CheckConstraint]:
    """A figure that JSON can carry. NaN sorts above Infinity in PostgreSQL: one upper bound excludes both."""
    lowest = "0" if positive else "'-Infinity'::double precision"
    highest = "'Infinity'::double precision"
    return (
        Column(name, Double, nullable=nullable),
        CheckConstraint(f"{name} > {lowest} AND {name} < {highest}", name=f"{name}_finite"),
    )


def _count(name: str) -> tuple[Column[object], CheckConstraint]:
    return (
        Column(name, Integer, nullable=False, server_default=text("0")),
        CheckConstraint(f"{name} >= 0", name=f"{name}_not_negative"),
    )


catchment = Table(
    "catchment",
    metadata,
    _key(),
    *_text("name"),
    *_finite("area_km2", nullable=True, positive=True),
    *_text("description", nullable=True),
    UniqueConstraint("name"),
)

station = Table(
    "station",
    metadata,
    _key(),
    _references("catchment"),
    *_text("ofev_code"),
    *_text("name"),
    *_text("river_name"),
    *_position(),
    *_altitude("altitude_m"),
    Column("flow_type", Text, nullable=False),
    *_text("operator_name"),
    Column("data_source", Text, nullable=False),
    Column("sourcing_status", Text, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    UniqueConstraint("ofev_code"),
    _one_of("flow_type", FlowType),
    _one_of("data_source", DataSource),
    _one_of("sourcing_status", SourcingStatus),
    Index(None, "catchment_id"),
)

sensor = Table(
    "sensor",
    metadata,
    _key(),
    _references("station"),
    Column("parameter", Text, nullable=False),
    *_text("unit"),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    UniqueConstraint("station_id", "parameter"),
    _one_of("parameter", Parameter),
)

threshold = Table(
    "threshold",
    metadata,
    _key(),
    _references("station"),
    Column("parameter", Text, nullable=False),
    *_finite("vigilance_value", positive=True),
    *_finite("alert_value", positive=True),
    Column("direction", Text, nullable=False),
    # Set together when an operator tunes the values; a seed then leaves the row alone.
    _time("tuned_at", nullable=True),
    *_text("tuned_by", nullable=True),
    UniqueConstraint("station_id", "parameter"),
    _one_of("parameter", Parameter),
    _one_of("direction", Direction),
    CheckConstraint(
        "CASE direction WHEN 'ABOVE' THEN alert_value > vigilance_value"
        " ELSE alert_value < vigilance_value END",
        name="alert_beyond_vigilance",
    ),
    CheckConstraint("(tuned_at IS NULL) = (tuned_by IS NULL)", name="tuned_together"),
)

glacier = Table(
    "glacier",
    metadata,
    _key(),
    *_text("name"),
    *_altitude("altitude_min_m"),
    *_altitude("altitude_max_m"),
    UniqueConstraint("name"),
    CheckConstraint("altitude_min_m < altitude_max_m", name="altitude_order"),
)

station_glacier = Table(
    "station_glacier",
    metadata,
    _key(),
    _references("station"),
    _references("glacier"),
    UniqueConstraint("station_id", "glacier_id"),
    Index(None, "glacier_id"),
)

withdrawal = Table(
    "withdrawal",
    metadata,
    _key(),
    _references("station"),
    *_text("name"),
    *_text("operator_name"),
    *_position(),
    *_altitude("altitude_m"),
    *_finite("annual_volume_m3", nullable=True, positive=True),
    UniqueConstraint("name"),
    Index(None, "station_id"),
)

CONTEXT_TABLES: tuple[Table, ...] = (
    catchment,
    station,
    sensor,
    threshold,
    glacier,
    station_glacier,
    withdrawal,
)
"""In the order of their foreign keys: insert from the left, delete from the right."""

measurement = Table(
    "measurement",
    metadata,
    # The key's order serves both uses: "the latest of a sensor" is one step backwards in the index, and a
    # range of times of one sensor is one contiguous piece of it.
    Column(
        "sensor_id",
        Uuid,
        ForeignKey("sensor.id", ondelete="RESTRICT", onupdate="RESTRICT"),
        primary_key=True,
    ),
    Column("recorded_at", DateTime(timezone=True), primary_key=True),
    *_finite("value"),
    # When the payload that carried this value was fetched. A newer value is one from a payload fetched later,
    # so a replay of an older payload never overwrites it.
    _time("payload_fetched_at"),
)

alert = Table(
    "alert",
    metadata,
    _generated_key(),
    _references("station"),
    Column("type", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("parameter", Text),  # none for STATION_OFFLINE
    *_finite("trigger_value", nullable=True),
    *_finite("threshold_value", nullable=True),
    _written_at("opened_at"),
    _time("closed_at", nullable=True),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _one_of("type", AlertType),
    _one_of("level", AlertLevel),
    _one_of("parameter", Parameter),
    CheckConstraint("closed_at >= opened_at", name="closed_after_opened"),
    Index(None, "station_id", "opened_at"),
    Index(None, "opened_at"),
    # Of one kind a station has at most one that is open: two ingestions at once cannot open it twice.
    Index(
        "uq_alert_active",
        "station_id",
        "type",
        text("coalesce(parameter, '')"),
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
)

ingestion_run = Table(
    "ingestion_run",
    metadata,
    _generated_key(),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    _time("started_at"),
    _time("completed_at"),
    *_count("stations_seen_count"),
    *_count("measurements_created_count"),
    *_count("measurements_updated_count"),
    *_count("measurements_skipped_count"),
    Column("error_message", Text),
    Column("http_status", Integer),
    Column("payload_bytes", BigInteger),
    Column("payload_sha256", Text),
    Column("archive_path", Text),
    Column("archive_error", Text),
    *_count("duration_ms"),
    _one_of("source", IngestionSource),
    _one_of("status", IngestionStatus),
    Index(None, "started_at"),
)

threshold_audit = Table(
    "threshold_audit",
    metadata,
    _generated_key(),
    _references("station"),
    Column("parameter", Text, nullable=False),
    Column("before", JSONB(none_as_null=True)),  # none when the threshold did not exist before
    Column("after", JSONB, nullable=False),
    _written_at("changed_at"),
    *_text("changed_by"),
    _one_of("parameter", Parameter),
    Index(None, "station_id", "changed_at"),
    Index(None, "changed_at"),
)

OPERATIONAL_TABLES: tuple[Table, ...] = (measurement, alert, ingestion_run, threshold_audit)

deployment = Table(
    "deployment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("environment", Text, nullable=False),
    _written_at("created_at"),
    CheckConstraint("environment ~ '^[a-z0-9][a-z0-9_-]{0,62}$'", name="environment_shape"),
    # One row: which deployment this database belongs to has one answer.
    Index("uq_deployment_one_row", text("(true)"), unique=True),
)

seed_run = Table(
    "seed_run",
    metadata,
    _generated_key(),
    _written_at("at"),
    Column("mode", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("role", Text, nullable=False),
    Column("application_name", Text, nullable=False),
    Column("client_addr", INET),  # none over a socket
    Column("host", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("version", Text, nullable=False),
    # Rows by table, for instance {"station": 7}.
    Column("inserted", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("updated", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("pruned", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _one_of("mode", SeedMode),
    _one_of("outcome", SeedOutcome),
    Index(None, "at"),
)

"""The shapes of the answers, as /openapi.json tells them.

PostgreSQL writes the answers themselves (`queries`); the tests hold each of them against its shape.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from alpimonitor_api.errors import Code
from alpimonitor_api.queries.measurements import Aggregate
from alpimonitor_api.tables import (
    AlertLevel,
    AlertType,
    DataSource,
    Direction,
    FlowType,
    IngestionSource,
    IngestionStatus,
    Parameter,
    SourcingStatus,
)


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class ProblemShape(Shape):
    parameter: str
    message: str


class ErrorShape(Shape):
    code: Code
    message: str = Field(description="What happened and what to do, for people.")
    details: list[ProblemShape] | None = Field(default=None, description="Each parameter that is wrong.")


class Envelope(Shape):
    error: ErrorShape


class Health(Shape):
    status: Literal["ok", "degraded"]
    timestamp: AwareDatetime
    database: Literal["ok", "error"]


class MeasurementStatus(StrEnum):
    OFFLINE = "OFFLINE"  # older than an hour
    ALERT = "ALERT"  # reaches the alert value
    VIGILANCE = "VIGILANCE"  # reaches the vigilance value
    NORMAL = "NORMAL"


class LatestMeasurement(Shape):
    parameter: Parameter
    unit: str
    value: float
    recorded_at: AwareDatetime
    status: MeasurementStatus


class Station(Shape):
    id: UUID
    ofev_code: str
    name: str
    river_name: str
    latitude: float
    longitude: float
    altitude_m: int
    flow_type: FlowType
    operator_name: str
    data_source: DataSource
    sourcing_status: SourcingStatus
    latest_measurements: list[LatestMeasurement] = Field(
        description="The newest of each active sensor; none for stations without a public feed."
    )
    active_alerts_count: int


class StationList(Shape):
    data: list[Station]


class CatchmentName(Shape):
    id: UUID
    name: str


class Sensor(Shape):
    parameter: Parameter
    unit: str
    is_active: bool


class Threshold(Shape):
    parameter: Parameter
    vigilance_value: float
    alert_value: float
    direction: Direction


class RelatedGlacier(Shape):
    name: str
    altitude_min_m: int
    altitude_max_m: int


class UpstreamWithdrawal(Shape):
    name: str
    operator_name: str
    altitude_m: int
    annual_volume_m3: float | None


class StationDetail(Station):
    catchment: CatchmentName
    sensors: list[Sensor]
    thresholds: list[Threshold]
    related_glaciers: list[RelatedGlacier]
    upstream_withdrawals: list[UpstreamWithdrawal]


class OneStation(Shape):
    data: StationDetail


class Catchment(Shape):
    id: UUID
    name: str
    area_km2: float | None
    description: str | None
    stations_count: int


class CatchmentList(Shape):
    data: list[Catchment]


class StationName(Shape):
    id: UUID
    name: str
    ofev_code: str


class Glacier(Shape):
    id: UUID
    name: str
    altitude_min_m: int
    altitude_max_m: int
    stations: list[StationName] = Field(description="Those that its water reaches, by name, then OFEV code.")


class GlacierList(Shape):
    data: list[Glacier]


class Withdrawal(Shape):
    id: UUID
    name: str
    operator_name: str
    latitude: float
    longitude: float
    altitude_m: int
    annual_volume_m3: float | None
    station: StationName = Field(description="The one below, whose flow it lessens.")


class WithdrawalList(Shape):
    data: list[Withdrawal]


class Alert(Shape):
    id: UUID
    station: StationName
    type: AlertType
    level: AlertLevel
    parameter: Parameter | None = Field(description="None of a station that is offline.")
    trigger_value: float | None
    threshold_value: float | None
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None = Field(description="Null while it is open.")
    duration_seconds: int = Field(description="Until it closed, or until now.")


class AlertList(Shape):
    data: list[Alert]


class Point(Shape):
    t: AwareDatetime = Field(description="When it was measured, or when its hour or day begins, UTC.")
    v: float


class Series(Shape):
    parameter: Parameter
    unit: str
    points: list[Point] = Field(description="In the order of time.")


class HistoryData(Shape):
    station_id: UUID
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    aggregate: Aggregate
    series: list[Series]


class History(Shape):
    data: HistoryData


class ApiState(Shape):
    status: Literal["ok", "degraded"]
    uptime_seconds: int
    version: str


class DatabaseState(Shape):
    status: Literal["ok", "error"]
    schema_revision: str | None


class Deployment(Shape):
    environment: str | None
    id: UUID | None


class ContextCounts(Shape):
    catchments: int | None
    stations: int | None
    sensors: int | None
    thresholds: int | None
    glaciers: int | None
    station_glaciers: int | None
    withdrawals: int | None


class IngestionRun(Shape):
    source: IngestionSource
    status: IngestionStatus
    started_at: AwareDatetime
    completed_at: AwareDatetime
    stations_seen_count: int
    measurements_created_count: int
    measurements_updated_count: int
    measurements_skipped_count: int
    duration_ms: int
    error_message: str | None


class IngestionToday(Shape):
    runs_count: int | None
    measurements_created_sum: int | None
    success_rate: float | None = Field(
        description="0 to 1; PARTIAL runs count as success; null without a run."
    )


class ArchiveState(Shape):
    consecutive_failures: int | None = Field(
        description="Payloads that could not be archived since the last that could, of the last 30 days."
    )
    last_error: str | None = Field(description="The newest of them.")


class IngestionState(Shape):
    last_run: IngestionRun | None
    last_success_at: AwareDatetime | None = Field(
        description="A PARTIAL run stored what it could: it counts."
    )
    healthy_threshold_minutes: int
    today: IngestionToday = Field(description="Since midnight UTC.")
    archive: ArchiveState


class Status(Shape):
    """The state of the whole. Every figure is null when the database cannot tell it."""

    api: ApiState
    database: DatabaseState
    deployment: Deployment
    context: ContextCounts
    ingestion: IngestionState

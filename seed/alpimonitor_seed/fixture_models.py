"""What a fixture of each context table may say, and which row it declares."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alpimonitor_api import ids
from alpimonitor_api.tables import DataSource, Direction, FlowType, Parameter, SourcingStatus

Value = str | int | float | bool | None
Row = Mapping[str, Value]
"""A row of a context table by column; identifiers and times as text."""


def _clean(value: str) -> str:
    if value != value.strip() or not value:
        raise ValueError("must not be empty, nor begin or end with a space")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not contain control characters")
    return ids.normalised(value)


def _key(value: str) -> str:
    if ids.SEPARATOR in value:
        raise ValueError(f"is part of an identifier and must not contain {ids.SEPARATOR}")
    return value


Text = Annotated[str, AfterValidator(_clean)]
Key = Annotated[str, AfterValidator(_clean), AfterValidator(_key)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Altitude = Annotated[int, Field(ge=-500, le=9000)]
Positive = Annotated[float, Field(gt=0)]


class Fixture(BaseModel):
    """A declared row. `keys` is its natural key, `parents` the rows it refers to."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
    table: ClassVar[str]

    def keys(self) -> tuple[str, ...]:
        raise NotImplementedError

    def parents(self) -> dict[str, tuple[str, str]]:
        """The table and natural key behind each reference, by the reference's name in the file."""
        return {}

    def row(self) -> Row:
        """Every column that the fixtures own, with references as identifiers."""
        parents = self.parents()
        values = {name: value for name, value in self.model_dump(mode="json").items() if name not in parents}
        references = {f"{name}_id": str(ids.identifier(*parent)) for name, parent in parents.items()}
        return {"id": str(ids.identifier(self.table, *self.keys())), **references, **values}


class Catchment(Fixture):
    table = "catchment"
    name: Key
    area_km2: Positive | None = None
    description: Text | None = None

    def keys(self) -> tuple[str, ...]:
        return (self.name,)


class Station(Fixture):
    table = "station"
    ofev_code: Key
    catchment: Key
    name: Text
    river_name: Text
    latitude: Latitude
    longitude: Longitude
    altitude_m: Altitude
    flow_type: Annotated[FlowType, Field(strict=False)]
    operator_name: Text
    data_source: Annotated[DataSource, Field(strict=False)]
    sourcing_status: Annotated[SourcingStatus, Field(strict=False)]
    is_active: bool = True

    def keys(self) -> tuple[str, ...]:
        return (self.ofev_code,)

    def parents(self) -> dict[str, tuple[str, str]]:
        return {"catchment": ("catchment", self.catchment)}


class OfStation(Fixture):
    """A row of which a station has one for each parameter."""

    station: Key
    parameter: Annotated[Parameter, Field(strict=False)]

    def keys(self) -> tuple[str, ...]:
        return (self.station, self.parameter)

    def parents(self) -> dict[str, tuple[str, str]]:
        return {"station": ("station", self.station)}


class Sensor(OfStation):
    table = "sensor"
    unit: Text
    is_active: bool = True


class Threshold(OfStation):
    table = "threshold"
    vigilance_value: Positive
    alert_value: Positive
    direction: Annotated[Direction, Field(strict=False)]

    @model_validator(mode="after")
    def _alert_lies_beyond_vigilance(self) -> Self:
        above = self.direction is Direction.ABOVE
        if self.alert_value == self.vigilance_value or (self.alert_value > self.vigilance_value) != above:
            raise ValueError(
                f"with direction {self.direction} alert_value ({self.alert_value:g}) must be "
                f"{'above' if above else 'below'} vigilance_value ({self.vigilance_value:g})"
            )
        return self


class Glacier(Fixture):
    table = "glacier"
    name: Key
    altitude_min_m: Altitude
    altitude_max_m: Altitude

    @model_validator(mode="after")
    def _altitudes_are_in_order(self) -> Self:
        if self.altitude_min_m >= self.altitude_max_m:
            raise ValueError(
                f"altitude_min_m ({self.altitude_min_m}) must be below altitude_max_m ({self.altitude_max_m})"
            )
        return self

    def keys(self) -> tuple[str, ...]:
        return (self.name,)


class StationGlacier(Fixture):
    table = "station_glacier"
    station: Key
    glacier: Key

    def keys(self) -> tuple[str, ...]:
        return (self.station, self.glacier)

    def parents(self) -> dict[str, tuple[str, str]]:
        return {"station": ("station", self.station), "glacier": ("glacier", self.glacier)}


class Withdrawal(Fixture):
    table = "withdrawal"
    name: Key
    station: Key
    operator_name: Text
    latitude: Latitude
    longitude: Longitude
    altitude_m: Altitude
    annual_volume_m3: Positive | None = None

    def keys(self) -> tuple[str, ...]:
        return (self.name,)

    def parents(self) -> dict[str, tuple[str, str]]:
        return {"station": ("station", self.station)}


MODELS: dict[str, type[Fixture]] = {
    model.table: model
    for model in (Catchment, Station, Sensor, Threshold, Glacier, StationGlacier, Withdrawal)
}

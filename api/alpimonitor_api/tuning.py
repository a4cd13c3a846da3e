"""Tuning a threshold: what may be asked for, and what is answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from alpimonitor_api.errors import Problem, invalid
from alpimonitor_api.shapes import Shape, StationName
from alpimonitor_api.tables import Direction, Parameter

Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MEMBERS = "vigilanceValue, alertValue and direction"

EXPECTED: Mapping[str, str] = {
    "vigilanceValue": "must be a number above 0, in the unit of the sensor",
    "alertValue": "must be a number above 0, in the unit of the sensor",
    "direction": "must be ABOVE (too much water) or BELOW (too little)",
}


class Wish(BaseModel):
    """The values that an operator wants: from `vigilanceValue` on the river is watched, from `alertValue` on
    it is an alert. ABOVE needs alertValue > vigilanceValue, BELOW alertValue < vigilanceValue."""

    # Strict: `true` and "5" are no numbers, whoever sends them means something else.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid", strict=True)

    vigilance_value: Limit
    alert_value: Limit
    # Not the enumeration: its schema would be a reference that does not lead anywhere in the document.
    direction: Literal["ABOVE", "BELOW"]


BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": Wish.model_json_schema(by_alias=True),
            "example": {"vigilanceValue": 500, "alertValue": 800, "direction": "ABOVE"},
        }
    },
}
"""The body for the document."""


def wish_of(content_type: str | None, body: bytes) -> Wish:
    """The wish that a body carries. Raises ApiError, 400, with each member that is wrong."""
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise invalid(Problem("Content-Type", "must be application/json"))
    try:
        wish = Wish.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid(*_problems(found)) from None
    above = wish.direction == Direction.ABOVE
    if wish.alert_value <= wish.vigilance_value if above else wish.alert_value >= wish.vigilance_value:
        order = "above" if above else "below"
        remedy = (
            f"must be {order} vigilanceValue ({wish.vigilance_value:g}) when direction is {wish.direction}"
        )
        raise invalid(Problem("alertValue", remedy))
    return wish


MOST_TOLD = 10
LONGEST_SHOWN = 60  # characters of a member's name


def _problems(found: list[Any]) -> Iterator[Problem]:
    for error in found[:MOST_TOLD]:
        if not error["loc"]:
            remedy = "is no JSON" if error["type"] == "json_invalid" else "is no JSON object"
            yield Problem("body", f"{remedy}: send an object with {MEMBERS}")
            continue
        member = str(error["loc"][0])[:LONGEST_SHOWN]
        match error["type"]:
            case "missing":
                yield Problem(member, f"is required: it {EXPECTED[member]}")
            case "extra_forbidden":
                yield Problem(member, f"is not known here: send {MEMBERS}")
            case _:
                yield Problem(member, EXPECTED.get(member, str(error["msg"])))


class TunedThreshold(Shape):
    station: StationName
    parameter: Parameter
    vigilance_value: float
    alert_value: float
    direction: Direction
    tuned_at: AwareDatetime | None = Field(
        description="When the values were last changed here; null for those of the fixtures."
    )
    tuned_by: str | None = Field(description="The name of the token that changed them.")


class OneTunedThreshold(Shape):
    data: TunedThreshold


class ThresholdValues(Shape):
    vigilance_value: float
    alert_value: float
    direction: Direction


class ThresholdAudit(Shape):
    id: UUID
    station: StationName
    parameter: Parameter
    before: ThresholdValues | None = Field(description="Null when there was no threshold before.")
    after: ThresholdValues
    changed_at: AwareDatetime
    changed_by: str = Field(description="The name of the token that changed it.")


class ThresholdAuditList(Shape):
    data: list[ThresholdAudit]

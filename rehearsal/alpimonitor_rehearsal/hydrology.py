"""What the federal network would answer at a given moment: pure, and the same for the same moment.

stations.csv holds the stations of a real answer (Source: OFEV/BAFU — hydrodaten.admin.ch via LINDAS, 20 April
2026), with their values at that time and how many minutes late each was; in a few rows an optional variable
is left out. Around those values discharge and level follow the day as melt water does.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

XSD = "http://www.w3.org/2001/XMLSchema#"
WKT_LITERAL = "http://www.opengis.net/ont/geosparql#wktLiteral"
WATER_BODY = "https://environment.ld.admin.ch/foen/hydro/waterbody/"
UNDEFINED = "https://cube.link/Undefined"

VARIABLES = ("code", "name", "water", "wkt", "discharge", "waterLevel", "danger", "measuredAt")
LIVE_CODES = ("2346", "2011", "2630", "2009")
"""The stations of the fixtures that the network feeds."""

WINTER_TIME = timezone(timedelta(hours=1))
"""The service writes +01:00 in summer too."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
USUAL_STEP = timedelta(minutes=10)


@dataclass(frozen=True)
class Gauge:
    """A row of the recorded answer: text as it was there, empty where the variable was not bound."""

    code: str
    name: str
    water: str  # the end of the water body's URI
    wkt: str  # "longitude latitude"
    discharge: str  # m3/s
    water_level: str  # m above sea
    danger: str
    late: timedelta


@lru_cache(maxsize=1)
def gauges() -> tuple[Gauge, ...]:
    """The 235 rows of 233 stations, two of them twice, in the order of the recorded answer."""
    with (Path(__file__).parent / "stations.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            Gauge(
                code=row["code"],
                name=row["name"],
                water=row["water"],
                wkt=row["wkt"],
                discharge=row["discharge"],
                water_level=row["water_level"],
                danger=row["danger"],
                late=timedelta(minutes=int(row["minutes_late"])),
            )
            for row in csv.DictReader(lines)
        )


def payload(now: datetime, *, step: timedelta = USUAL_STEP, without: Collection[str] = ()) -> bytes:
    """The SPARQL JSON at `now` (aware): a new observation of each station every `step`.

    Stations whose code is in `without` are missing from it.
    """
    return result(bindings(now, step=step, without=without))


def bindings(now: datetime, *, step: timedelta = USUAL_STEP, without: Collection[str] = ()) -> list[Any]:
    """The rows of `payload`."""
    return [_binding(gauge, measured_at(gauge, now, step)) for gauge in gauges() if gauge.code not in without]


def malformed_bindings(now: datetime) -> list[Any]:
    """One row for each way in which a row can be unusable. Their stations are nobody's."""
    written = now.astimezone(WINTER_TIME)

    def row(code: str, value: str, time: str) -> dict[str, Any]:
        return {
            "code": _literal(code, XSD + "integer"),
            "discharge": _literal(value, XSD + "decimal"),
            "measuredAt": _literal(time, XSD + "dateTime"),
        }

    moment = written.isoformat(timespec="seconds")
    without_code = row("9000", "1.000", moment)
    del without_code["code"]
    without_time = row("9001", "1.000", moment)
    del without_time["measuredAt"]
    return [
        "a text where a row should be",
        without_code,
        without_time,
        row("no code; at all", "1.000", moment),
        row("9002", "NaN", moment),
        row("9003", "1e309", moment),
        row("9004", "1.000", written.replace(tzinfo=None).isoformat(timespec="seconds")),
        row("9005", "1.000", "yesterday"),
        row("9006", "1.000", (written + DAY).isoformat(timespec="seconds")),
    ]


def result(rows: list[Any]) -> bytes:
    """Bindings as a SPARQL JSON result, written as the service writes it."""
    document = {"head": {"vars": list(VARIABLES)}, "results": {"bindings": rows}}
    return json.dumps(document, ensure_ascii=False, indent=2, separators=(",", " : ")).encode()


def measured_at(gauge: Gauge, now: datetime, step: timedelta) -> datetime:
    """When a station's latest observation is from. One that has been silent for days stays silent."""
    if gauge.late >= DAY:
        return _floor(now - gauge.late, DAY)
    return _floor(now, step) - gauge.late


def discharge(gauge: Gauge, at: datetime) -> float:
    """m3/s: lowest in the morning, highest in the evening, when the day's melt water arrives."""
    return max(0.0, float(gauge.discharge) * (1 + 0.12 * _melt(gauge, at) + 0.01 * _noise(gauge, at)))


def water_level(gauge: Gauge, at: datetime) -> float:
    """m above sea: a river's level follows its discharge, a lake's hardly moves."""
    reach = 0.15 if gauge.discharge else 0.01
    return float(gauge.water_level) + reach * _melt(gauge, at) + 0.002 * _noise(gauge, at)


def _melt(gauge: Gauge, at: datetime) -> float:
    """-1 to 1 over the day; high between 17:00 and 21:00 UTC, by station."""
    hours = (at - EPOCH) / timedelta(hours=1)
    peak = 17 + 4 * _fraction(gauge.code)
    return math.cos((hours - peak) * math.tau / 24)


def _noise(gauge: Gauge, at: datetime) -> float:
    """-1 to 1, another at each moment."""
    return 2 * _fraction(f"{gauge.code} {at.isoformat()}") - 1


def _fraction(text: str) -> float:
    """0 to 1, always the same for the same text, in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step


def _binding(gauge: Gauge, at: datetime) -> dict[str, Any]:
    """A row as the service writes it: a variable without a value is absent."""
    row: dict[str, Any] = {"code": _literal(gauge.code, XSD + "integer"), "name": _literal(gauge.name)}
    if gauge.water:
        row["water"] = _uri(WATER_BODY + gauge.water)
    if gauge.wkt:
        row["wkt"] = _literal(f"POINT({gauge.wkt})", WKT_LITERAL)
    if gauge.discharge:
        row["discharge"] = _literal(f"{discharge(gauge, at):.3f}", XSD + "decimal")
    if gauge.water_level:
        row["waterLevel"] = _literal(f"{water_level(gauge, at):.3f}", XSD + "decimal")
    if gauge.danger:
        row["danger"] = _uri(UNDEFINED) if gauge.danger == "Undefined" else _literal("1", XSD + "integer")
    written = at.astimezone(WINTER_TIME).isoformat(timespec="seconds")
    row["measuredAt"] = _literal(written, XSD + "dateTime")
    return row


def _literal(value: str, datatype: str | None = None) -> dict[str, str]:
    kind = {} if datatype is None else {"datatype": datatype}
    return {**kind, "type": "literal", "value": value}


def _uri(value: str) -> dict[str, str]:
    return {"type": "uri", "value": value}

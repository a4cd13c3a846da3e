"""The parser: what becomes an observation, what is skipped and why, what is no payload at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_api.ingest.lindas import (
    ATTRIBUTION,
    LARGEST_VALUE,
    MOST_ROWS,
    Observation,
    PayloadError,
    PayloadFault,
    SkipReason,
    parse,
)
from alpimonitor_api.ingest.query import QUERY
from alpimonitor_rehearsal import hydrology

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)


def row(**variables: str | None) -> dict[str, Any]:
    """A binding with a code, a time and both values, unless told otherwise; None leaves a variable out."""
    bound: dict[str, str | None] = {
        "code": "2346",
        "measuredAt": "2026-07-01T13:00:00+01:00",
        "discharge": "45.681",
        "waterLevel": "665.896",
    }
    bound.update(variables)
    return {name: {"type": "literal", "value": value} for name, value in bound.items() if value is not None}


def only(*rows: Any) -> Observation:
    parsed = parse(hydrology.result(list(rows)))
    assert parsed.skipped == ()
    (observation,) = parsed.observations
    return observation


def test_a_row_becomes_an_observation_in_utc() -> None:
    observation = only(
        row(
            name="Porte du Scex",
            water="https://environment.ld.admin.ch/foen/hydro/waterbody/Lac%20L%C3%A9man",
            wkt="POINT(6.888607996854026 46.34956713202868)",
            danger="1",
        )
    )
    assert observation == Observation(
        code="2346",
        measured_at=datetime(2026, 7, 1, 12, 0, tzinfo=UTC),
        discharge=45.681,
        water_level=665.896,
        danger_level=1,
        name="Porte du Scex",
        water_body="Lac Léman",
        longitude=6.888607996854026,
        latitude=46.34956713202868,
    )


def test_every_optional_variable_may_be_missing() -> None:
    observation = only(row(discharge=None, waterLevel=None))
    assert (observation.discharge, observation.water_level, observation.name) == (None, None, None)
    assert (observation.danger_level, observation.water_body, observation.longitude) == (None, None, None)


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2026-07-01T13:00:00+01:00", datetime(2026, 7, 1, 12, 0, tzinfo=UTC)),
        ("2026-07-01T12:00:00Z", datetime(2026, 7, 1, 12, 0, tzinfo=UTC)),
        ("2026-07-01T12:00:00.250Z", datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2025-05-28T14:20:00+01:00", datetime(2025, 5, 28, 13, 20, tzinfo=UTC)),
    ],
)
def test_a_time_with_an_offset_is_understood_however_old(time: str, utc: datetime) -> None:
    assert only(row(measuredAt=time)).measured_at == utc


@pytest.mark.parametrize(
    ("danger", "level"), [("1", 1), ("5", 5), ("https://cube.link/Undefined", None), ("0", None), ("²", None)]
)
def test_a_danger_level_is_1_to_5_or_undefined(danger: str, level: int | None) -> None:
    assert only(row(danger=danger)).danger_level == level


@pytest.mark.parametrize(
    ("wkt", "place"),
    [
        ("POINT(9.017571136862344 47.675465671121394)", (9.017571136862344, 47.675465671121394)),
        ("point ( 9.0   47.5 )", (9.0, 47.5)),
        ("POINT Z (9.0 47.5 400)", (9.0, 47.5)),
        ("<http://www.opengis.net/def/crs/OGC/1.3/CRS84> POINT(9.0 47.5)", (9.0, 47.5)),
        ("POINT(-9.5e0 47.5)", (-9.5, 47.5)),
        ("POINT(9.0)", (None, None)),
        ("POINT(200 47.5)", (None, None)),
        ("POINT(1e999 47.5)", (None, None)),
        ("LINESTRING(9.0 47.5, 9.1 47.6)", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_place_is_read_as_longitude_and_latitude(
    wkt: str, place: tuple[float | None, float | None]
) -> None:
    observation = only(row(wkt=wkt))
    assert (observation.longitude, observation.latitude) == place


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        (row(code=None), SkipReason.CODE_MISSING),
        (row(code=""), SkipReason.CODE_MALFORMED),
        (row(code="2346; DROP TABLE station"), SkipReason.CODE_MALFORMED),
        (row(code="2" * 33), SkipReason.CODE_MALFORMED),
        (row(code="\x002346"), SkipReason.CODE_MALFORMED),
        (row(measuredAt=None), SkipReason.TIME_MISSING),
        (row(measuredAt=""), SkipReason.TIME_MALFORMED),
        (row(measuredAt="yesterday"), SkipReason.TIME_MALFORMED),
        (row(measuredAt="2026-02-30T00:00:00Z"), SkipReason.TIME_MALFORMED),
        (row(measuredAt="2026-07-01T13:00:00"), SkipReason.TIME_NAIVE),
        (row(measuredAt="2026-07-01"), SkipReason.TIME_NAIVE),
        (row(measuredAt="1899-12-31T23:59:59Z"), SkipReason.TIME_OUT_OF_RANGE),
        (row(measuredAt="0001-01-01T00:00:00+14:00"), SkipReason.TIME_OUT_OF_RANGE),
        (row(measuredAt="9999-12-31T23:59:59-14:00"), SkipReason.TIME_OUT_OF_RANGE),
        (row(discharge="NaN"), SkipReason.NUMBER_MALFORMED),
        (row(discharge="INF"), SkipReason.NUMBER_MALFORMED),
        (row(discharge="-inf"), SkipReason.NUMBER_MALFORMED),
        (row(waterLevel=""), SkipReason.NUMBER_MALFORMED),
        (row(waterLevel="1_000"), SkipReason.NUMBER_MALFORMED),
        (row(waterLevel="٤٢"), SkipReason.NUMBER_MALFORMED),
        (row(waterLevel="1,5"), SkipReason.NUMBER_MALFORMED),
        (row(discharge="1e309"), SkipReason.NUMBER_OUT_OF_RANGE),
        (row(discharge="9" * 400), SkipReason.NUMBER_OUT_OF_RANGE),
        (row(waterLevel=str(LARGEST_VALUE + 1)), SkipReason.NUMBER_OUT_OF_RANGE),
        (row(waterLevel=str(-LARGEST_VALUE - 1)), SkipReason.NUMBER_OUT_OF_RANGE),
        ("a text", SkipReason.NOT_A_ROW),
        (None, SkipReason.NOT_A_ROW),
        ([], SkipReason.NOT_A_ROW),
        (row() | {"discharge": "45.681"}, SkipReason.NOT_A_ROW),
        (row() | {"discharge": {"type": "literal", "value": 45.681}}, SkipReason.NOT_A_ROW),
        (row() | {"code": {"type": "literal"}}, SkipReason.NOT_A_ROW),
    ],
)
def test_an_unusable_row_is_skipped_with_its_reason_and_the_others_are_kept(
    binding: Any, reason: SkipReason
) -> None:
    parsed = parse(hydrology.result([row(code="2009"), binding, row(code="2011")]))
    assert [observation.code for observation in parsed.observations] == ["2009", "2011"]
    (skipped,) = parsed.skipped
    assert (skipped.row, skipped.reason) == (1, reason)
    assert skipped.detail.isprintable()
    assert len(skipped.detail) < 200


def test_a_skipped_row_names_its_station_where_it_can() -> None:
    parsed = parse(hydrology.result([row(discharge="NaN"), row(code="a b")]))
    assert [skipped.code for skipped in parsed.skipped] == ["2346", None]


def test_numbers_at_the_bounds_and_below_zero_are_kept() -> None:
    observation = only(row(discharge=str(LARGEST_VALUE), waterLevel="-0.074"))
    assert (observation.discharge, observation.water_level) == (LARGEST_VALUE, -0.074)


def test_of_a_station_that_is_there_twice_the_newest_observation_wins_in_either_order() -> None:
    older = row(measuredAt="2026-07-01T13:00:00+01:00", discharge="1.0")
    newer = row(measuredAt="2026-07-01T13:05:00+01:00", discharge="2.0")
    for rows in ([older, newer], [newer, older]):
        parsed = parse(hydrology.result(rows))
        assert [observation.discharge for observation in parsed.observations] == [2.0]
        assert parsed.superseded == 1
        assert parsed.skipped == ()


def test_the_same_station_and_time_twice_leaves_one_observation() -> None:
    """Of each value the larger: the service promises no order among them, and a missing one hides none."""
    rows = [
        row(discharge="2.0", waterLevel=None),
        row(discharge="1.0", waterLevel="665.9"),
        row(discharge="0.5"),
    ]
    for ordered in (rows, rows[::-1]):
        (observation,) = parse(hydrology.result(ordered)).observations
        assert (observation.discharge, observation.water_level) == (2.0, 665.9)


def test_an_observation_from_the_future_is_skipped_and_one_at_the_limit_kept() -> None:
    limit = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    payload = hydrology.result([row(code="1"), row(code="2", measuredAt="2026-07-01T13:00:01+01:00")])
    parsed = parse(payload, not_after=limit)
    assert [observation.code for observation in parsed.observations] == ["1"]
    assert [skipped.reason for skipped in parsed.skipped] == [SkipReason.TIME_OUT_OF_RANGE]


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", PayloadFault.NOT_JSON),
        (b" \n", PayloadFault.NOT_JSON),
        (b"<!DOCTYPE html><html>Maintenance</html>", PayloadFault.NOT_JSON),
        (b'{"head": {"vars": ["code"]}, "results": {"bindi', PayloadFault.NOT_JSON),
        (b"\xff\xfe\x00", PayloadFault.NOT_JSON),
        (b"[" * 100_000, PayloadFault.NOT_JSON),
        (b'{"a": ' + b"1" * 5_000 + b"}", PayloadFault.NOT_JSON),
        (b"null", PayloadFault.NOT_A_RESULT),
        (b"[]", PayloadFault.NOT_A_RESULT),
        (b'{"head": {}, "boolean": true}', PayloadFault.NOT_A_RESULT),
        (b'{"results": []}', PayloadFault.NOT_A_RESULT),
        (b'{"results": {"bindings": {}}}', PayloadFault.NOT_A_RESULT),
        (b'{"head": {}, "results": {"bindings": []}}', PayloadFault.NO_ROWS),
        (b'{"results": {"bindings": [' + b"1," * MOST_ROWS + b"1]}}", PayloadFault.TOO_MANY_ROWS),
    ],
)
def test_a_payload_that_is_no_result_is_an_error_with_its_reason(payload: bytes, fault: PayloadFault) -> None:
    with pytest.raises(PayloadError) as raised:
        parse(payload)
    assert raised.value.fault is fault
    assert fault.value in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_byte_order_mark_is_no_reason_to_lose_a_payload() -> None:
    assert len(parse(b"\xef\xbb\xbf" + hydrology.result([row()])).observations) == 1


def test_values_nested_nearly_too_deeply_are_skipped_and_do_not_break_the_parser() -> None:
    for depth in range(100, 1_000, 25):
        deep = b"[" * depth + b"]" * depth
        payload = b'{"results": {"bindings": [' + deep + b', {"code": ' + deep + b"}]}}"
        fault: PayloadFault | None = None
        reasons: list[SkipReason] = []
        try:
            reasons = [skipped.reason for skipped in parse(payload).skipped]
        except PayloadError as error:
            fault = error.fault
        assert (fault, reasons) in (
            (PayloadFault.NOT_JSON, []),
            (None, [SkipReason.NOT_A_ROW, SkipReason.NOT_A_ROW]),
        )


def test_every_quirk_of_the_service_is_in_the_simulated_payload_and_none_is_skipped() -> None:
    payload = hydrology.payload(NOW)
    rows = json.loads(payload)["results"]["bindings"]
    parsed = parse(payload, not_after=NOW)
    assert len(rows) == 235
    assert len(parsed.observations) == 233
    assert (parsed.superseded, parsed.skipped) == (2, ())
    assert sum("discharge" not in bound for bound in rows) == 45
    assert sum("waterLevel" not in bound for bound in rows) == 9
    assert sum("discharge" not in bound and "waterLevel" not in bound for bound in rows) == 6
    sometimes_missing = {name for name in hydrology.VARIABLES if any(name not in bound for bound in rows)}
    assert sometimes_missing == {"water", "wkt", "discharge", "waterLevel", "danger"}
    assert {bound["danger"]["value"] for bound in rows if "danger" in bound} == {"1", hydrology.UNDEFINED}
    assert all(bound["measuredAt"]["value"].endswith("+01:00") for bound in rows)
    ages = [NOW - observation.measured_at for observation in parsed.observations]
    assert sum(age > timedelta(days=1) for age in ages) == 3
    assert max(ages) > timedelta(days=300)
    assert any(len(bound["wkt"]["value"].split()[0].split(".")[1]) == 15 for bound in rows if "wkt" in bound)
    assert any("%20" in bound["water"]["value"] for bound in rows if "water" in bound)
    names = {observation.name for observation in parsed.observations}
    bodies = {observation.water_body for observation in parsed.observations}
    assert {"Genève, Sécheron", "Andelfingen"} <= names
    assert {"Bodensee, Untersee", "Rhône", "Rhein (Oberwasser)"} <= bodies


def test_every_way_in_which_a_row_can_be_unusable_is_simulated() -> None:
    rows = hydrology.bindings(NOW) + hydrology.malformed_bindings(NOW)
    parsed = parse(hydrology.result(rows), not_after=NOW)
    assert len(parsed.observations) == 233
    assert {skipped.reason for skipped in parsed.skipped} == set(SkipReason)


def test_the_real_payload_is_read_whole(lindas_sample: Path) -> None:
    parsed = parse(lindas_sample.read_bytes())
    assert len(parsed.observations) == 233
    assert (parsed.superseded, parsed.skipped) == (2, ())
    live = {observation.code: observation for observation in parsed.observations}
    values = {code: (live[code].discharge, live[code].water_level) for code in hydrology.LIVE_CODES}
    assert values == {
        "2346": (45.681, 665.896),
        "2011": (68.056, 483.339),
        "2630": (0.924, 494.535),
        "2009": (165.410, 375.350),
    }
    assert {live[code].measured_at for code in hydrology.LIVE_CODES} == {
        datetime(2026, 4, 20, 20, 20, tzinfo=UTC)
    }


def test_the_simulated_payload_has_the_shape_of_the_real_one(lindas_sample: Path) -> None:
    real = json.loads(lindas_sample.read_bytes())
    simulated = json.loads(hydrology.payload(NOW))
    assert simulated["head"] == real["head"]

    def kinds(payload: Any) -> set[tuple[str, str, str | None]]:
        return {
            (name, bound["type"], bound.get("datatype"))
            for binding in payload["results"]["bindings"]
            for name, bound in binding.items()
        }

    assert kinds(simulated) == kinds(real)
    assert [b["code"] for b in simulated["results"]["bindings"]] == [
        b["code"] for b in real["results"]["bindings"]
    ]


def test_the_query_asks_for_every_variable_and_carries_the_attribution() -> None:
    assert all(f"?{variable}" in QUERY for variable in hydrology.VARIABLES)
    assert ATTRIBUTION in QUERY

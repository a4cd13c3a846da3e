"""Whatever the network delivers, the parser answers with observations or with its own error."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alpimonitor_api.ingest.lindas import LARGEST_VALUE, Parsed, PayloadError, parse
from alpimonitor_rehearsal import hydrology

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
ROWS = hydrology.bindings(NOW)[:12]
PAYLOAD = hydrology.result(ROWS)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
awkward = st.sampled_from(
    [
        "NaN",
        "INF",
        "1e309",
        "-0",
        "1e-400",
        "٣",
        "",
        " 1 ",
        "1\x00",
        "9999-12-31T23:59:59-23:59",
        "2026-W01-1",
        "0001-01-01T00:00:00+23:59",
        "2026-07-01T13:00:00",
        "%",
        "%ff%fe",
        "\ud800",
        "POINT(1 2",
        "Undefined",
    ]
)
examples = settings(database=None, deadline=None, max_examples=200)
value = st.text(max_size=12) | awkward | anything


def read(body: bytes) -> Parsed | None:
    """None for the parser's own error. Any other fails the test."""
    with contextlib.suppress(PayloadError):
        return parse(body, not_after=NOW)
    return None


def holds(parsed: Parsed, rows: int) -> None:
    """What is true of every answer of the parser."""
    assert len(parsed.observations) + parsed.superseded + len(parsed.skipped) == rows
    codes = [observation.code for observation in parsed.observations]
    assert len(codes) == len(set(codes))
    for observation in parsed.observations:
        assert observation.measured_at.tzinfo is UTC
        assert observation.measured_at <= NOW
        for figure in (observation.discharge, observation.water_level):
            assert figure is None or (math.isfinite(figure) and abs(figure) <= LARGEST_VALUE)
        for place, bound in ((observation.longitude, 180), (observation.latitude, 90)):
            assert place is None or abs(place) <= bound
    for skipped in parsed.skipped:
        assert skipped.detail.isprintable()


@examples
@given(st.binary(max_size=200))
def test_any_bytes_give_observations_or_a_payload_error(body: bytes) -> None:
    read(body)


@examples
@given(start=st.integers(0, len(PAYLOAD)), length=st.integers(0, 200), instead=st.binary(max_size=20))
def test_a_damaged_payload_gives_observations_or_a_payload_error(
    start: int, length: int, instead: bytes
) -> None:
    damaged = PAYLOAD[:start] + instead + PAYLOAD[start + length :]
    parsed = read(damaged)
    if parsed is not None:
        holds(parsed, len(json.loads(damaged.decode("utf-8-sig"))["results"]["bindings"]))


@examples
@given(
    place=st.integers(0, len(ROWS) - 1),
    variable=st.sampled_from(hydrology.VARIABLES),
    part=st.sampled_from(["value", "type", "datatype", None]),
    instead=value,
)
def test_a_row_with_anything_in_it_is_read_or_skipped(
    place: int, variable: str, part: str | None, instead: Any
) -> None:
    rows = json.loads(json.dumps(ROWS))
    if part is None:
        rows[place][variable] = instead
    else:
        rows[place].setdefault(variable, {})[part] = instead
    parsed = parse(json.dumps({"results": {"bindings": rows}}).encode(), not_after=NOW)
    holds(parsed, len(rows))
    others = {row["code"]["value"] for number, row in enumerate(ROWS) if number != place}
    assert others <= {observation.code for observation in parsed.observations}


@examples
@given(st.lists(anything, min_size=1, max_size=5))
def test_rows_of_anything_are_read_or_skipped(rows: list[Any]) -> None:
    holds(parse(json.dumps({"results": {"bindings": rows}}).encode(), not_after=NOW), len(rows))


@examples
@given(anything)
def test_any_json_document_gives_observations_or_a_payload_error(document: Any) -> None:
    for wrapped in (document, {"results": document}, {"results": {"bindings": document}}):
        read(json.dumps(wrapped).encode())


@examples
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["2346", "2011"]),
            st.sampled_from(["2026-07-01T12:00:00Z", "2026-07-01T11:50:00Z"]),
            st.sampled_from(["1.0", "2.0", None]),
            st.sampled_from(["665.1", "665.2", None]),
        ),
        max_size=5,
    ).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))),
)
def test_the_order_of_rows_of_one_station_changes_no_value(
    rows: tuple[list[tuple[str | None, ...]], list[tuple[str | None, ...]]],
) -> None:
    names = ("code", "measuredAt", "discharge", "waterLevel")

    def read_in_order(order: list[tuple[str | None, ...]]) -> set[tuple[object, ...]]:
        bound = [
            {name: {"value": text} for name, text in zip(names, row, strict=True) if text is not None}
            for row in order
        ]
        parsed = read(hydrology.result(bound))
        found = parsed.observations if parsed is not None else ()
        return {(one.code, one.measured_at, one.discharge, one.water_level) for one in found}

    one, other = rows
    assert read_in_order(one) == read_in_order(other)


@examples
@given(st.permutations(range(len(ROWS))))
def test_the_order_of_the_rows_changes_no_observation(order: list[int]) -> None:
    shuffled = parse(hydrology.result([ROWS[place] for place in order]))
    assert set(shuffled.observations) == set(parse(PAYLOAD).observations)

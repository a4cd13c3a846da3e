"""What an answer over HTTP says: paths into JSON, health, the last run of ingestion."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_watchdog.core.seen import HealthSeen, IngestionSeen
from alpimonitor_watchdog.probe import json_path
from alpimonitor_watchdog.probe.answers import Answer, Expected, Malformed, health, ingestion

URL = "http://api/health"


def said(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("status", ("status",)),
        ("ingestion.lastRun", ("ingestion", "lastRun")),
        ("data[0].name", ("data", 0, "name")),
        ("[2]", (2,)),
        ("grid[1][12].a-b", ("grid", 1, 12, "a-b")),
    ],
)
def test_a_path_is_keys_and_positions_and_is_written_as_it_was(path: str, steps: json_path.Steps) -> None:
    assert json_path.parse(path) == steps
    assert json_path.written(steps) == path


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a b", "a.[0]", "$.a]"])
def test_what_is_no_path_is_refused_with_an_example(path: str) -> None:
    with pytest.raises(ValueError, match=r"ingestion\.lastRun"):
        json_path.parse(path)


def test_a_step_that_finds_nothing_is_named() -> None:
    document = {"data": [{"name": "Sion"}]}
    assert json_path.find(document, ("data", 0, "name")) == "Sion"
    for path, missing in [
        ("data[1].name", "data[1]"),
        ("data.name", "data.name"),
        ("data[0].name.first", "data[0].name.first"),
        ("other.name", "other"),
    ]:
        with pytest.raises(json_path.NotThere, match=f"^there is no {re.escape(missing)}$"):
            json_path.find(document, json_path.parse(path))


@pytest.mark.parametrize(
    ("expected", "answer", "detail"),
    [
        pytest.param(Expected(URL), Answer(200, b"<html>"), "", id="the status is enough"),
        pytest.param(Expected(URL, ("status",), "ok"), said({"status": "ok"}), "", id="as expected"),
        pytest.param(Expected(URL, ("data",), 7), said({"data": [1] * 7}), "", id="as many entries"),
        pytest.param(Expected(URL, ("n",), 1.0), said({"n": 1}), "", id="numbers are compared as numbers"),
        pytest.param(
            Expected(URL, ("status",), "ok"),
            said({"status": "degraded"}),
            'status is "degraded", expected "ok"',
            id="another word",
        ),
        pytest.param(
            Expected(URL, ("data",), 7),
            said({"data": []}),
            "data has 0 entries, expected 7",
            id="an empty list",
        ),
        pytest.param(
            Expected(URL, ("data",), 7),
            said({"data": None}),
            "data is null, expected 7",
            id="null where a list should be",
        ),
        pytest.param(
            Expected(URL, ("data",), 0),
            said({"data": {}}),
            "data is an object of 0, expected 0",
            id="an object",
        ),
        pytest.param(
            Expected(URL, ("up",), True), said({"up": 1}), "up is 1, expected true", id="one is not true"
        ),
        pytest.param(
            Expected(URL, ("up",), 1), said({"up": True}), "up is true, expected 1", id="true is not one"
        ),
        pytest.param(
            Expected(URL, ("up",), True),
            said({"up": [1]}),
            "up is a list of 1, expected true",
            id="a list is not true",
        ),
        pytest.param(
            Expected(URL, ("status",), "ok"),
            said({}),
            "in its answer there is no status",
            id="the key is not there",
        ),
        pytest.param(
            Expected(URL, ("status",), "ok"),
            Answer(200, b"{"),
            "answered something that is not JSON",
            id="half an answer",
        ),
        pytest.param(
            Expected(URL, ("status",), "ok"),
            Answer(200, b"[" * 100_000),
            "answered something that is not JSON",
            id="deeper than anything can read",
        ),
        pytest.param(
            Expected(URL),
            said({"error": {"code": "RATE_LIMITED"}}, 429),
            "answered 429 RATE_LIMITED",
            id="an error in the envelope",
        ),
        pytest.param(Expected(URL), Answer(502, b"<html>"), "answered 502", id="an error of a proxy"),
        pytest.param(
            Expected(URL),
            Answer(301, b""),
            "answered 301, a redirect, which is not followed",
            id="a redirect",
        ),
    ],
)
def test_an_answer_is_ok_or_says_how_it_differs(expected: Expected, answer: Answer, detail: str) -> None:
    assert health(expected, answer) == HealthSeen(URL, ok=not detail, detail=detail)


@pytest.mark.parametrize(
    ("status", "code", "context_empty"),
    [(503, "CONTEXT_EMPTY", True), (503, "SERVICE_UNAVAILABLE", False), (500, "CONTEXT_EMPTY", False)],
)
def test_only_503_context_empty_belongs_to_the_context_incident(
    status: int, code: str, context_empty: bool
) -> None:
    seen = health(Expected(URL, ("data",), 7), said({"error": {"code": code}}, status))
    assert (seen.ok, seen.context_empty) == (False, context_empty)


RUN = {
    "status": "SUCCESS",
    "startedAt": "2026-04-21T12:00:00Z",
    "completedAt": "2026-04-21T14:00:02+02:00",
    "stationsSeenCount": 4,
}
STARTED = datetime(2026, 4, 21, 12, 0, 0, tzinfo=UTC)
COMPLETED = datetime(2026, 4, 21, 12, 0, 2, tzinfo=UTC)
EARLIER = datetime(2026, 4, 21, 11, 50, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "seen"),
    [
        pytest.param(
            {"lastRun": RUN, "lastSuccessAt": "2026-04-21T11:50:02Z"},
            IngestionSeen(4, STARTED, EARLIER),
            id="the last success stands beside the run",
        ),
        pytest.param(
            {"lastRun": RUN}, IngestionSeen(4, STARTED, COMPLETED), id="a run that succeeded is one"
        ),
        pytest.param(
            {"lastRun": {**RUN, "status": "PARTIAL"}},
            IngestionSeen(4, STARTED, None),
            id="a partial run is none",
        ),
        pytest.param(
            {"lastRun": {**RUN, "status": "FAILURE", "stationsSeenCount": 0}, "lastSuccessAt": None},
            IngestionSeen(0, STARTED, None),
            id="a failed run saw nothing",
        ),
        pytest.param(
            {"lastRun": {"stationsSeenCount": 4, "lastSuccessAt": "2026-04-21T11:50:02Z"}},
            IngestionSeen(4, None, EARLIER),
            id="the last success stands in the object",
        ),
        pytest.param({"lastRun": 3}, IngestionSeen(3), id="a number is all there is"),
        pytest.param({"lastRun": None}, None, id="there was no run yet"),
        pytest.param(
            {"lastRun": {**RUN, "completedAt": None, "stationsSeenCount": 0}}, None, id="a run is under way"
        ),
    ],
)
def test_the_last_run_of_ingestion(document: object, seen: IngestionSeen | None) -> None:
    assert ingestion(said({"ingestion": document}), ("ingestion", "lastRun")) == seen


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (said({"ingestion": {"lastRun": None}}, 503), "answered 503"),
        (said({"ingestion": {}}), "in its answer there is no ingestion.lastRun"),
        (said({"ingestion": {"lastRun": {}}}), "the number of stations seen is null"),
        (said({"ingestion": {"lastRun": "4"}}), 'the number of stations seen is "4"'),
        (said({"ingestion": {"lastRun": True}}), "the number of stations seen is true"),
        (said({"ingestion": {"lastRun": -1}}), "the number of stations seen is -1"),
        (said({"ingestion": {"lastRun": [4]}}), "the number of stations seen is a list of 1"),
        (
            said({"ingestion": {"lastRun": {**RUN, "startedAt": "yesterday"}}}),
            '"yesterday" is not a time with its offset',
        ),
        (
            said({"ingestion": {"lastRun": {**RUN, "startedAt": "2026-04-21T12:00:00"}}}),
            '"2026-04-21T12:00:00" is not a time with its offset',
        ),
        (
            said({"ingestion": {"lastRun": {**RUN, "startedAt": "0001-01-01T00:00:00+14:00"}}}),
            '"0001-01-01T00:00:00+14:00" is not a time with its offset',
        ),
    ],
)
def test_a_malformed_run_says_what_is_malformed(answer: Answer, says: str) -> None:
    with pytest.raises(Malformed) as raised:
        ingestion(answer, ("ingestion", "lastRun"))
    assert str(raised.value) == says


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    seen = health(Expected(URL, ("status",), "ok"), said({"status": "x" * 10_000}))
    assert len(seen.detail) < 120


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*RUN, "ingestion", "x"]), inner),
)


@given(status=st.sampled_from([200, 204, 301, 503]), document=DOCUMENTS, raw=st.none() | st.binary())
def test_whatever_comes_back_it_is_a_value_or_malformed(
    status: int, document: Any, raw: bytes | None
) -> None:
    answer = Answer(status, raw if raw is not None else json.dumps({"ingestion": document}).encode())
    seen = health(Expected(URL, ("ingestion", "lastRun"), 4), answer)
    assert seen.ok == (not seen.detail)
    for steps in (("ingestion",), ("ingestion", "lastRun"), ("ingestion", 0)):
        with contextlib.suppress(Malformed):
            run = ingestion(answer, steps)
            assert run is None or run.stations_seen >= 0

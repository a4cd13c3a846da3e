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
from alpimonitor_watchdog.probe.answers import (
    Answer,
    Expected,
    Malformed,
    archive_error,
    clock,
    deployment,
    health,
    ingestion,
)

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
    ("now", "age"),
    [
        (COMPLETED.replace(minute=30), 1800.0),
        (COMPLETED, 0.0),
        (EARLIER, 0.0),  # the API's clock is ahead: nothing is less than no time ago
        (None, None),
    ],
)
def test_how_long_ago_the_last_success_was(now: datetime | None, age: float | None) -> None:
    document = json.dumps({"ingestion": {"lastRun": RUN}}).encode()
    seen = ingestion(Answer(200, document, now), ("ingestion", "lastRun"))
    assert seen is not None
    assert seen.success_age == age


@pytest.mark.parametrize(
    ("archive", "failures", "error"),
    [
        ({"consecutiveFailures": 0, "lastError": None}, 0, ""),
        ({"consecutiveFailures": 3, "lastError": "no space\n left "}, 3, "no space left"),
        ({"consecutiveFailures": 3}, 3, ""),
        ({"consecutiveFailures": 3, "lastError": 5}, 3, ""),
        ({"consecutiveFailures": None, "lastError": None}, None, ""),
        ({"consecutiveFailures": "3", "lastError": "no space"}, None, ""),
        ({"consecutiveFailures": True}, None, ""),
        ({"consecutiveFailures": -1}, None, ""),
        ({"consecutiveFailures": 1.5}, None, ""),
        ({"consecutiveFailures": 10**30}, None, ""),
        ({}, None, ""),
        ([3], None, ""),
        ("full", None, ""),
        (None, None, ""),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_an_odd_archive_is_not_told_and_spoils_nothing(
    archive: object, failures: int | None, error: str, beside: bool
) -> None:
    if beside:
        document: object = {"ingestion": {"lastRun": RUN, "archive": archive}}
    else:
        document = {"ingestion": {"lastRun": {**RUN, "archive": archive}}}
    seen = ingestion(said(document), ("ingestion", "lastRun"))
    assert seen == IngestionSeen(4, STARTED, COMPLETED, None, failures, error)


def test_a_number_too_long_to_read_spoils_nothing_around_it() -> None:
    written = json.dumps({"lastRun": RUN, "archive": {"consecutiveFailures": 0}}).replace(
        ": 0}", f": {'9' * 5000}}}"
    )
    seen = ingestion(Answer(200, written.encode()), ("lastRun",))
    assert seen == IngestionSeen(4, STARTED, COMPLETED)


def test_a_long_error_is_cut() -> None:
    assert len(archive_error("x" * 10_000)) == 200


@pytest.mark.parametrize(
    ("document", "status", "told"),
    [
        ({"deployment": {"id": "0b", "environment": "test"}}, 200, "0b"),
        ({"deployment": {"id": "0b"}}, 503, None),
        ({"deployment": {"id": None}}, 200, None),
        ({"deployment": {"id": 11}}, 200, None),
        ({"deployment": {"id": ""}}, 200, None),
        ({"deployment": {"id": "x" * 201}}, 200, None),
        ({"deployment": "0b"}, 200, None),
        ({}, 200, None),
        ([], 200, None),
    ],
)
def test_the_deployment_that_is_served(document: object, status: int, told: str | None) -> None:
    assert deployment(said(document, status)) == told


OWN = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "own", "at"),
    [
        ("Tue, 21 Apr 2026 11:58:00 GMT", OWN, datetime(2026, 4, 21, 11, 58, tzinfo=UTC)),
        ("Tue, 21 Apr 2026 11:58:00 GMT", None, datetime(2026, 4, 21, 11, 58, tzinfo=UTC)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", OWN, OWN),
        ("Thu, 23 Apr 2026 12:00:00 GMT", OWN, OWN),
        ("Tue, 21 Apr 2026 11:58:00 -0000", OWN, OWN),  # says that it does not know its zone
        ("yesterday", OWN, OWN),
        ("yesterday", None, None),
        ("", OWN, OWN),
        (None, OWN, OWN),
    ],
)
def test_the_clock_is_that_of_the_answer_unless_it_makes_no_sense(
    date: str | None, own: datetime | None, at: datetime | None
) -> None:
    assert clock(date, own) == at


@given(
    date=st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,20} [0-9:]{1,12} \S{0,8}")
)
def test_whatever_a_date_says_it_is_a_time_or_the_own_clock(date: str) -> None:
    assert clock(date, OWN) is not None


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
    assert deployment(answer) is None or status == 200
    for steps in (("ingestion",), ("ingestion", "lastRun"), ("ingestion", 0)):
        with contextlib.suppress(Malformed):
            run = ingestion(answer, steps)
            assert run is None or run.stations_seen >= 0

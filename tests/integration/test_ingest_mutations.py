"""Whatever LINDAS sends, a pass ends with an outcome and a reason, and what it counted is what was stored."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from alpimonitor_api.ingest.lindas import PayloadError, parse
from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.source import HttpSource
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.loopback import LoopbackServer
from tests.passes import NOW, Bytes, ingestion, runs

STORED = """
SELECT (SELECT count(*) FROM measurement) AS measurements,
       (SELECT count(*) FROM alert) AS alerts,
       (SELECT jsonb_agg(to_jsonb(run)) FROM ingestion_run AS run) AS runs
"""
EMPTY = "TRUNCATE measurement, alert, ingestion_run"

Rows = list[dict[str, Any]]

values = st.sampled_from(
    ["NaN", "INF", "-INF", "1e309", "9" * 500, "-0", "", " ", "45,6", "٤٢", "1\x00", "\ud800", "2026-07-01",
     "2026-07-01T13:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2346", "450.0"]
)  # fmt: skip
types = st.sampled_from(
    [None, True, 0, -1.5, float("nan"), float("inf"), 10**400, [], {}, [["deep"]], "text"]
)


def _rows(mutate: Callable[[Rows, random.Random, Any], None], instead: Any) -> Callable[..., bytes]:
    def mutated(rows: Rows, chance: random.Random) -> bytes:
        mutate(rows, chance, instead)
        return json.dumps({"results": {"bindings": rows}}).encode()

    return mutated


def drop_variable(rows: Rows, chance: random.Random, _: Any) -> None:
    for row in rows:
        row.pop(chance.choice(hydrology.VARIABLES), None)


def drop_rows(rows: Rows, chance: random.Random, _: Any) -> None:
    del rows[: chance.randrange(len(rows) + 1)]


def another_value(rows: Rows, chance: random.Random, instead: Any) -> None:
    for row in chance.sample(rows, chance.randint(1, len(rows))):
        row[chance.choice(hydrology.VARIABLES)] = {"type": "literal", "value": instead}


def another_type(rows: Rows, chance: random.Random, instead: Any) -> None:
    for row in chance.sample(rows, chance.randint(1, len(rows))):
        row[chance.choice(hydrology.VARIABLES)] = instead


def rows_again(rows: Rows, chance: random.Random, instead: Any) -> None:
    """Stations twice, at the same time, with another value."""
    for row in chance.sample(rows, chance.randint(1, len(rows))):
        rows.append({**row, "discharge": {"type": "literal", "value": instead}})


def duplicate_keys(rows: Rows, chance: random.Random) -> bytes:
    """Of a name that an object has twice the last counts, as everywhere in JSON."""
    body = json.dumps({"results": {"bindings": rows}})
    name = chance.choice(hydrology.VARIABLES)
    return body.replace(f'"{name}": ', f'"{name}": {{"value": "first"}}, "{name}": ').encode()


def truncated(rows: Rows, chance: random.Random) -> bytes:
    body = hydrology.result(rows)
    return body[: chance.randrange(len(body))]


def other_bytes(rows: Rows, chance: random.Random) -> bytes:
    body = bytearray(hydrology.result(rows))
    for _ in range(chance.randint(1, 20)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


def deep(rows: Rows, chance: random.Random) -> bytes:
    depth = chance.choice([10, 900, 100_000])
    return b'{"results": {"bindings": ' + b"[" * depth + b"]" * depth + b"}}"


def encoded(encoding: str) -> Callable[[Rows, random.Random], bytes]:
    return lambda rows, chance: hydrology.result(rows).decode().encode(encoding)


mutations = st.one_of(
    st.builds(_rows, st.sampled_from([drop_variable, drop_rows]), st.none()),
    st.builds(_rows, st.sampled_from([another_value, rows_again]), values),
    st.builds(_rows, st.just(another_type), types),
    st.sampled_from([duplicate_keys, truncated, other_bytes, deep]),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32-le", "iso8859-15", "cp037"]).map(encoded),
)


@pytest.fixture(params=["simulated", "real"])
def payload(request: pytest.FixtureRequest) -> Rows:
    """The LIVE stations and some of the others: a payload of all takes ten times as long to read."""
    if request.param == "real":
        sample: Path = request.getfixturevalue("lindas_sample")
        rows: Rows = json.loads(sample.read_bytes())["results"]["bindings"]
    else:
        rows = hydrology.bindings(NOW)
    live = [row for row in rows if row["code"]["value"] in hydrology.LIVE_CODES]
    assert len(live) == 4
    return live + rows[:20]


@pytest.fixture
def arriving() -> Bytes:
    return Bytes(b"")


@pytest.fixture
def passing(seeded_database: str, arriving: Bytes) -> Ingestion:
    """One for all examples, as a process has one for all its passes."""
    return ingestion(seeded_database, arriving)


@settings(
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it is emptied after each example
)
@given(mutation=mutations, seed=st.integers(0, 2**16))
def test_a_mutated_payload_ends_as_an_outcome_with_a_reason_and_stores_what_it_counts(
    seeded_database: str,
    payload: Rows,
    arriving: Bytes,
    passing: Ingestion,
    mutation: Callable[[Rows, random.Random], bytes],
    seed: int,
) -> None:
    arriving.body = mutation(json.loads(json.dumps(payload)), random.Random(seed))
    done, again = passing.run(), passing.run()
    with psycopg.connect(seeded_database, row_factory=dict_row, autocommit=True) as connection:
        stored = connection.execute(STORED).fetchone()
        connection.execute(EMPTY)
    assert stored is not None
    assert done.recorded
    assert done.outcome in (Outcome.SUCCESS, Outcome.PARTIAL, Outcome.FAILURE)
    run = done.run
    assert run is not None
    assert [row["status"] for row in stored["runs"]] == [run.status] * 2
    assert stored["measurements"] == run.measurements_created_count
    # The same bytes mean the same the second time: nothing is new, and nothing is corrected.
    assert again.run is not None
    assert (again.run.measurements_created_count, again.run.measurements_updated_count) == (0, 0)
    if done.outcome is Outcome.SUCCESS:
        assert (run.error_message, run.measurements_skipped_count) == (None, 0)
    else:
        assert run.error_message
        assert (done.reason is not None) == (done.outcome is Outcome.FAILURE)
        assert run.error_message.isprintable()
    if done.outcome is Outcome.FAILURE:
        assert (stored["measurements"], stored["alerts"], run.stations_seen_count) == (0, 0, 0)


def test_the_mutations_reach_every_outcome() -> None:
    """Else the test above would prove less than it says."""
    reached = set()

    @settings(database=None, deadline=None, derandomize=True, max_examples=60)
    @given(mutation=mutations, seed=st.integers(0, 2**16))
    def look(mutation: Callable[[Rows, random.Random], bytes], seed: int) -> None:
        try:
            parsed = parse(mutation(hydrology.bindings(NOW)[:24], random.Random(seed)), not_after=NOW)
        except PayloadError as error:
            reached.add(error.fault.value)
        else:
            reached.add(("partial" if parsed.observations else "none") if parsed.skipped else "success")

    look()
    assert reached >= {"not_json", "none", "partial", "success"}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "a gzip bomb"])
def test_a_hundred_megabytes_are_a_failure_with_a_reason_and_leave_nothing(
    seeded_database: str, tmp_path: Path, packed: bool
) -> None:
    body = hydrology.payload(NOW) + b" " * 100_000_000
    headers = {"Content_Encoding": "gzip"} if packed else {}
    sent = gzip.compress(body, 1) if packed else body
    asked: list[str] = []

    def answer(exchange: Any) -> None:
        asked.append(exchange.method)
        exchange.answer(200, sent, **headers)

    server = LoopbackServer(answer)
    server.start()
    try:
        source = HttpSource(f"http://127.0.0.1:{server.port}/")
        done = ingestion(seeded_database, source, root=tmp_path).run()
    finally:
        server.stop()
    assert (done.outcome, asked) == (Outcome.FAILURE, ["POST"])
    (run,) = runs(seeded_database)
    assert "too_large" in run["error_message"]
    assert (run["http_status"], run["payload_bytes"], run["measurements_created_count"]) == (200, None, 0)
    assert list(tmp_path.iterdir()) == []

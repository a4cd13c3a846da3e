"""An API under load whose database is restarted, emptied and healed: which answers were right, and when.

What is right is known beforehand: in each state of the database every route has one answer, taken in quiet
from an application of its own and held against the fixtures. Under load an answer has to be that of a state
which the database had while the answer was on its way, or, with a cache, at most CACHE_SECONDS earlier; only
while the database is away may it be a 503 instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from alpimonitor_api import ids
from alpimonitor_cli.migrate import upgrade
from alpimonitor_rehearsal.postgres import PostgresServer
from alpimonitor_rehearsal.processes import Processes, environment, python_module
from alpimonitor_rehearsal.psql import run_psql
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import TABLES, load
from tests import running
from tests.api_client import serving
from tests.load_client import Answer, Asked, Load, Seen

BASE = "/api/v1"
WHOLE, EMPTY, HEALED, UNAVAILABLE = "whole", "empty", "healed", "unavailable"
ALWAYS = frozenset({WHOLE, EMPTY, HEALED, UNAVAILABLE})
METRICS = "/metrics"
PATHS = (
    *(f"{BASE}/health", f"{BASE}/status", f"{BASE}/stations", f"{BASE}/stations?isActive=true"),
    *(f"{BASE}/stations/2346", f"{BASE}/stations/{ids.station_id('TBD-EVOLENE')}"),
    f"{BASE}/stations/2346/measurements?from=2025-06-01T00:00:00Z&to=2025-06-01T02:00:00Z",
    *(f"{BASE}/catchments", f"{BASE}/glaciers", f"{BASE}/withdrawals"),
    *(f"{BASE}/alerts", f"{BASE}/alerts?active=true", f"{BASE}/threshold-audits"),
    *("/openapi.json", METRICS),
)
WIPE = f"TRUNCATE {', '.join(TABLES)} CASCADE"
MEASURED = """
INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)
SELECT sensor.id, at, 10 + extract(minute FROM at), at FROM sensor,
       generate_series(timestamptz '2025-06-01 00:00Z', '2025-06-01 01:50Z', '10 min') AS at
 WHERE sensor.parameter = 'DISCHARGE';
INSERT INTO alert (id, station_id, type, level, parameter, trigger_value, threshold_value, opened_at)
SELECT '00000000-0000-4000-8000-000000000001', id, 'THRESHOLD_EXCEEDED', 'ALERT', 'DISCHARGE', 500, 400,
       '2025-06-01 01:50Z' FROM station WHERE ofev_code = '2346';
INSERT INTO threshold_audit (id, station_id, parameter, after, changed_at, changed_by)
SELECT '00000000-0000-4000-8000-000000000002', id, 'DISCHARGE', '{}', '2025-06-01 01:50Z', 'a person'
  FROM station WHERE ofev_code = '2346'
"""
VOLATILE = re.compile(rb'"(timestamp|uptimeSeconds|durationSeconds)" ?: ?("[^"]*"|\d+)')
"""Members that tell the time."""

Told = tuple[int, str | None, Any]
"""Of an answer what a state decides: status, X-Total-Count, and the body without what tells the time."""


@dataclass
class Period:
    """When the database may have been in a state: from the beginning of the change that led there until the
    end of the change that led away."""

    kind: str
    since: float
    until: float | None = None


@dataclass
class Timeline:
    """What the database went through. `cached`: seconds for which an answer may be given again."""

    cached: float
    periods: list[Period] = field(default_factory=lambda: [Period(WHOLE, monotonic())])

    @contextmanager
    def change(self, kind: str) -> Iterator[None]:
        """While the content changes, both states are right."""
        now = self.content
        self.periods.append(Period(kind, monotonic()))
        yield
        now.until = monotonic()

    @property
    def content(self) -> Period:
        return next(each for each in reversed(self.periods) if each.kind != UNAVAILABLE)

    @property
    def outage(self) -> Period:
        """The last one."""
        return next(each for each in reversed(self.periods) if each.kind == UNAVAILABLE)

    def allowed(self, seen: Seen) -> frozenset[str]:
        """The states that the database may have been in for an answer."""
        return frozenset(
            period.kind
            for period in self.periods
            if seen.ended > period.since
            and (
                period.until is None
                or seen.began < period.until + (self.cached if period.kind != UNAVAILABLE else 0)
            )
        )

    def wrong(self, seen: Sequence[Seen]) -> list[str]:
        """Every answer that was not right at its time, in a sentence."""
        return [
            f"{each.path} answered {each.status}{' by a 304' if each.revalidated else ''}: "
            + (each.complaint or f"{_some(each.kinds)}, when it was {_some(self.allowed(each))}")
            for each in seen
            if not each.kinds & self.allowed(each)
        ]


def _some(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds)) or "nothing known"


@dataclass(frozen=True)
class Trial:
    """One API process and its database, under load."""

    server: PostgresServer
    database: str
    folder: Path
    load: Load
    timeline: Timeline

    def lasting(self, rounds: int, *, since: float | None = None) -> None:
        """Until each path was asked so often and answered from now on."""
        begins = monotonic() if since is None else since
        wait_until(f"{rounds} answers of each route", lambda: self._rounds(begins) >= rounds, deadline=60)

    def _rounds(self, since: float) -> int:
        asked = dict.fromkeys(PATHS, 0)
        for seen in self.load.since(since):
            asked[seen.path] += 1
        return min(asked.values())

    def stop_database(self) -> None:
        """From now on there may be no answer but 503, until it was started again."""
        self.timeline.periods.append(Period(UNAVAILABLE, monotonic()))
        self.server.stop()

    def start_database(self) -> float:
        """Seconds until every route has answered again."""
        self.server.start()
        up = monotonic()

        def answered() -> dict[str, float]:
            """When each route first did."""
            return {seen.path: seen.ended for seen in self.load.since(up) if seen.kinds - {UNAVAILABLE}}

        wait_until("every route answering again", lambda: answered().keys() == {*PATHS}, deadline=60)
        self.timeline.outage.until = monotonic()
        return max(answered().values()) - up

    def wipe(self) -> None:
        """As a person would, with psql, in one transaction."""
        with self.timeline.change(EMPTY):
            run_psql(self.server.psql, WIPE, self.server.environment())

    def heal(self) -> None:
        """By `alpimonitor seed`; what was measured is lost."""
        with self.timeline.change(HEALED):
            seed(self.folder, self.database)

    def measure(self) -> None:
        """Put back what was measured, so that everything is as at the beginning."""
        with self.timeline.change(WHOLE):
            run_psql(self.server.psql, MEASURED, self.server.environment())

    @property
    def settled(self) -> float:
        """From when on only the present content is right, whatever was cached before the last change."""
        ends = [period.until for period in self.timeline.periods if period.until is not None]
        return max(ends) + self.timeline.cached


@contextmanager
def trial(server: PostgresServer, folder: Path, *, cached: float, per_second: float) -> Iterator[Trial]:
    """Prepare the database of a server of its own, start the API, and load it from enter to exit."""
    database = server.url()
    upgrade(database, environment="test")
    tokens = folder / "tokens.json"
    made = running.run(folder, f"token create --file {tokens} --name load --scope auditor", {})
    assert made.code == 0, made.said
    token = re.search(r"alpimonitor_[\w-]{20,}", made.said)
    assert token is not None
    bearer = (("Authorization", f"Bearer {token[0]}"),)
    asked = [Asked(path, bearer if "audits" in path else ()) for path in PATHS]
    expected = _expected(server, folder, asked, tokens)
    settings = {
        "DATABASE_URL": database,
        "API_TOKENS_FILE": str(tokens),
        "CACHE_SECONDS": f"{cached:g}",
        "RATE_LIMIT": "1000000",
        # Here a database is there or it is not: how busy the machine is must not matter.
        "DATABASE_TIMEOUT_SECONDS": "30",
        "INGESTION_ENABLED": "false",
        "PORT": "0",
    }
    with Processes(folder) as processes:
        api = processes.start(
            "api", python_module("alpimonitor_api.server"), {**environment(folder, os.environ), **settings}
        )
        found = api.until(
            "listen", lambda: re.search(r"listens on (http://[^\s\"]+)", api.logged()), deadline=60
        )
        load_ = Load(found[1], asked, lambda answer: judged(answer, expected), per_second=per_second)
        timeline = Timeline(cached)
        with load_:
            yield Trial(server, database, folder, load_, timeline)
        assert api.exit_code is None, f"the API has ended: {api.last_words()}"


def seed(folder: Path, database: str) -> None:
    done = running.run(folder, "seed", {"SEED_DATABASE_URL": database, "ALLOW_PROD_SEED": "1"})
    assert done.code == 0, done.said


def _expected(
    server: PostgresServer, folder: Path, asked: Sequence[Asked], tokens: Path
) -> Mapping[str, Mapping[str, Told]]:
    """By state and path the answer in quiet; at the end the database is whole."""
    found: dict[str, Mapping[str, Told]] = {}
    with serving(server.url(), api_tokens_file=tokens) as client:

        def take(state: str) -> None:
            answers = {}
            for each in asked:
                if each.path != METRICS:
                    answer = client.get(f"/{each.path}", headers=dict(each.headers))
                    answers[each.path] = told(
                        answer.status_code, answer.headers.get("x-total-count"), answer.content
                    )
            found[state] = answers

        take(EMPTY)
        seed(folder, server.url())
        take(HEALED)
        run_psql(server.psql, MEASURED, server.environment())
        take(WHOLE)
    _hold_against_the_fixtures(found)
    return found


def _hold_against_the_fixtures(found: Mapping[str, Mapping[str, Told]]) -> None:
    """The states are what they are called: by identifier, by count, and by what was measured."""
    rows = load().rows
    counts = [len(rows[table]) for table in TABLES]
    for state in (HEALED, WHOLE):
        for path, table in ((f"{BASE}/stations", "station"), (f"{BASE}/glaciers", "glacier")):
            _, _, body = found[state][path]
            assert {row["id"] for row in body["data"]} == {row["id"] for row in rows[table]}
        assert list(found[state][f"{BASE}/status"][2]["context"].values()) == counts
    assert set(found[EMPTY][f"{BASE}/status"][2]["context"].values()) == {0}
    for path in (f"{BASE}/stations", f"{BASE}/catchments", f"{BASE}/stations/2346"):
        status, _, body = found[EMPTY][path]
        assert (status, body["error"]["code"]) == (503, "CONTEXT_EMPTY")
    for path in (f"{BASE}/alerts", f"{BASE}/threshold-audits"):
        assert [found[state][path][:2] for state in (WHOLE, HEALED, EMPTY)] == [
            *((200, "1"), (200, "0"), (200, "0"))
        ]


def told(status: int, total: str | None, body: bytes) -> Told:
    return status, total, json.loads(VOLATILE.sub(rb'"\1": null', body))


def judged(answer: Answer, expected: Mapping[str, Mapping[str, Told]]) -> frozenset[str]:
    """The states in which this is the answer. Raises ValueError, saying what it is instead."""
    if answer.status == 503 and int(answer.headers.get("retry-after", "0")) <= 0:
        raise ValueError("a 503 that does not say when to ask again")
    if answer.path == METRICS and answer.status == 200 and b"alpimonitor_" in answer.body:
        return ALWAYS  # its figures are another test's
    this = told(answer.status, answer.headers.get("x-total-count"), answer.body)
    kinds = {state for state, answers in expected.items() if answers[answer.path] == this}
    if answer.status == 503 and _says_unavailable(this[2]):
        kinds.add(UNAVAILABLE)
    if len(kinds) == len(expected):
        return ALWAYS  # it tells nothing of the context, and needs no database perhaps
    if not kinds:
        raise ValueError(f"of no state of the database: {answer.body[:300].decode(errors='replace')}")
    return frozenset(kinds)


def _says_unavailable(body: Any) -> bool:
    """The envelope, or the shape of /health and /status without a figure that could be a lie."""
    if "error" in body:
        return bool(body["error"]["code"] == "SERVICE_UNAVAILABLE")
    if isinstance(body["database"], str):
        return bool(body["database"] == "error")
    return body["database"]["status"] == "error" and set(body["context"].values()) == {None}

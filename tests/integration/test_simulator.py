"""The LINDAS simulator over real HTTP: its answers, its faults, and its life as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alpimonitor_api.ingest.lindas import parse
from alpimonitor_api.ingest.query import QUERY
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.simulator import Fault, Simulator
from alpimonitor_rehearsal.waiting import wait_until

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
RESULTS = "application/sparql-results+json"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(clock=lambda: NOW, slow_seconds=0.05) as simulator:
        yield simulator


def ask(url: str, query: str = QUERY, *, accept: str = RESULTS, timeout: float = 10) -> httpx.Response:
    return httpx.post(url, data={"query": query}, headers={"Accept": accept}, timeout=timeout)


def control(simulator: Simulator, **wanted: Any) -> httpx.Response:
    return httpx.post(simulator.control_url, json=wanted)


def test_it_answers_the_query_of_ingestion_with_sparql_json(simulator: Simulator) -> None:
    answer = ask(simulator.url)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == RESULTS
    assert answer.json()["head"]["vars"] == list(hydrology.VARIABLES)
    assert len(parse(answer.content, not_after=NOW).observations) == 233


def test_the_same_moment_gives_the_same_bytes_and_another_one_other_values(simulator: Simulator) -> None:
    assert ask(simulator.url).content == ask(simulator.url).content == hydrology.payload(NOW)
    assert hydrology.payload(NOW + timedelta(minutes=10)) != hydrology.payload(NOW)


def test_an_observation_is_new_every_so_often() -> None:
    times: list[datetime] = []
    for seconds in (0, 4, 5, 10):
        payload = hydrology.payload(NOW + timedelta(seconds=seconds), step=timedelta(seconds=5))
        times.append(next(o.measured_at for o in parse(payload).observations if o.code == "2346"))
    assert [(time - times[0]).total_seconds() for time in times] == [0, 0, 5, 10]


def test_discharge_and_level_follow_the_day_and_stay_near_what_was_measured() -> None:
    day = [NOW.replace(hour=0) + timedelta(hours=hour) for hour in range(24)]
    measured = {gauge.code: gauge for gauge in hydrology.gauges()}
    for code in hydrology.LIVE_CODES:
        gauge = measured[code]
        discharges = [hydrology.discharge(gauge, at) for at in day]
        levels = [hydrology.water_level(gauge, at) for at in day]
        assert 15 <= discharges.index(max(discharges)) <= 23
        assert 3 <= discharges.index(min(discharges)) <= 11
        assert all(0.8 < discharge / float(gauge.discharge) < 1.2 for discharge in discharges)
        assert all(abs(level - float(gauge.water_level)) < 0.2 for level in levels)
        assert abs(discharges.index(max(discharges)) - levels.index(max(levels))) <= 2


def test_a_recorded_payload_is_served_unchanged() -> None:
    recorded = b'{"results": {"bindings": [1]}}'
    with Simulator(recorded=recorded) as simulator:
        assert ask(simulator.url).content == recorded


def test_a_query_that_names_too_little_is_refused_with_what_is_missing(simulator: Simulator) -> None:
    answer = ask(simulator.url, QUERY.replace("?waterLevel", "?level"))
    assert answer.status_code == 400
    assert "?waterLevel" in answer.text
    assert ask(simulator.url, "").status_code == 400


def test_only_the_media_type_it_has_is_served(simulator: Simulator) -> None:
    assert ask(simulator.url, accept="text/csv").status_code == 406


def test_only_post_is_served(simulator: Simulator) -> None:
    answer = httpx.get(simulator.url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.ERROR_500, 500),
        (Fault.TOO_MANY_429, 429),
        (Fault.NOT_FOUND_404, 404),
        (Fault.REDIRECT_302, 302),
    ],
)
def test_a_fault_of_status_answers_with_it(simulator: Simulator, fault: Fault, status: int) -> None:
    simulator.fault(fault)
    assert ask(simulator.url).status_code == status


def test_down_gives_no_answer(simulator: Simulator) -> None:
    simulator.fault(Fault.DOWN)
    with pytest.raises(httpx.ReadError):
        ask(simulator.url)


def test_truncated_breaks_the_answer_in_the_middle(simulator: Simulator) -> None:
    simulator.fault(Fault.TRUNCATED)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(simulator.url)


def test_slow_answers_whole_after_its_pause(simulator: Simulator) -> None:
    simulator.fault(Fault.SLOW)
    assert len(parse(ask(simulator.url).content).observations) == 233


def test_trickle_sends_on_and_on(simulator: Simulator) -> None:
    with (
        Simulator(clock=lambda: NOW, trickle_seconds=0.001) as trickling,
        httpx.Client(timeout=10) as client,
    ):
        trickling.fault(Fault.TRICKLE)
        request = {"data": {"query": QUERY}, "headers": {"Accept": RESULTS}}
        with client.stream("POST", trickling.url, **request) as answer:  # type: ignore[arg-type]
            pieces = answer.iter_raw(1)
            assert [next(pieces) for _ in range(3)] == [b"{", b"\n", b" "]


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        (Fault.MALFORMED, lambda body: body.startswith(b"<!DOCTYPE html>")),
        (Fault.EMPTY, lambda body: json.loads(body)["results"]["bindings"] == []),
        (Fault.MALFORMED_ROWS, lambda body: len(parse(body, not_after=NOW).skipped) == 9),
        (Fault.HUGE, lambda body: len(body) > 64 * 2**20),
    ],
)
def test_a_fault_of_content_answers_200_with_it(
    simulator: Simulator, fault: Fault, holds: Callable[[bytes], bool]
) -> None:
    simulator.fault(fault)
    answer = ask(simulator.url)
    assert answer.status_code == 200
    assert holds(answer.content)


def test_a_fault_can_last_for_a_number_of_queries(simulator: Simulator) -> None:
    simulator.fault(Fault.ERROR_500, times=2)
    assert [ask(simulator.url).status_code for _ in range(4)] == [500, 500, 200, 200]
    assert simulator.queries == 4


def test_stations_can_be_left_out_and_come_back(simulator: Simulator) -> None:
    simulator.leave_out(["2346", "2009"])
    assert len(parse(ask(simulator.url).content).observations) == 231
    simulator.leave_out([])
    assert len(parse(ask(simulator.url).content).observations) == 233


def test_everything_can_be_switched_over_http(simulator: Simulator) -> None:
    answer = control(simulator, fault="500", times=1, without=["2346"])
    assert answer.json() == {"fault": "500", "times": 1, "without": ["2346"], "queries": 0}
    assert ask(simulator.url).status_code == 500
    assert len(parse(ask(simulator.url).content).observations) == 232
    state = httpx.get(simulator.control_url).json()
    assert (state["fault"], state["queries"]) == ("none", 2)


@pytest.mark.parametrize(
    "wanted", [{"fault": "sulking"}, {"fault": "500", "times": "often"}, {"without": 7}, []]
)
def test_a_control_request_that_makes_no_sense_is_refused_and_changes_nothing(
    simulator: Simulator, wanted: Any
) -> None:
    answer = httpx.post(simulator.control_url, json=wanted)
    assert answer.status_code == 400
    assert "500" in answer.json()["faults"]
    assert ask(simulator.url).status_code == 200


def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """A simulator process and what it announced."""
    process = subprocess.Popen(
        [sys.executable, "-m", "alpimonitor_rehearsal.simulator", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_as_a_process_it_says_where_it_is_and_ends_cleanly_at_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b"recorded")
    process, announced = start("--file", str(file))
    with process:
        assert ask(announced["url"]).content == b"recorded"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_as_a_process_it_gives_new_observations_as_often_as_told() -> None:
    process, announced = start("--every", "0.2")
    with process:
        seen = parse(ask(announced["url"]).content).observations

        def newer() -> bool:
            return parse(ask(announced["url"]).content).observations != seen

        wait_until("a new observation", newer, deadline=10)
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("arguments", [["--every", "0"], ["--file", "absent.json"], ["--port", "no"]])
def test_options_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alpimonitor_rehearsal.simulator", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert arguments[0] in done.stderr


STARTS_ONE_AND_WAITS = """\
import subprocess, sys, os
child = subprocess.Popen([sys.executable, "-m", sys.argv[1], "--die-with-parent", str(os.getpid())],
                         stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("module", ["alpimonitor_rehearsal.simulator", "alpimonitor_rehearsal.pager"])
def test_it_dies_with_its_parent_also_by_kill_9(module: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_AND_WAITS, module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid, announced = parent.stdout.readline().split(" ", 1)
        url = json.loads(announced)["url"]
        httpx.get(url)
        parent.kill()
        parent.wait(10)

        def gone() -> bool:
            try:
                httpx.get(url)
            except httpx.TransportError:
                return True
            return False

        wait_until(f"the end of process {pid}", gone, deadline=10)


def test_it_ends_at_once_when_its_parent_is_already_gone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alpimonitor_rehearsal.simulator", "--die-with-parent", str(os.getppid())],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "the process that started this one is gone" in done.stderr
    assert done.stdout == ""

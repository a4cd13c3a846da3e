"""The demo as a newcomer runs it: real processes, a real PostgreSQL, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from alpimonitor_rehearsal.postgres import Origin, find_binaries
from alpimonitor_rehearsal.waiting import wait_until
from tests.databases import chosen_database

pytestmark = pytest.mark.acceptance

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and asks the kernel")

BEYOND_DOUBT = 180.0  # seconds; what is waited for takes about fifteen
HEALTHY = r"healthy: 7 stations"
SIDECAR = r"alpimonitor watchdog run: .* \(pid (\d+)\)"


class Demo:
    """A demo that runs, with its beats in a file."""

    def __init__(self, temporary: Path, *arguments: str) -> None:
        self.temporary = temporary
        self._beats = temporary / "beats"
        self._output = temporary / "output"
        environ = {**os.environ, "TMPDIR": str(temporary)}
        if chosen_database() == "system":
            environ["PG_BINDIR"] = str(find_binaries(origins=[Origin.SYSTEM]).folder)
        command = [sys.executable, "-m", "alpimonitor_cli.main", "demo", "--json", "--pace", "quick"]
        with self._beats.open("wb") as beats, self._output.open("wb") as output:
            self.process = subprocess.Popen([*command, *arguments], env=environ, stdout=output, stderr=beats)

    @property
    def beats(self) -> str:
        return self._beats.read_text(encoding="utf-8")

    def document(self) -> dict[str, Any]:
        """The one object on standard output, once it is there."""

        def line() -> str | None:
            text = self._output.read_text(encoding="utf-8")
            return text if text.endswith("\n") else None

        document = json.loads(self._while_it_runs("the JSON object", line))
        assert isinstance(document, dict)
        return document

    def beat(self, pattern: str) -> re.Match[str]:
        """The first beat that matches, as soon as it is told."""
        return self._while_it_runs(pattern, lambda: re.search(pattern, self.beats))

    def exit_code(self) -> int:
        return self.process.wait(BEYOND_DOUBT)

    def kept_folders(self) -> list[Path]:
        return [path for path in self.temporary.iterdir() if path.is_dir()]

    def left_behind(self) -> list[str]:
        """The command lines of processes that belong to this demo, the demo itself left out."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                belongs = any(str(self.temporary) in _read(entry / name) for name in ("environ", "cmdline"))
                if belongs and not _read(entry / "stat").partition(") ")[2].startswith("Z"):
                    found.append(f"{entry.name}: {_read(entry / 'cmdline').replace(chr(0), ' ')}")
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _while_it_runs(self, what: str, look: Callable[[], Any]) -> Any:
        def found_or_ended() -> Any:
            ended = self.process.poll() is not None
            return look() or ended

        found = wait_until(what, found_or_ended, deadline=BEYOND_DOUBT, every=0.02)
        assert found is not True, f"the demo ended without {what}:\n{self.beats}"
        return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # gone meanwhile, or another user's


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory of its own that PostgreSQL's user can reach: pytest's are private."""
    folder = Path(tempfile.mkdtemp(prefix="alpimonitor-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def demo(temporary: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(temporary, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


def assert_it_held(demo: Demo) -> dict[str, Any]:
    assert demo.exit_code() == 0, demo.beats
    return demo.document()


@pytest.mark.parametrize("scenario", ["delete", "truncate", "partial"])
def test_a_wiped_database_is_noticed_notified_healed_and_verified(
    demo: Callable[..., Demo], scenario: str
) -> None:
    document = assert_it_held(demo("--scenario", scenario))
    assert document["scenario"] == scenario
    assert document["verified"] is True
    assert document["stations_before"] == document["stations_after"] == 7
    detected, notified, restored, resolved = (
        document[f"{name}_seconds"] for name in ("detected", "notified", "restored", "resolved")
    )
    assert detected < restored <= resolved
    assert notified < restored
    assert {each["channel"] for each in document["notifications"]} == {"notify"}
    assert document["incident"]
    events = [item["event"] for item in document["timeline"]]
    assert events.index("psql_exited") < events.index("healing") < events.index("resolved")


def test_a_context_that_is_wiped_again_and_again_ends_with_a_person(demo: Callable[..., Demo]) -> None:
    document = assert_it_held(demo("--scenario", "repeat"))
    assert document["verified"] is False
    assert document["stations_after"] == 0
    assert "page" in {each["channel"] for each in document["notifications"]}
    events = [item["event"] for item in document["timeline"]]
    assert events.count("healing") == 3
    assert events.count("psql_exited") == 4
    assert "circuit_open" in {item["detail"] for item in document["timeline"]}


def test_a_leader_that_is_cut_off_heals_nothing_and_the_other_does(demo: Callable[..., Demo]) -> None:
    running = demo("--scenario", "partition")
    document = assert_it_held(running)
    assert document["verified"] is True
    assert (document["leader_before"], document["leader_after"]) == ("first", "second")
    assert (document["heals_recorded"], document["healed_by"]) == (1, "second")
    assert set(document["incident_keys"]) == {"first", "second"}
    assert len(set(document["incident_keys"].values())) == 1
    at = {name: document[f"{name}_seconds"] for name in ("detected", "cut_off", "taken_over", "restored")}
    assert sorted(at, key=at.__getitem__) == ["detected", "cut_off", "taken_over", "restored"]
    told = {(each["sidecar"], each["key"].split("-")[1]) for each in document["notifications"]}
    assert {(who, kind) for who in ("first", "second") for kind in ("opened", "resolved")} <= told
    events = [item["event"] for item in document["timeline"]]
    assert events.index("network_hangs") < events.index("healing") < events.index("network_mended")
    assert "the first sidecar has resolved its incident, without a heal of its own" in running.beats


def test_without_its_second_sidecar_nobody_takes_over_and_the_demo_says_so(demo: Callable[..., Demo]) -> None:
    running = demo("--scenario", "partition")
    second = int(running.beat(r"the second sidecar: .* \(pid (\d+)\)").group(1))
    running.beat(HEALTHY)
    os.kill(second, signal.SIGKILL)
    assert running.exit_code() == 1, running.beats
    document = running.document()
    assert (document["taken_over_seconds"], document["healed_by"]) == (None, None)
    assert "expected: the second sidecar takes over" in running.beats
    assert "expected: the ledger in the database holds one heal, by the second sidecar" in running.beats


def test_a_recorded_payload_feeds_the_demo(demo: Callable[..., Demo], lindas_sample: Path) -> None:
    document = assert_it_held(demo("--lindas", str(lindas_sample)))
    assert document["verified"] is True


def test_without_its_sidecar_the_demo_fails_and_says_what_psql_did(demo: Callable[..., Demo]) -> None:
    running = demo()
    sidecar = int(running.beat(SIDECAR).group(1))
    running.beat(HEALTHY)
    os.kill(sidecar, signal.SIGKILL)
    assert running.exit_code() == 1, running.beats
    document = running.document()
    assert document["verified"] is False
    assert document["notifications"] == []
    assert document["incident"] is None
    assert [value for key, value in document.items() if key.endswith("_seconds")] == [None] * 4
    (wiped,) = [item for item in document["timeline"] if item["source"] == "operator"]
    assert wiped["detail"].startswith("psql emptied 7 tables (39 rows)")
    assert document["stations_after"] == 0
    assert "expected: a notification reaches the pager" in running.beats
    assert "was ended by SIGKILL" in running.beats
    (folder,) = running.kept_folders()
    assert f"{folder}/sidecar.log" in running.beats


@linux_only
@pytest.mark.parametrize("moment", ["started PostgreSQL", SIDECAR, HEALTHY])
def test_kill_9_of_the_demo_leaves_no_process_behind(demo: Callable[..., Demo], moment: str) -> None:
    running = demo()
    running.beat(moment)
    running.process.kill()
    running.process.wait()
    wait_until("the end of every process", lambda: not running.left_behind(), deadline=30.0, every=0.1)


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Scenario delete", "started alpimonitor boot", HEALTHY, "noticed"])
def test_an_interrupted_demo_exits_130_and_leaves_nothing(
    demo: Callable[..., Demo], moment: str, number: signal.Signals
) -> None:
    running = demo()
    running.beat(moment)
    running.process.send_signal(number)
    assert running.exit_code() == 130, running.beats
    assert running.left_behind() == []
    assert running.kept_folders() == []


@linux_only
def test_nothing_is_left_of_a_demo_that_held(demo: Callable[..., Demo]) -> None:
    running = demo("--scenario", "partial")
    assert_it_held(running)
    assert running.left_behind() == []
    assert running.kept_folders() == []


@linux_only
def test_a_demo_that_is_kept_prints_addresses_and_a_psql_line_that_works(demo: Callable[..., Demo]) -> None:
    running = demo("--scenario", "partial", "--keep")
    assert running.document()["verified"] is True
    line = running.beat(r"PGHOST=.*/psql").group(0)
    asked = subprocess.run(
        f"{line} --no-psqlrc --tuples-only --no-align --command 'SELECT count(*) FROM station'",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.stdout, asked.stderr) == ("7\n", "")
    assert not any("password" in word.lower() for word in shlex.split(line) if "PGPASSFILE" not in word)
    sidecar = running.beat(r"WATCHDOG_LISTEN=.*/alpimonitor$").group(0)
    said = subprocess.run(
        f"{sidecar} watchdog pause --until 1m --reason looking && {sidecar} status",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stderr == ""
    assert "healing paused by" in said.stdout
    for path in (r"http://[\w.:]+/api/v1/stations", r"http://[\w.:]+/metrics"):
        assert httpx.get(running.beat(path).group(0)).status_code == 200

    # Neither the sidecar nor anything else was told what is being rehearsed.
    for process in running.left_behind():
        assert "partial" not in process + _read(Path("/proc", process.partition(":")[0], "environ"))
    (folder,) = (path for path in running.kept_folders() if path.name.startswith("alpimonitor-demo-"))
    assert "partial" not in (folder / "watchdog.toml").read_text(encoding="utf-8")

    running.process.send_signal(signal.SIGINT)
    assert running.exit_code() == 130
    assert running.left_behind() == []
    assert running.kept_folders() == [folder]
    assert (folder / "postgresql.log").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--scenario", "meteorite"], "delete, truncate, partial, repeat, partition"),
        (["--lindas", "no-such-file.json"], "neither simulated nor live"),
        (["--pace", "slow"], "quick"),
    ],
)
def test_a_wrong_option_starts_nothing_and_names_what_is_possible(
    demo: Callable[..., Demo], arguments: list[str], remedy: str
) -> None:
    running = demo(*arguments)
    assert running.exit_code() == 2
    assert remedy in running.beats
    assert running.kept_folders() == []

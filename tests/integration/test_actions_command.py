"""`alpimonitor watchdog hold` and its kin beside a sidecar's real web surface: words, token, exit codes."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from alpimonitor_watchdog import status_cli
from alpimonitor_watchdog.actions_cli import end_of_pause
from alpimonitor_watchdog.cli import app
from alpimonitor_watchdog.core.acts import Act, ActKind, Answer
from alpimonitor_watchdog.core.seen import PlanSeen
from alpimonitor_watchdog.core.words import Reason
from alpimonitor_watchdog.heal.worker import HealWorker
from alpimonitor_watchdog.live import own_token
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.settings import load
from alpimonitor_watchdog.store import Store
from alpimonitor_watchdog.web.access_token import kept_token
from alpimonitor_watchdog.web.desk import Desk
from alpimonitor_watchdog.web.server import WebServer
from tests import views
from tests.operators import operators

DEADLINE = 30.0
WHY = ["--reason", "looking at it"]


class Clocks:
    def utc(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the command reads this machine's clock, too

    def monotonic(self) -> float:
        return 0.0


class Healer:
    """One plan that was put in its mouth."""

    name = "command"
    planned = views.PLAN

    def plan(self) -> PlanSeen:
        return self.planned

    def heal(self, heal_id: str) -> Any:
        raise AssertionError("nobody asked for a heal")

    def after(self) -> tuple[str, ...]:
        raise AssertionError("nobody asked for what follows a heal")


@dataclass
class Beside:
    """A web surface with its own state directory, a loop that answers, and the command beside it."""

    state_dir: Path
    desk: Desk
    wake: threading.Event
    heard: list[Act] = field(default_factory=list)
    refuses: Reason | None = None
    url: str = ""
    over: bool = False

    def ticks(self) -> None:
        while not self.over:
            self.wake.wait(DEADLINE)
            self.wake.clear()
            acts = self.desk.take()
            self.heard += acts
            self.desk.answer([Answer(act, self.refuses, f"So it is: {act.kind}.") for act in acts])

    @property
    def environment(self) -> dict[str, str]:
        return {
            "WATCHDOG_STATE_DIR": str(self.state_dir),
            "WATCHDOG_LISTEN": self.url.removeprefix("http://").rstrip("/"),
        }

    def run(self, *words: str, **changed: str | None) -> Result:
        return CliRunner().invoke(app, list(words), env={**self.environment, **changed})


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    store = Store.open(tmp_path, views.AT, {})
    wake = threading.Event()
    at = Beside(tmp_path, Desk(wake.set), wake)
    worker = HealWorker(Healer(), lambda: None)
    worker.start()
    web = WebServer(
        "127.0.0.1", 0, store=store, metrics=Metrics(channels=[], healers=[], version="1"),
        operators=operators(desk=at.desk, token=kept_token(tmp_path), preview=worker.preview),
        interval=1.0, clock=Clocks(),
    )  # fmt: skip
    web.start()
    web.publish(views.OPEN)
    at.url = web.url
    loop = threading.Thread(target=at.ticks)
    loop.start()
    yield at
    at.over = True
    wake.set()
    loop.join(DEADLINE)
    web.stop()
    worker.stop(DEADLINE)
    store.close()


COMMANDS = [
    ["accept", "--yes"], ["adopt", "--yes"], ["hold"], ["pause", "--until", "2h"], ["resume"],
    ["heal", "--now", "--yes"], ["acknowledge"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_each_command_asks_for_its_act_and_says_what_came_of_it(beside: Beside, words: list[str]) -> None:
    ended = beside.run(*words, *WHY)
    assert (ended.exit_code, ended.stdout) == (0, f"So it is: {words[0]}. (open)\n")
    (act,) = beside.heard
    assert (act.kind, act.reason) == (ActKind(words[0]), "looking at it")
    assert act.by.endswith(f"@{socket.gethostname()}")
    assert not act.by.startswith("@")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_refusal_exits_7_with_its_reason(beside: Beside, words: list[str]) -> None:
    beside.refuses = Reason.HEAL_RUNNING
    ended = beside.run(*words, *WHY)
    assert ended.exit_code == 7
    assert f"alpimonitor watchdog {words[0]}: refused (heal_running): So it is" in ended.stderr
    ended = beside.run(*words, *WHY, "--json")
    assert ended.exit_code == 7
    assert json.loads(ended.stdout)["refused"] == "heal_running"


def test_the_answer_is_one_object_for_programs(beside: Beside) -> None:
    ended = beside.run("hold", *WHY, "--json")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout) == {"done": True, "sentence": "So it is: hold.", "state": "open"}


def test_behind_sudo_it_is_the_person_who_is_named(beside: Beside) -> None:
    beside.run("hold", *WHY, SUDO_USER="anna")
    assert beside.heard[0].by == f"anna@{socket.gethostname()}"


def test_a_dry_run_shows_plan_and_guard_rails_and_asks_nothing(beside: Beside) -> None:
    ended = beside.run("heal", "--dry-run", *WHY)
    assert ended.exit_code == 0
    assert "+7 station" in ended.stdout.splitlines()[0]
    assert "  harmless       holds" in ended.stdout
    assert "  proven         waits: not_proven_yet" in ended.stdout
    assert beside.heard == []
    said = json.loads(beside.run("heal", "--dry-run", *WHY, "--json").stdout)
    assert said["plan"]["inserts"]["station"] == 7


@pytest.mark.parametrize("words", [["heal"], ["heal", "--now", "--dry-run", "--yes"]])
def test_a_heal_is_asked_for_now_or_dry(beside: Beside, words: list[str]) -> None:
    ended = beside.run(*words, *WHY)
    assert ended.exit_code == 2
    assert "either --now or --dry-run" in ended.stderr
    assert beside.heard == []


@pytest.mark.parametrize("words", [["accept"], ["adopt"], ["heal", "--now"]])
def test_what_changes_much_is_not_done_unasked_where_there_is_no_terminal(
    beside: Beside, words: list[str]
) -> None:
    ended = beside.run(*words, *WHY)
    assert ended.exit_code == 2
    assert "--yes" in ended.stderr
    assert beside.heard == []


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["accept"], "station                   0 of 7        empty"),
        (["heal", "--now"], "A heal would change: +1 catchment, +7 station"),
    ],
)
@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_it_shows_what_it_will_do_and_asks(
    beside: Beside, words: list[str], shown: str, typed: str, code: int
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "alpimonitor_cli.main", "watchdog", *words, *WHY]
    environ = {**os.environ, **beside.environment}
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True
    ) as process:
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        stdout, stderr = process.communicate(timeout=DEADLINE)
    os.close(ours)
    assert process.returncode == code, stderr
    assert shown in stderr
    assert [act.kind.value for act in beside.heard] == ([words[0]] if code == 0 else [])
    assert ("So it is" in stdout) is (code == 0)
    assert ("nothing was done" in stderr) is (code == 1)


def test_a_pause_goes_until_the_time_that_was_meant(beside: Beside) -> None:
    before = Clocks().utc()
    assert beside.run("pause", "--until", "30m", *WHY).exit_code == 0
    until = beside.heard[0].until
    assert until is not None
    assert timedelta(minutes=30) <= until - before < timedelta(minutes=31)


@pytest.mark.parametrize("until", ["8d", "0s", "2020-01-01T00:00:00Z", "14:00", "tomorrow", ""])
def test_a_pause_that_cannot_be_is_refused_with_what_to_write(beside: Beside, until: str) -> None:
    ended = beside.run("pause", "--until", until, *WHY)
    assert ended.exit_code == 2
    assert "until" in ended.stderr
    assert "2h" in ended.stderr or "Write a time" in ended.stderr or "shorter" in ended.stderr
    assert beside.heard == []


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 501])
def test_a_reason_that_cannot_be_shown_exits_2(beside: Beside, reason: str) -> None:
    ended = beside.run("hold", "--reason", reason)
    assert ended.exit_code == 2
    assert "Write one line of 1 to 500 printable characters." in ended.stderr


def test_a_reason_is_required(beside: Beside) -> None:
    assert beside.run("hold").exit_code == 2


def test_no_sidecar_exits_1_and_says_where_it_was_looked_for(beside: Beside) -> None:
    ended = beside.run("hold", *WHY, "--url", "http://127.0.0.1:1/")
    assert ended.exit_code == 1
    assert "no sidecar answers at http://127.0.0.1:1/ ([Errno 111] Connection refused)" in ended.stderr
    assert "--url" in ended.stderr


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9877", "nonsense", "http://", "ftp://h/", "http://h:x/", "http://h:65536"]
)
def test_what_is_no_address_is_wrong_usage_and_told_with_an_example(beside: Beside, address: str) -> None:
    asked = CliRunner().invoke(status_cli.app, ["--url", address])
    for ended in (beside.run("hold", *WHY, "--url", address), asked):
        assert ended.exit_code == 2
        assert f"{address} is not the address of a sidecar: an address looks like http://" in ended.stderr


def test_an_address_that_is_none_exits_2(beside: Beside) -> None:
    ended = beside.run("hold", *WHY, WATCHDOG_LISTEN="nowhere")
    assert ended.exit_code == 2
    assert "WATCHDOG_LISTEN" in ended.stderr


def test_a_token_that_cannot_be_used_exits_2_with_what_mends_it(beside: Beside, tmp_path: Path) -> None:
    missing = beside.run("hold", *WHY, WATCHDOG_STATE_DIR=str(tmp_path / "elsewhere"))
    assert missing.exit_code == 2
    assert "WATCHDOG_STATE_DIR" in missing.stderr
    open_to_all = tmp_path / "copy"
    open_to_all.write_text((tmp_path / "token").read_text())
    open_to_all.chmod(0o644)
    refused = beside.run("hold", *WHY, WATCHDOG_TOKEN_FILE=str(open_to_all))
    assert refused.exit_code == 2
    assert "mode 0644" in refused.stderr
    assert beside.heard == []


def test_the_token_of_another_sidecar_exits_2(beside: Beside, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    kept_token(tmp_path / "other")
    ended = beside.run("hold", *WHY, WATCHDOG_TOKEN_FILE=str(tmp_path / "other" / "token"))
    assert ended.exit_code == 2
    assert "does not know this token: it is another one's, or an old one" in ended.stderr
    assert "WATCHDOG_TOKEN_FILE" in ended.stderr
    assert beside.heard == []


def test_the_token_can_be_named_by_a_file_and_is_never_printed(beside: Beside, tmp_path: Path) -> None:
    secret = (tmp_path / "token").read_text().strip()
    moved = (tmp_path / "token").rename(tmp_path / "moved")
    ended = beside.run("hold", *WHY, WATCHDOG_STATE_DIR=None, WATCHDOG_TOKEN_FILE=str(moved))
    assert ended.exit_code == 0
    wrong = beside.run("hold", "--reason", "", WATCHDOG_TOKEN_FILE=str(moved))
    assert secret not in ended.output + wrong.output


def test_without_settings_command_and_sidecar_look_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({"WATCHDOG_DATABASE_URL": "postgresql://u@127.0.0.1/db"})
    settings.state_dir.mkdir(parents=True)
    made = kept_token(settings.state_dir)
    assert own_token({}) == made


NOON = datetime(2026, 4, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("30m", 0.5),
        ("2h", 2),
        ("7d", 168),
        ("14:00Z", 2),
        ("14:00z", 2),
        ("11:00Z", 23),
        ("12:00Z", 24),
        ("16:00+02:00", 2),
        ("00:30+13:00", 23.5),
        ("2026-04-21T14:00:00Z", 2),
        ("2026-04-21T16:00:00+02:00", 2),
        ("2026-04-20T12:00:00Z", -24),
    ],
)
def test_the_end_of_a_pause_is_a_duration_a_time_of_day_or_a_date_with_time(
    written: str, hours: float
) -> None:
    assert end_of_pause(written, NOON) == NOON + timedelta(hours=hours)


@pytest.mark.parametrize(
    "written",
    ["", "14:00", "25:00Z", "14:60Z", "2026-04-21T14:00:00", "2026-04-21", "1 week", "-5m", "2", "TZ"],
)
def test_a_time_that_can_be_meant_in_two_ways_is_none(written: str) -> None:
    with pytest.raises(ValueError, match="14:00Z"):
        end_of_pause(written, NOON)

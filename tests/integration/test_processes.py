"""Processes of a rehearsal: what they inherit, what is known of their end, and that none stays."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpimonitor_rehearsal.processes import Processes, ProcessFailed, environment, said
from alpimonitor_rehearsal.waiting import wait_until
from tests.running import is_running

DEADLINE = 30.0

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ANNOUNCES = """
import json, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
print("a warning", file=sys.stderr)
print(json.dumps({"url": "http://127.0.0.1:1"}), flush=True)
signal.pause()
"""
HAS_A_CHILD = """
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(json.dumps({"pid": child.pid}), flush=True)
child.wait()
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def test_a_process_announces_itself_and_its_log_is_kept(processes: Processes, tmp_path: Path) -> None:
    child = processes.start("The Pager", python(ANNOUNCES), environment(tmp_path, os.environ))
    assert child.announcement(deadline=DEADLINE) == {"url": "http://127.0.0.1:1"}
    assert child.exit_code is None
    assert child.log == tmp_path / "the-pager.log"
    assert child.last_words() == ["a warning"]


def test_a_process_that_ends_early_is_named_with_how_it_ended(processes: Processes, tmp_path: Path) -> None:
    child = processes.start(
        "API", python("import sys; sys.exit('no settings')"), environment(tmp_path, os.environ)
    )
    with pytest.raises(ProcessFailed, match=r"API \(pid \d+\) ended with exit code 1 before it could "):
        child.announcement(deadline=DEADLINE)
    assert child.last_words() == ["no settings"]


def test_a_process_that_says_nothing_is_not_waited_for_beyond_the_deadline(
    processes: Processes, tmp_path: Path
) -> None:
    child = processes.start("API", python("import signal; signal.pause()"), environment(tmp_path, os.environ))
    with pytest.raises(ProcessFailed, match=r"did not announce its address within 0\.2 s"):
        child.announcement(deadline=0.2)


def test_a_shell_that_sourced_production_gives_nothing_of_it_on(tmp_path: Path) -> None:
    sourced = {
        **dict.fromkeys(("DATABASE_URL", "OWNER_DATABASE_URL", "PGPASSWORD", "PGHOST"), "production"),
        **dict.fromkeys(("ALLOW_PROD_SEED", "WATCHDOG_NOTIFY_URL", "LINDAS_ENDPOINT"), "production"),
        **dict.fromkeys(("HOME", "HTTP_PROXY"), "production"),
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
    }
    given = environment(tmp_path, sourced)
    assert "production" not in given.values()
    assert given["HOME"] == str(tmp_path)
    assert given["LANG"] == "C.UTF-8"
    assert given["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/usr/bin"]


def test_only_who_needs_the_internet_gets_its_proxy_and_never_for_loopback(tmp_path: Path) -> None:
    given = environment(tmp_path, {"HTTPS_PROXY": "http://proxy:3128"}, internet=True)
    assert given["HTTPS_PROXY"] == "http://proxy:3128"
    assert "127.0.0.1" in given["NO_PROXY"]


@pytest.mark.parametrize("manner", ["", "stubborn"])
def test_the_end_of_the_context_is_the_end_of_the_process(
    tmp_path: Path, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpimonitor_rehearsal.processes.STOPS_WITHIN", 0.5)
    with Processes(tmp_path) as processes:
        child = processes.start("API", python(ANNOUNCES, manner), environment(tmp_path, os.environ))
        child.announcement(deadline=DEADLINE)
    expected = signal.SIGKILL if manner else signal.SIGTERM
    assert said(child.exit_code) == f"was ended by {expected.name}"


@linux_only
def test_what_a_process_left_running_ends_with_it(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("API", python(HAS_A_CHILD), environment(tmp_path, os.environ))
        grandchild = int(child.announcement(deadline=DEADLINE)["pid"])
    wait_until("the end of the grandchild", lambda: not is_running(grandchild), deadline=DEADLINE)


def test_a_thread_is_refused_because_its_end_would_be_the_end_of_the_process(
    processes: Processes, tmp_path: Path
) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            processes.start("API", python(ANNOUNCES), {})
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])
    assert processes.children == ()

"""The command healer on real processes: plans, deadlines, process groups, credentials."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import HealSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome
from alpimonitor_watchdog.heal.child import Child, Ended, child_environment, redact
from alpimonitor_watchdog.heal.command import Command, CommandHealer, PlanError, parse_plan
from alpimonitor_watchdog.heal.worker import HealWorker
from tests.running import is_running

EMPTY = {"inserts": {}, "updates": {}, "deletes": {}}
MISSING = {"inserts": {"station": [{"name": "Sion"}]}, "updates": {}, "deletes": {}}


def python(code: str, *argv: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *argv)


def prints(plan: object) -> tuple[str, ...]:
    return python(f"print({json.dumps(json.dumps(plan))})")


def healer(plan: tuple[str, ...], run: tuple[str, ...], deadline: float = 20.0) -> CommandHealer:
    return CommandHealer(Command(plan=plan, run=run, deadline=deadline), Child(os.environ))


def test_a_plan_is_counted_by_table() -> None:
    plan = healer(prints(MISSING), python("")).plan()
    assert plan.inserts == (("station", 1),)
    assert plan.rows_inserted == 1
    assert plan.failed == ""


def test_a_heal_succeeds_when_its_plan_is_then_empty(tmp_path: Path) -> None:
    done = tmp_path / "done"
    plan = python(
        "import pathlib, sys; print(sys.argv[2] if pathlib.Path(sys.argv[1]).exists() else sys.argv[3])",
        str(done),
        json.dumps(EMPTY),
        json.dumps(MISSING),
    )
    run = python("import pathlib, sys; pathlib.Path(sys.argv[1]).touch()", str(done))
    ended = healer(plan, run).heal("h1")
    assert (ended.id, ended.outcome) == ("h1", HealOutcome.SUCCEEDED)


def test_a_heal_whose_plan_still_has_rows_has_failed() -> None:
    ended = healer(prints(MISSING), python("")).heal("h1")
    assert ended.outcome is HealOutcome.FAILED
    assert "1 station" in ended.detail


def test_a_failing_program_is_quoted_without_its_password() -> None:
    run = python("import sys; sys.exit('cannot reach postgresql://seeder:s3cret@db/hydro')")
    ended = healer(prints(EMPTY), run).heal("h1")
    assert ended.outcome is HealOutcome.FAILED
    assert "exited 1: cannot reach postgresql://seeder:***@db/hydro" in ended.detail
    assert "s3cret" not in ended.detail


def test_a_program_that_is_not_there_is_named() -> None:
    plan = healer(("no-such-program", "--json"), python("")).plan()
    assert "no-such-program cannot be started: not found, or not executable" in plan.failed


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b'{"inserts": {}, "updates": {}}', "no 'deletes'"),
        (b'{"inserts": {"station": 7}, "updates": {}, "deletes": {}}', "'inserts'"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 200_000, "not JSON"),
    ],
)
def test_what_is_not_a_plan_is_refused_with_its_place(printed: bytes, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        parse_plan(printed)


def test_a_program_past_its_deadline_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
signal.pause()
"""
    ended = healer(prints(EMPTY), python(code, str(pids)), deadline=2.0).heal("h1")
    assert ended.outcome is HealOutcome.DEADLINE
    leader, grandchild = map(int, pids.read_text().split())
    assert not is_running(leader)
    assert not is_running(grandchild)


def test_stopping_ends_the_running_heal_and_it_counts_as_interrupted(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    child = Child(os.environ)
    run = python("import signal, sys; open(sys.argv[1], 'w').close(); signal.pause()", str(started))
    woken = threading.Event()
    worker = HealWorker(CommandHealer(Command(plan=prints(EMPTY), run=run), child), woken.set)
    worker.start()
    worker.heal("h1")
    started.open().close()  # returns when the program has opened its end
    child.stop()
    assert woken.wait(20)
    ended = worker.collect().heal
    worker.stop(20)
    assert ended is not None
    assert ended.outcome is HealOutcome.INTERRUPTED


@pytest.mark.skipif(shutil.which("timeout") is None, reason="no `timeout` here")
def test_a_program_in_a_process_group_of_its_own_ends_with_the_heal(tmp_path: Path) -> None:
    """`timeout` leads a group of its own, and is what operators write before a command."""
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    code = "import os, signal, sys; print(os.getpid(), file=open(sys.argv[1], 'w')); signal.pause()"
    child = Child(os.environ)
    running = threading.Thread(target=child.run, args=(("timeout", "60", *python(code, str(pids))), 60.0))
    running.start()
    grandchild = int(pids.read_text())
    child.forbid("the leader lock was lost")
    running.join(20)
    assert not is_running(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize("by", ["", "timeout 60 "])
def test_all_that_a_heal_has_started_ends_with_a_sidecar_that_is_killed(tmp_path: Path, by: str) -> None:
    """The program of a heal is mostly a wrapper: what it runs must not go on beside the next heal."""
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    code = "import os, signal, sys; print(os.getpid(), file=open(sys.argv[1], 'w')); signal.pause()"
    wrapper = by + shlex.join(python(code, str(pids))) + "; true"
    sidecar = """
import os, sys
from alpimonitor_watchdog.heal.child import Child
Child(os.environ).run(["sh", "-c", sys.argv[1]], 60.0)
"""
    killed = subprocess.Popen([sys.executable, "-c", sidecar, wrapper])
    grandchild = int(pids.read_text())
    killed.kill()
    killed.wait()
    wait_until("the end of what the wrapper runs", lambda: not is_running(grandchild), deadline=20)


def test_a_right_that_is_lost_ends_the_heal_and_the_next_may_run(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    child = Child(os.environ)
    run = python("import signal, sys; open(sys.argv[1], 'w').close(); signal.pause()", str(started))
    ended: list[Ended] = []
    running = threading.Thread(target=lambda: ended.append(child.run(run, 60.0)), daemon=True)
    running.start()
    started.open().close()
    child.forbid("the leader lock was lost")
    running.join(20)
    assert [(one.stopped, one.detail) for one in ended] == [(True, "ended: the leader lock was lost")]
    assert child.run(prints(EMPTY), 20.0).detail == "not started: the leader lock was lost"
    child.allow()
    assert child.run(prints(EMPTY), 20.0).ok


def test_after_a_stop_nothing_starts() -> None:
    child = Child(os.environ)
    child.stop()
    ended = child.run(python("print('ran')"), 10)
    assert ended.stopped
    assert ended.stdout == b""


def test_a_worker_runs_its_jobs_in_order_and_hands_all_results_over() -> None:
    done = threading.Semaphore(0)
    command = Command(plan=prints(EMPTY), run=python(""), after=(python(""), python("raise SystemExit(3)")))
    worker = HealWorker(CommandHealer(command, Child(os.environ)), done.release)
    worker.start()
    worker.plan(7)
    worker.heal("h1")
    worker.after()
    for _ in range(3):
        assert done.acquire(timeout=20)
    finished = worker.collect()
    worker.stop(20)
    assert finished.plan is not None
    assert finished.plan.number == 7
    assert finished.heal is not None
    assert finished.heal.outcome is HealOutcome.SUCCEEDED
    assert finished.after[0].endswith("exited 0")
    assert finished.after[1].endswith("exited 3")
    assert worker.collect() == type(finished)()


def test_a_healer_that_raises_counts_as_failed_and_the_worker_goes_on() -> None:
    class Raises(CommandHealer):
        def plan(self) -> PlanSeen:
            raise RuntimeError("a bug")

        def heal(self, heal_id: str) -> HealSeen:
            raise RuntimeError("another bug")

    done = threading.Semaphore(0)
    worker = HealWorker(Raises(Command(plan=("true",), run=("true",)), Child(os.environ)), done.release)
    worker.start()
    worker.plan(1)
    worker.heal("h1")
    for _ in range(2):
        assert done.acquire(timeout=20)
    finished = worker.collect()
    worker.stop(20)
    assert finished.plan == PlanSeen(number=1, failed="command: RuntimeError: a bug")
    assert finished.heal == HealSeen("h1", HealOutcome.FAILED, "command: RuntimeError: another bug")


def test_without_a_temporary_folder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    ended = Child(os.environ).run(python(""), 10)
    assert ended.code == 127
    assert "no temporary file" in ended.detail


def test_what_a_killed_program_had_begun_in_the_database_is_not_committed(
    empty_database: str, tmp_path: Path
) -> None:
    """A server that does not ask for its client goes on to the end of the statement, and commits."""
    found = "SELECT query FROM pg_stat_activity WHERE application_name = 'a heal'"
    insert = "INSERT INTO healed SELECT 1 FROM pg_sleep(2)"
    environ = {**os.environ, "PGAPPNAME": "a heal", "PSQLRC": str(tmp_path / "none")}
    child = Child(
        child_environment(environ, frozenset(), {"URL": empty_database}, Path(sys.executable).parent)
    )
    code = f"import os, psycopg; psycopg.connect(os.environ['URL'], autocommit=True).execute({insert!r})"
    with psycopg.connect(empty_database, autocommit=True) as watching:
        watching.execute("CREATE TABLE healed (id integer)")

        def statements() -> list[str]:
            return [query for (query,) in watching.execute(found)]

        running = threading.Thread(target=child.run, args=(python(code), 60.0))
        running.start()
        wait_until("the statement", lambda: statements() == [insert], deadline=20)
        child.forbid("the leader lock was lost")
        running.join(20)
        wait_until("the end of the statement", lambda: not statements(), deadline=20)
        assert watching.execute("SELECT count(*) FROM healed").fetchall() == [(0,)]


def test_a_declared_program_does_not_inherit_the_sidecars_credentials() -> None:
    environ = {"PATH": "/bin", "WATCHDOG_DATABASE_URL": "secret", "SEED_DATABASE_URL": "its own"}
    made = child_environment(
        environ, frozenset({"WATCHDOG_DATABASE_URL"}), {"ALLOW_PROD_SEED": "1"}, Path("/opt/venv/bin")
    )
    made.pop("PGOPTIONS")
    assert made == {
        "PATH": "/opt/venv/bin:/bin",
        "SEED_DATABASE_URL": "its own",
        "ALLOW_PROD_SEED": "1",
    }


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("a postgres://u:p%40w@[::1]:5432/d b", "a postgres://u:***@[::1]:5432/d b"),
        ("no address: a@b", "no address: a@b"),
        ("postgresql://u:p@ss@h/d", "postgresql://u:***@h/d"),
        ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
        ("password = 's3 cret' x", "password = *** x"),
    ],
)
def test_passwords_are_taken_out_of_addresses(text: str, redacted: str) -> None:
    assert redact(text) == redacted

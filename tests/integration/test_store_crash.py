"""kill -9 at every boundary: a reopened store is one that a whole number of operations left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from alpimonitor_watchdog.core.words import Tag
from alpimonitor_watchdog.store import Store

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.NOTIFY})}
ROUNDS = 3

# Round k saves state number k with one event, one heal and a notification to each channel; then the
# first channel gets its notification, and the heal ends. After each step it says so.
WORK = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import Decision, Incident, StartHeal, State, Transition
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Symptom, Tag
from alpimonitor_watchdog.store import Outgoing, Store

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.NOTIFY})}
INCIDENT = Incident("i", AT, 0.0, (Symptom.CONTEXT_EMPTY,))
TOLD = Outgoing("i", Kind.OPENED, frozenset({Tag.NOTIFY}), Message("lost", "Nothing to do."))
MOVE = Transition(Phase.OPEN, Phase.HEALING, Reason.GUARDS_HOLD)

def work(directory, rounds, say):
    store = Store.open(directory, AT, CHANNELS)
    say("opened")
    for _ in range(rounds):
        k = store.load().next_id + 1
        state = State(phase=Phase.HEALING, incident=INCIDENT, next_id=k)
        decision = Decision(state, Findings(), (MOVE,), (StartHeal(f"h{k}"),), incident=INCIDENT)
        store.save(decision, AT, [TOLD])
        say("saved")
        store.outbox.delivered(store.outbox.pending("ops")[0], AT)
        say("delivered")
        store.finish_heal(f"h{k}", HealOutcome.SUCCEEDED, "", AT)
        say("healed")
    store.close()
"""

# Runs the work once for each statement it makes, and dies by SIGKILL just before that statement.
AT_EACH_STATEMENT = (
    WORK
    + """
import sqlite3
connect = sqlite3.connect

def dying_at(statement):
    left = statement
    def before(_sql):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def dying_connect(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(before)
        return connection
    return dying_connect

statement = 0
while True:
    statement += 1
    directory = Path(sys.argv[1]) / f"{statement:03}"
    directory.mkdir()
    pid = os.fork()
    if pid == 0:
        sqlite3.connect = dying_at(statement)
        log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        work(directory, int(sys.argv[2]), lambda word: os.write(log, word.encode() + b"\\n"))
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
"""
)

UNTIL_KILLED = WORK + "work(Path(sys.argv[1]), 10**9, lambda word: print(word, flush=True))"


def check(directory: Path, said: list[str]) -> None:
    """The store holds exactly what was said to be done, and at most the one operation after it."""
    store = Store.open(directory, AT, CHANNELS)
    try:
        assert store.warnings == (), said
        saves = store.load().next_id - 1
        counts = store.outbox.counts()
        incident = store.incident("i") or {"timeline": [], "heals": []}
        events = [item["event"] for item in incident["timeline"]]
        healed = [heal for heal in incident["heals"] if heal["outcome"] is not None]
        assert saves - said.count("saved") in (0, 1), said
        assert len(incident["heals"]) == events.count("healing") == saves, said
        assert sum(counts.get("pager", {"queued": 0}).values()) == saves, said
        assert sum(counts.get("ops", {"queued": 0}).values()) == saves, said
        delivered = counts["ops"]["delivered"] if counts else 0
        assert delivered == events.count("notification_delivered"), said
        assert delivered - said.count("delivered") in (0, 1), said
        assert len(healed) == events.count("heal_succeeded"), said
        assert len(healed) - said.count("healed") in (0, 1), said
    finally:
        store.close()


def test_a_kill_before_any_statement_leaves_a_whole_number_of_operations(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", AT_EACH_STATEMENT, str(tmp_path), str(ROUNDS)], check=True)
    runs = sorted(tmp_path.iterdir())
    words = [(run / "log").read_text().split() if (run / "log").exists() else [] for run in runs]
    for run, said in zip(runs, words, strict=True):
        check(run, said)
    whole = 1 + 3 * ROUNDS
    assert len(words[-1]) == whole, "the last run was killed nowhere"
    assert {len(said) for said in words} == set(range(whole + 1)), "every boundary was met"


def test_a_store_killed_again_and_again_goes_on_where_it_was(tmp_path: Path) -> None:
    said: list[str] = []
    for kill_after in (1, 2, 3, 5, 8, 13, 21, 34):
        child = subprocess.Popen(
            [sys.executable, "-c", UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child, child.stdout:
            said += [child.stdout.readline().strip() for _ in range(kill_after)]
            child.send_signal(signal.SIGKILL)
            said += child.stdout.read().split()
        assert child.returncode == -signal.SIGKILL
        # One operation may be stored and not said, in each life.
        store = Store.open(tmp_path, AT, CHANNELS)
        saves = store.load().next_id - 1
        counts = store.outbox.counts()
        store.close()
        assert 0 <= saves - said.count("saved") <= 8
        if saves:
            assert sum(counts["ops"].values()) == sum(counts["pager"].values()) == saves
            assert counts["ops"]["delivered"] >= said.count("delivered")
    assert said.count("saved") >= 20


def test_a_file_that_may_not_grow_is_a_typed_error_and_loses_nothing(tmp_path: Path) -> None:
    """The kernel refuses the write, as a broken or full device would."""
    limit = 128 * 1024
    script = (
        WORK
        + """
import resource
from alpimonitor_watchdog.store import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    work(Path(sys.argv[1]), 10**9, lambda word: print(word, flush=True))
except StoreError as error:
    print("error:", error, file=sys.stderr)
"""
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(limit)], capture_output=True, text=True, check=True
    )
    assert ended.stderr.startswith(f"error: The store {tmp_path}/watchdog.sqlite")
    assert "Traceback" not in ended.stderr
    check(tmp_path, ended.stdout.split())

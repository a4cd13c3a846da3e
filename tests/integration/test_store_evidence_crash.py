"""kill -9 at every boundary: the chain of evidence that is left holds, with every piece that was kept."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from alpimonitor_watchdog.core.words import Tag
from alpimonitor_watchdog.store import Store, evidence
from alpimonitor_watchdog.store.chain import verify
from alpimonitor_watchdog.store.reading import reading

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY})}

# Keeps evidence, gives some of it to an incident, prunes by age and by number; says the head after each step.
# Once for each statement that this makes, dying by SIGKILL just before it.
AT_EACH_STATEMENT = """
import os, signal, sqlite3, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from alpimonitor_watchdog.core.words import Tag
from alpimonitor_watchdog.store import EvidenceKind, Item, Store, retention

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY})}
retention.ROWS_AT_MOST = 8
connect = sqlite3.connect

def item(number, at):
    return Item(EvidenceKind.EVENT, None, at, {"id": number})

def work(directory, say):
    store = Store.open(directory, AT, CHANNELS)
    said = lambda: say(f"{store.evidence_head.count} {store.evidence_head.hash}")
    store.keep([item(1, AT), item(2, AT)], AT)
    said()
    store.attach("i", AT)
    store.keep([item(2, AT), item(3, AT + timedelta(days=20))], AT)
    said()
    store.prune(AT + timedelta(days=31))
    said()
    store.keep([item(number, AT + timedelta(days=31)) for number in range(4, 13)], AT)
    said()
    store.prune(AT + timedelta(days=31))
    said()
    store.close()

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
        work(directory, lambda line: os.write(log, line.encode() + b"\\n"))
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
"""
STEPS = 5


def test_a_kill_before_any_statement_leaves_a_chain_that_holds(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", AT_EACH_STATEMENT, str(tmp_path)], check=True)
    runs = sorted(tmp_path.iterdir())
    steps = set()
    for run in runs:
        heads = (run / "log").read_text().splitlines() if (run / "log").exists() else []
        steps.add(len(heads))
        with closing(Store.open(run, AT, CHANNELS)) as store:
            assert store.warnings == (), run
        count, head = heads[-1].split() if heads else ("0", None)
        with reading(run) as connection:
            anchor = evidence.anchor(connection)
            rows = list(evidence.every(connection))
        found = verify(anchor, rows, head)
        assert found.holds, run
        assert found.rows + anchor.pieces == found.head.count, "what is not there was pruned"
        assert head is None or found.sought_at == int(count), run
        gaps = sum(row.kind == "gap" for row in rows)
        assert gaps in {STEPS: {1}, STEPS - 1: {0, 1}}.get(len(heads), {0}), run
    assert steps == set(range(STEPS + 1)), "every boundary was met"
    assert (found.head.count, found.rows, anchor.pieces) == (13, 8, 5)

"""kill -9 around a delivery: a real process dies, and the next one delivers what was decided."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpimonitor_rehearsal.pager import Fault, Pager

# Saves one notification, says so, and (if told to) delivers until its standard input ends.
SIDECAR = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import Decision, State
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import Kind, Tag
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.notify import Channel, Notifier
from alpimonitor_watchdog.store import Outgoing, Store

state_dir, url, decides, delivers = sys.argv[1:]
now = lambda: datetime.fromtimestamp(time.time(), UTC)
store = Store.open(Path(state_dir), now(), {"ops": frozenset({Tag.NOTIFY})})
if decides == "decides":
    told = Outgoing("i1", Kind.OPENED, frozenset({Tag.NOTIFY}), Message("7 rows lost", "Nothing to do."))
    store.save(Decision(State(next_id=2), Findings()), now(), [told])
print("saved", flush=True)
meter = Metrics(channels=["ops"], healers=[], version="0")
notifier = Notifier([Channel("ops", url)], store.outbox, clock=now, monotonic=time.monotonic, meter=meter)
if delivers == "delivers":
    notifier.start()
sys.stdin.read()
notifier.stop(10.0)
print(store.outbox.counts()["ops"]["delivered"], flush=True)
"""


@pytest.fixture
def pager() -> Iterator[Pager]:
    with Pager() as running:
        yield running


def sidecar(tmp_path: Path, pager: Pager, *does: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SIDECAR, str(tmp_path), pager.apprise_url, *does],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "saved\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


def test_a_sidecar_killed_between_save_and_send_loses_no_notification(tmp_path: Path, pager: Pager) -> None:
    kill(sidecar(tmp_path, pager, "decides", "nothing else"))
    assert pager.attempts == []
    second = sidecar(tmp_path, pager, "only", "delivers")
    pager.wait_for(lambda receipts: len(receipts) == 1)
    out, _ = second.communicate("", timeout=10)
    assert out == "1\n"
    assert [receipt.title for receipt in pager.receipts] == ["7 rows lost"]


def test_a_sidecar_killed_while_it_sends_repeats_with_the_same_key(tmp_path: Path, pager: Pager) -> None:
    pager.fault(Fault.HANG, times=1)
    first = sidecar(tmp_path, pager, "decides", "delivers")
    pager.wait_for(lambda receipts: len(receipts) == 1)
    kill(first)
    second = sidecar(tmp_path, pager, "only", "delivers")
    pager.wait_for(lambda receipts: len(receipts) == 2)
    out, _ = second.communicate("", timeout=10)
    assert out == "1\n"
    once, again = pager.receipts
    assert once.idempotency_key == again.idempotency_key


def test_a_sidecar_restarted_after_delivery_does_not_repeat(tmp_path: Path, pager: Pager) -> None:
    first = sidecar(tmp_path, pager, "decides", "delivers")
    pager.wait_for(lambda receipts: len(receipts) == 1)
    assert first.communicate("", timeout=10)[0] == "1\n"
    second = sidecar(tmp_path, pager, "only", "delivers")
    assert second.communicate("", timeout=10)[0] == "1\n"
    assert len(pager.attempts) == 1

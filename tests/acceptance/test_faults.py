"""Faults of everything around the sidecar: sessions, locks, the network, the clock, the pager.

After each the incident ends as it would have without (tests/ordeals.py says how), and nothing is healed
while the rows cannot be seen.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest

from alpimonitor_rehearsal.pager import Fault
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.ordeals import DEADLINE, Ordeal, Stage, side_by_side
from tests.sidecars import CONTEXT, rows, wipe
from tests.warm_start import Harm

pytestmark = pytest.mark.acceptance
SHORT = {"timeout": "200ms"}  # what hangs is given up after 3 s and four of these
CONFIRMING = {**SHORT, "confirm_for": "3s"}
WEATHERS: dict[str, Callable[[TcpProxy], None]] = {
    "cut": TcpProxy.cut,
    "hanging": TcpProxy.hang,
    "half_open": TcpProxy.half_open,
    "slow": lambda proxy: proxy.slow(bytes_per_second=20),
}
HOURS = 30 * 3600  # more than the age at which a notification may be given up
# The sessions of the sidecar, and of these the one by which it leads: that holds an advisory lock.
OURS = "datname = current_database() AND application_name LIKE 'alpimonitor-watchdog %'"
LEADING = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"


# ---- the network -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weather", WEATHERS)
def test_whatever_the_network_does_only_seen_rows_are_healed(stage: Stage, weather: str) -> None:
    change = WEATHERS[weather]
    side_by_side(
        {
            "while all is well": lambda: weather_while_healthy(stage, change),
            "while a loss is confirmed": lambda: weather_while_confirming(stage, change),
            "while a heal runs": lambda: weather_while_healing(stage, change),
        }
    )


def weather_while_healthy(stage: Stage, change: Callable[[TcpProxy], None]) -> None:
    with stage.ordeal_through_proxy("healthy", policy=SHORT) as (ordeal, proxy):
        ordeal.sidecar.until("healthy")
        change(proxy)
        blind_look(ordeal)
        assert ordeal.sidecar.state()["incident"] is None
        proxy.heal()
        nothing_happened(ordeal)


def weather_while_confirming(stage: Stage, change: Callable[[TcpProxy], None]) -> None:
    with stage.ordeal_through_proxy("confirming", policy=CONFIRMING) as (ordeal, proxy):
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        ordeal.sidecar.until("open")
        change(proxy)
        blind_look(ordeal)
        blind_look_anew(ordeal)
        assert ordeal.sidecar.state()["phase"] == "open"
        assert ordeal.heal_log == []
        proxy.heal()
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


def weather_while_healing(stage: Stage, change: Callable[[TcpProxy], None]) -> None:
    with stage.ordeal_through_proxy("healing", policy=SHORT, gated=True) as (ordeal, proxy):
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        wait_until("the heal", lambda: ordeal.heal_log == ["begin"], deadline=DEADLINE)
        change(proxy)
        blind_look(ordeal)
        ordeal.gate.touch()
        # By itself, or because the sidecar that began it may no longer lead: it cannot know.
        wait_until("the heal's end", lambda: not ordeal.heal_runs(), deadline=DEADLINE)
        blind_look_anew(ordeal)
        assert ordeal.sidecar.state()["phase"] in ("open", "healing")  # rows out of sight prove nothing
        assert ordeal.heal_log.count("begin") == 1
        proxy.heal()
        ordeal.finish()


def test_time_in_which_nothing_is_seen_confirms_nothing(stage: Stage) -> None:
    with stage.ordeal_through_proxy("blind", policy={"confirm_for": "2s"}) as (ordeal, proxy):
        ordeal.sidecar.until("healthy")
        lost = time.monotonic()
        wipe(ordeal.database)
        ordeal.sidecar.until("open")
        proxy.cut()
        cut = time.monotonic()
        wait_until("a loss as old as that", lambda: time.monotonic() > lost + 2.5, deadline=DEADLINE)
        mended = time.monotonic()
        proxy.heal()
        ordeal.finish()
        # A look may have begun a little before the cut, or the mending, that it met.
        assert (cut - lost) + (ordeal.heal_began() - mended) > 2 - 0.5


def test_a_slow_network_delays_a_heal_and_changes_nothing_else(stage: Stage) -> None:
    with stage.ordeal_through_proxy("slow") as (ordeal, proxy):
        proxy.slow(bytes_per_second=20_000)
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


# ---- sessions and locks ------------------------------------------------------------------------------------


def test_sessions_ended_in_the_middle_of_a_look_are_no_loss(stage: Stage) -> None:
    with stage.ordeal("whole") as ordeal:
        ordeal.sidecar.until("healthy")
        for _ in range(3):
            with locked(ordeal, "station"):
                end_a_waiting_session(ordeal)
        nothing_happened(ordeal)


def test_looks_ended_again_and_again_delay_a_heal_and_change_nothing_else(stage: Stage) -> None:
    with stage.ordeal("lost", policy={"confirm_for": "1s"}) as ordeal:
        ordeal.sidecar.until("healthy")
        with looks_ended_again_and_again(ordeal):
            wipe(ordeal.database)
            ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


def test_a_heal_ends_with_the_session_by_which_its_sidecar_leads_and_another_follows(stage: Stage) -> None:
    with stage.ordeal("lost", gated=True) as ordeal:
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        wait_until("the heal", lambda: ordeal.heal_log, deadline=DEADLINE)
        with psycopg.connect(ordeal.database, autocommit=True) as connection:
            wait_until(
                "the end of the session that leads",
                lambda: end_sessions(connection, f"{OURS} AND {LEADING}"),
                deadline=DEADLINE,
            )
        wait_until("the heal's end", lambda: not ordeal.heal_runs(), deadline=DEADLINE)
        ordeal.gate.touch()
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "begin", "end"]


def test_a_locked_table_is_unseen_and_never_empty(stage: Stage) -> None:
    with stage.ordeal("whole", policy=SHORT) as ordeal:
        ordeal.sidecar.until("healthy")
        with locked(ordeal, "station"):
            wait_until("not seeing it", lambda: condition(ordeal, "station") == "unseen", deadline=DEADLINE)
            looks(ordeal, 3)
            assert condition(ordeal, "station") == "unseen"
            assert condition(ordeal, "sensor") == "ok"
            assert ordeal.sidecar.state()["incident"] is None
        nothing_happened(ordeal)


def test_a_lock_taken_while_a_loss_is_confirmed_holds_back_the_heal(stage: Stage) -> None:
    with stage.ordeal("lost", policy=CONFIRMING) as ordeal:
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        lost = time.monotonic()
        ordeal.sidecar.until("open")
        with locked(ordeal, "station"):
            wait_until(
                "saying why",
                lambda: ordeal.sidecar.state()["healing"]["refusal"] == "not_visible",
                deadline=DEADLINE,
            )
            wait_until("what a heal waits for", lambda: time.monotonic() > lost + 4, deadline=DEADLINE)
            assert ordeal.heal_log == []
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


# ---- the clock ---------------------------------------------------------------------------------------------


def test_a_stepped_clock_neither_hastens_nor_delays_nor_ends_a_heal(stage: Stage) -> None:
    side_by_side(
        {
            f"{seconds} s {case.__name__}": partial(case, stage, seconds)
            for seconds in (HOURS, -HOURS)
            for case in (step_while_confirming, step_while_healing)
        }
    )


def step_while_confirming(stage: Stage, seconds: int) -> None:
    clock = stage.folder / f"confirming {seconds}.clock"
    policy = {"confirm_for": "2s"}
    with stage.ordeal(f"confirming {seconds}", policy=policy, harm=Harm(clock=str(clock))) as ordeal:
        ordeal.sidecar.until("healthy")
        lost = time.monotonic()
        wipe(ordeal.database)
        ordeal.sidecar.until("open")
        clock.write_text(str(seconds))
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]
        assert ordeal.heal_began() - lost >= 2


def step_while_healing(stage: Stage, seconds: int) -> None:
    clock = stage.folder / f"healing {seconds}.clock"
    with stage.ordeal(f"healing {seconds}", gated=True, harm=Harm(clock=str(clock))) as ordeal:
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        wait_until("the heal", lambda: ordeal.heal_log, deadline=DEADLINE)
        clock.write_text(str(seconds))
        looks(ordeal, 5)
        assert ordeal.sidecar.state()["phase"] == "healing"
        ordeal.gate.touch()
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


# ---- the pager, and another sidecar ------------------------------------------------------------------------


def test_a_pager_that_hangs_keeps_nothing_from_being_healed(stage: Stage) -> None:
    with stage.ordeal("hung") as ordeal:
        ordeal.sidecar.until("healthy")
        ordeal.pager.fault(Fault.HANG)
        wipe(ordeal.database)
        wait_until("the rows", lambda: rows(ordeal.database) == CONTEXT, deadline=DEADLINE)
        ordeal.sidecar.until("healthy")
        assert len({attempt.idempotency_key for attempt in ordeal.pager.attempts}) == 1
        ordeal.pager.fault(Fault.NONE)
        ordeal.finish()
        opened = ordeal.pager.attempts[0].idempotency_key
        assert [attempt.idempotency_key for attempt in ordeal.pager.attempts].count(opened) >= 2


def test_a_second_sidecar_on_the_same_state_is_refused_while_the_first_heals(stage: Stage) -> None:
    with stage.ordeal("one", gated=True) as ordeal:
        ordeal.sidecar.until("healthy")
        wipe(ordeal.database)
        wait_until("the heal", lambda: ordeal.heal_log, deadline=DEADLINE)
        second = ordeal.sidecar.call("watchdog", "run")
        assert second.returncode == 2
        assert "used by another sidecar" in second.stderr
        ordeal.gate.touch()
        ordeal.finish()
        assert ordeal.heal_log == ["begin", "end"]


# ---- what they share ---------------------------------------------------------------------------------------


def nothing_happened(ordeal: Ordeal) -> None:
    """It sees every table again, and neither opened an incident nor healed nor told anybody."""
    wait_until(
        "seeing every table",
        lambda: {table["condition"] for table in ordeal.sidecar.state()["tables"]} == {"ok"},
        deadline=DEADLINE,
    )
    ordeal.sidecar.until("healthy")
    assert ordeal.sidecar.get("api/incidents")["incidents"] == []
    assert ordeal.heal_log == []
    assert ordeal.pager.attempts == []


def looks(ordeal: Ordeal, number: int, wanted: Callable[[Any], bool] = lambda look: True) -> None:
    """Wait for so many looks that are as `wanted`, the present one included."""
    moments = set()

    def seen() -> bool:
        state = ordeal.sidecar.state()
        if state["look"] and wanted(state["look"]):
            moments.add(state["look"]["at"])
        return len(moments) >= number

    wait_until(f"{number} looks", seen, deadline=DEADLINE, every=0.02)


def blind_look(ordeal: Ordeal) -> None:
    """Wait until it sees nothing."""
    looks(ordeal, 1, lambda look: not look["seen"])


def blind_look_anew(ordeal: Ordeal) -> None:
    """Wait for one more look that sees nothing, and for what is decided upon it."""
    looks(ordeal, 2, lambda look: not look["seen"])


def condition(ordeal: Ordeal, table: str) -> str:
    found = [each for each in ordeal.sidecar.state()["tables"] if each["name"] == table]
    return str(found[0]["condition"])


@contextlib.contextmanager
def locked(ordeal: Ordeal, table: str) -> Iterator[psycopg.Connection]:
    """Another session locks the table against everybody, and commits at the end."""
    with psycopg.connect(ordeal.database) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection


def end_a_waiting_session(ordeal: Ordeal) -> None:
    """End the sidecar's session while it waits for a lock, which is in the middle of a look."""
    with psycopg.connect(ordeal.database, autocommit=True) as connection:
        wait_until(
            "a look that waits",
            lambda: end_sessions(connection, f"{OURS} AND wait_event_type = 'Lock'"),
            deadline=DEADLINE,
        )


def end_sessions(connection: psycopg.Connection, which: str) -> list[int]:
    """The process ids of those that were ended."""
    found = connection.execute(
        f"SELECT pid FROM pg_stat_activity WHERE {which} AND pg_terminate_backend(pid)"
    )
    return [pid for (pid,) in found]


@contextlib.contextmanager
def looks_ended_again_and_again(ordeal: Ordeal) -> Iterator[None]:
    """Every 50 ms, twenty times, beside what is done in the block."""
    hurry = threading.Event()

    def work() -> None:
        ended = 0
        with psycopg.connect(ordeal.database, autocommit=True) as connection:
            while ended < 20 and not hurry.wait(0.05):
                ended += len(end_sessions(connection, f"{OURS} AND NOT {LEADING}"))

    with ThreadPoolExecutor() as threads:
        ending = threads.submit(work)
        try:
            yield
        finally:
            hurry.set()
        ending.result()

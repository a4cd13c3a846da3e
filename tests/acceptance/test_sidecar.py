"""The sidecar as a process, on real databases, against real faults."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from alpimonitor_rehearsal.pager import Fault, Pager
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.running import is_running
from tests.sidecars import CONTEXT, DEADLINE, SEED, Sidecar, rows, wipe

pytestmark = pytest.mark.acceptance


def titles(pager: Pager) -> list[str]:
    return [receipt.title for receipt in pager.receipts]


def channels(pager: Pager) -> dict[str, str]:
    return {"NOTIFY": f"{pager.apprise_url}notify", "PAGE": f"{pager.apprise_url}page"}


def test_a_wiped_database_is_healed_and_people_hear_of_it_in_order(
    tmp_path: Path, seeded_database: str
) -> None:
    with Pager() as pager, Sidecar(tmp_path, seeded_database, channels(pager)).running() as sidecar:
        sidecar.until("healthy")
        wipe(seeded_database)
        received = pager.wait_for(lambda receipts: len(receipts) >= 3, deadline=DEADLINE)
        assert rows(seeded_database) == CONTEXT
        assert [
            "empty" in received[0].title,
            "restored" in received[1].title,
            "resolved" in received[2].title,
        ] == [
            True,
            True,
            True,
        ]
        assert {receipt.path for receipt in received} == {"/notify"}
        sidecar.until("healthy")
        assert "nothing to do" in received[2].body.lower()


def test_it_starts_with_the_database_down_says_so_and_goes_on_when_it_is_up(
    tmp_path: Path, seeded_database: str
) -> None:
    address = urlsplit(seeded_database)
    with TcpProxy(address.hostname or "", address.port or 0) as proxy, Pager() as pager:
        proxy.cut()
        through = seeded_database.replace(f":{address.port}/", f":{proxy.port}/")
        sidecar = Sidecar(tmp_path, through, channels(pager), policy={"unreachable_after": "500ms"})
        with sidecar.running():
            opened = pager.wait_for(lambda receipts: len(receipts) >= 1, deadline=DEADLINE)[0]
            assert "database unreachable" in opened.title
            assert "heals" not in opened.title
            proxy.heal()
            sidecar.until("healthy")
            assert rows(seeded_database) == CONTEXT


def test_a_database_that_vanishes_in_an_incident_heals_nothing_until_it_is_seen_again(
    tmp_path: Path, seeded_database: str
) -> None:
    address = urlsplit(seeded_database)
    with TcpProxy(address.hostname or "", address.port or 0) as proxy, Pager() as pager:
        through = seeded_database.replace(f":{address.port}/", f":{proxy.port}/")
        sidecar = Sidecar(tmp_path, through, channels(pager), policy={"confirm_for": "2s"})
        with sidecar.running():
            sidecar.until("healthy")
            wipe(seeded_database)
            sidecar.until("open")
            proxy.hang()
            wait_until(
                "the look that sees nothing",
                lambda: sidecar.state()["look"]["seen"] is False,
                deadline=DEADLINE,
            )
            assert sidecar.state()["phase"] == "open"
            assert rows(seeded_database)["station"] == 0
            proxy.heal()
            sidecar.until("healthy")
            assert rows(seeded_database) == CONTEXT


def test_killed_in_an_incident_it_continues_without_a_second_opening(
    tmp_path: Path, seeded_database: str
) -> None:
    with Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager), policy={"confirm_for": "3s"})
        sidecar.start()
        sidecar.until("healthy")
        wipe(seeded_database)
        pager.wait_for(lambda receipts: len(receipts) >= 1, deadline=DEADLINE)
        incident = sidecar.state()["incident"]["id"]
        sidecar.kill()
        with sidecar.running():
            received = pager.wait_for(lambda r: any("resolved" in x.title for x in r), deadline=DEADLINE)
            opened = {receipt.idempotency_key for receipt in received if "heals in" in receipt.title}
            assert len(opened) == 1
            assert [item["id"] for item in sidecar.get("api/incidents")["incidents"]] == [incident]
        assert rows(seeded_database) == CONTEXT


def test_killed_while_a_heal_runs_it_does_not_start_it_twice_and_heals_after_the_back_off(
    tmp_path: Path, seeded_database: str
) -> None:
    started = tmp_path / "started"
    program = tmp_path / "heal.py"
    program.write_text(f"""
import pathlib, signal, subprocess, sys
started = pathlib.Path({str(started)!r})
first = not started.exists()
with started.open("a") as log:
    log.write("run ")
if first:
    signal.pause()
sys.exit(subprocess.run({SEED!r}).returncode)
""")
    with Pager() as pager:
        run = [sys.executable, str(program)]
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager), run=run)
        sidecar.start()
        sidecar.until("healthy")
        wipe(seeded_database)
        wait_until("the heal's start", started.exists, deadline=DEADLINE)
        sidecar.kill()
        with sidecar.running():
            pager.wait_for(lambda r: any("resolved" in x.title for x in r), deadline=DEADLINE)
            (incident,) = sidecar.get("api/incidents")["incidents"]
            heals = sidecar.get(f"api/incidents/{incident['id']}")["heals"]
            assert [heal["outcome"] for heal in heals] == ["interrupted", "succeeded"]
        assert started.read_text().count("run") == 2
        assert rows(seeded_database) == CONTEXT


def test_a_notification_that_cannot_be_sent_is_sent_when_its_target_is_back(
    tmp_path: Path, seeded_database: str
) -> None:
    with Pager() as pager:
        pager.fault(Fault.ERROR_500, times=2)
        with Sidecar(tmp_path, seeded_database, channels(pager)).running() as sidecar:
            sidecar.until("healthy")
            wipe(seeded_database)
            received = pager.wait_for(lambda receipts: len(receipts) >= 3, deadline=DEADLINE)
            assert "deleted by postgres, " in received[0].title
            assert ["restored" in received[1].title, "resolved" in received[2].title] == [True, True]
            assert len(pager.attempts) >= 5


def test_a_database_without_schema_is_refused_and_nothing_is_healed(
    tmp_path: Path, empty_database: str
) -> None:
    with Pager() as pager, Sidecar(tmp_path, empty_database, channels(pager)).running():
        received = pager.wait_for(lambda r: any(x.path == "/page" for x in r), deadline=DEADLINE)
        refused = next(receipt for receipt in received if receipt.path == "/page")
        # Without a schema nothing says that it is the right database at all: that comes first.
        assert "heal REFUSED: not_adopted" in refused.title
        assert refused.body.startswith("You must act: this database was never seen whole")
        with psycopg.connect(empty_database) as connection:
            assert connection.execute("SELECT to_regclass('station')").fetchone() == (None,)


def test_a_read_only_database_is_refused(tmp_path: Path, seeded_database: str) -> None:
    wipe(seeded_database)
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')  # type: ignore[call-overload]
    with Pager() as pager, Sidecar(tmp_path, seeded_database, channels(pager)).running():
        received = pager.wait_for(lambda r: any(x.path == "/page" for x in r), deadline=DEADLINE)
        assert "heal REFUSED: read_only" in next(r for r in received if r.path == "/page").title
        assert rows(seeded_database)["station"] == 0


def test_without_rights_it_says_forbidden_and_heals_nothing(tmp_path: Path, seeded_database: str) -> None:
    role = f"blind_{os.urandom(4).hex()}"
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'blind'".encode())
    parts = urlsplit(seeded_database)
    blind = f"postgresql://{role}:blind@{parts.hostname}:{parts.port}{parts.path}"
    try:
        with Pager() as pager:
            sidecar = Sidecar(tmp_path, blind, channels(pager))
            with sidecar.running():
                wait_until(
                    "a look", lambda: (sidecar.state().get("look") or {}).get("seen"), deadline=DEADLINE
                )
                state = sidecar.state()
                assert {table["condition"] for table in state["tables"]} == {"unseen"}
                assert state["incident"] is None
            assert rows(seeded_database) == CONTEXT
            checked = sidecar.call("watchdog", "check")
            assert checked.returncode == 1
            assert f'GRANT SELECT ON TABLE "public"."station" TO "{role}"' in checked.stdout
    finally:
        with psycopg.connect(seeded_database, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}".encode())


def test_a_second_sidecar_on_the_same_state_is_refused(tmp_path: Path, seeded_database: str) -> None:
    with Sidecar(tmp_path, seeded_database).running() as sidecar:
        second = sidecar.call("watchdog", "run")
    assert second.returncode == 2
    assert str(tmp_path / "state") in second.stderr


def test_a_taken_port_is_said_and_exits_2(tmp_path: Path, seeded_database: str) -> None:
    with Sidecar(tmp_path, seeded_database).running() as sidecar:
        port = urlsplit(sidecar.url).port
        (tmp_path / "second").mkdir()
        second = Sidecar(tmp_path / "second", seeded_database, port=port or 0)
        second.write()
        ended = second.call("watchdog", "run")
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "WATCHDOG_LISTEN" in ended.stderr


def test_stopping_ends_a_running_heal_records_it_and_leaves_no_process(
    tmp_path: Path, seeded_database: str
) -> None:
    pid = tmp_path / "pid"
    program = tmp_path / "heal.py"
    program.write_text(
        f"import os, pathlib, signal; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); signal.pause()"
    )
    sidecar = Sidecar(tmp_path, seeded_database, run=[sys.executable, str(program)])
    with sidecar.running():
        sidecar.until("healthy")
        wipe(seeded_database)
        healer = int(
            wait_until("the heal's start", lambda: pid.exists() and pid.read_text(), deadline=DEADLINE)
        )
        assert sidecar.state()["phase"] == "healing"
        assert sidecar.stop() == 0
    assert not is_running(healer)
    sidecar.mode = "off"
    with sidecar.running():
        (incident,) = sidecar.get("api/incidents")["incidents"]
        heals = sidecar.get(f"api/incidents/{incident['id']}")["heals"]
        assert [heal["outcome"] for heal in heals] == ["interrupted"]


def test_a_heal_does_not_outlive_a_sidecar_that_is_killed(tmp_path: Path, seeded_database: str) -> None:
    pid = tmp_path / "pid"
    program = tmp_path / "heal.py"
    program.write_text(
        f"import os, pathlib, signal; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); signal.pause()"
    )
    sidecar = Sidecar(tmp_path, seeded_database, run=[sys.executable, str(program)])
    sidecar.start()
    sidecar.until("healthy")
    wipe(seeded_database)
    healer = int(wait_until("the heal's start", lambda: pid.exists() and pid.read_text(), deadline=DEADLINE))
    sidecar.kill()
    wait_until("the heal's end", lambda: not is_running(healer), deadline=DEADLINE)


def test_sigterm_ends_it_while_the_database_hangs(tmp_path: Path, seeded_database: str) -> None:
    address = urlsplit(seeded_database)
    with TcpProxy(address.hostname or "", address.port or 0) as proxy:
        through = seeded_database.replace(f":{address.port}/", f":{proxy.port}/")
        # Longer than the test would wait: only being told to stop can end that look.
        sidecar = Sidecar(tmp_path, through, policy={"timeout": "10s"})
        with sidecar.running():
            sidecar.until("healthy")
            proxy.hang()
            wait_until("the look that hangs", lambda: sidecar.state()["age_seconds"] > 1, deadline=DEADLINE)
            assert sidecar.stop() == 0


def test_no_secret_is_in_a_log_a_page_or_a_process_list(tmp_path: Path, seeded_database: str) -> None:
    password = urlsplit(seeded_database).password or ""
    with Pager() as pager:
        secret = "s3cret-of-the-pager"
        url = pager.apprise_url.replace("json://", f"json://user:{secret}@") + "notify"
        with Sidecar(tmp_path, seeded_database, {"NOTIFY": url}).running() as sidecar:
            sidecar.until("healthy")
            wipe(seeded_database)
            pager.wait_for(lambda receipts: len(receipts) >= 3, deadline=DEADLINE)
            assert sidecar.process is not None
            cmdline = Path(f"/proc/{sidecar.process.pid}/cmdline").read_text()
            said = [
                sidecar.log,
                cmdline,
                str(sidecar.get("api/state")),
                str([(r.title, r.body) for r in pager.receipts]),
            ]
            for word in (secret, password):
                assert word
                assert not any(word in text for text in said)


def test_settings_that_cannot_be_used_exit_2_with_place_and_remedy(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, "postgresql://u:hidden@127.0.0.1/db", extra="[policyy]\ninterval = '1s'")
    sidecar.write()
    ended = sidecar.call("watchdog", "run")
    assert ended.returncode == 2
    assert "policyy" in ended.stderr
    assert "policy" in ended.stderr
    assert "hidden" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_check_exits_5_when_the_database_cannot_be_reached(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, "postgresql://u:hidden@127.0.0.1:1/db")
    sidecar.write()
    ended = sidecar.call("watchdog", "check", "--json")
    assert ended.returncode == 5
    assert '"holds": false' in ended.stdout
    assert "hidden" not in ended.stdout + ended.stderr


def test_a_test_notification_arrives_marked_as_a_drill_and_a_dead_channel_is_named(
    tmp_path: Path, seeded_database: str
) -> None:
    with Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager) | {"PAGE": "json://127.0.0.1:1/page"})
        sidecar.write()
        ended = sidecar.call("watchdog", "test-notification")
        assert ended.returncode == 1
        assert "notify: arrived" in ended.stdout
        assert "page: NOT delivered" in ended.stdout
        assert ["drill" in title for title in titles(pager)] == [True]


def test_status_tells_what_the_sidecar_sees(tmp_path: Path, seeded_database: str) -> None:
    with Sidecar(tmp_path, seeded_database, mode="off").running() as sidecar:
        url = sidecar.url
        sidecar.until("healthy")
        healthy = sidecar.call("status", "--url", url)
        assert healthy.returncode == 0
        assert "All 7 context tables have their rows." in healthy.stdout
        wipe(seeded_database)
        sidecar.until("open")
        wiped = sidecar.call("status", "--url", url)
        assert wiped.returncode == 1
        assert "no heal now: healing_off" in wiped.stdout
    gone = sidecar.call("status", "--url", url)
    assert gone.returncode == 1
    assert "no sidecar answers" in gone.stderr

"""Operators beside a running sidecar: what they say takes effect at once, and why lands in the timeline."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.waiting import wait_until
from tests.sidecars import CONTEXT, DEADLINE, Sidecar, rows, wipe

pytestmark = pytest.mark.acceptance


def act(sidecar: Sidecar, *words: str, code: int = 0) -> dict[str, Any]:
    """Run `alpimonitor watchdog WORDS --json` beside the sidecar; its answer."""
    ended = sidecar.call("watchdog", *words, "--json", "--url", sidecar.url)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return dict(json.loads(ended.stdout))


def said_by_operators(sidecar: Sidecar) -> dict[str, str]:
    """What each operator's act left in the timeline of the newest incident: its detail by its kind."""
    (newest, *_) = sidecar.get("api/incidents")["incidents"]
    timeline = sidecar.get(f"api/incidents/{newest['id']}")["timeline"]
    return {item["event"]: item["detail"] for item in timeline if item["source"] == "operator"}


def standing_in_the_way(sidecar: Sidecar) -> dict[str, str]:
    """The guard rails that do not hold, with their reasons, as a dry run tells them."""
    answer = post(sidecar, "heal", {"reason": "what stands in the way?", "dry_run": True})
    return {rail["guard"]: rail["reason"] for rail in answer.json()["guards"] if rail["reason"]}


def post(sidecar: Sidecar, action: str, body: dict[str, Any]) -> httpx.Response:
    """What a program does that may read the token."""
    token = (sidecar.folder / "state" / "token").read_text().strip()
    header = {"Authorization": f"Bearer {token}"}
    url = f"{sidecar.url}api/{action}"
    return httpx.post(url, json=body, headers=header, timeout=DEADLINE, trust_env=False)


def test_a_hold_stops_the_heal_and_resume_lets_it_go(tmp_path: Path, seeded_database: str) -> None:
    sidecar = Sidecar(tmp_path, seeded_database)
    with sidecar.running():
        sidecar.until("healthy")
        with psycopg.connect(seeded_database) as migrating:
            # No heal begins before the operator has said hold, however slow this machine is.
            migrating.execute("SELECT pg_advisory_lock(hashtextextended('alpimonitor:change', 0))")
            wipe(seeded_database)
            sidecar.until("open")
            act(sidecar, "hold", "--reason", "looking at the rows first")
        act(sidecar, "acknowledge", "--reason", "I am on it")
        assert sidecar.state()["incident"]["acknowledged"]["by"]
        wait_until(
            "a hold that alone stands in the way",
            lambda: standing_in_the_way(sidecar) == {"enabled": "held"},
            deadline=DEADLINE,
            every=0.5,
        )
        assert act(sidecar, "heal", "--now", "--yes", "--reason", "in a hurry", code=7)["refused"] == "held"
        assert rows(seeded_database) == dict.fromkeys(CONTEXT, 0)
        page = httpx.get(sidecar.url, timeout=5, trust_env=False).text
        assert "looking at the rows first" in page
        assert "alpimonitor watchdog resume" in page
        told = sidecar.call("status", "--url", sidecar.url).stdout
        assert "looking at the rows first" in told
        act(sidecar, "resume", "--reason", "seen enough")
        sidecar.until("healthy")
        assert rows(seeded_database) == CONTEXT
        said = said_by_operators(sidecar)
        assert {kind: said[kind].partition(": ")[2] for kind in said} == {
            "hold": "looking at the rows first",
            "acknowledge": "I am on it",
            "heal": "in a hurry (refused: held)",
            "resume": "seen enough",
        }


def test_a_pause_outlives_the_start_of_an_incident_and_heal_now_skips_the_waits(
    tmp_path: Path, seeded_database: str
) -> None:
    sidecar = Sidecar(tmp_path, seeded_database, policy={"confirm_for": "10m"})
    with sidecar.running():
        sidecar.until("healthy")
        act(sidecar, "pause", "--until", "1h", "--reason", "loading by hand")
        assert sidecar.state()["healing"]["pause"]["reason"] == "loading by hand"
        wipe(seeded_database)
        sidecar.until("open")
        refused = act(sidecar, "heal", "--now", "--yes", "--reason", "too early", code=7)
        assert refused["refused"] == "paused"
        act(sidecar, "resume", "--reason", "loaded")
        assert sidecar.state()["healing"]["pause"] is None
        assert rows(seeded_database) == dict.fromkeys(CONTEXT, 0)
        act(sidecar, "heal", "--now", "--yes", "--reason", "consumers wait")
        sidecar.until("healthy")
        assert rows(seeded_database) == CONTEXT
        said = said_by_operators(sidecar)
        assert said["resume"].endswith(": loaded")
        assert said["heal"].endswith(": consumers wait")


def test_an_accepted_loss_is_not_put_back_and_ends_the_incident(tmp_path: Path, seeded_database: str) -> None:
    sidecar = Sidecar(tmp_path, seeded_database, policy={"confirm_for": "10m"})
    with sidecar.running():
        sidecar.until("healthy")
        wipe(seeded_database, "withdrawal")
        sidecar.until("open")
        said = act(sidecar, "accept", "--yes", "--reason", "withdrawals are measured elsewhere now")
        assert "withdrawal 0" in said["sentence"]
        sidecar.until("healthy")
        (table,) = (table for table in sidecar.state()["tables"] if table["name"] == "withdrawal")
        assert (table["rows"], table["expected"], table["condition"]) == (0, 0, "ok")
        assert rows(seeded_database)["withdrawal"] == 0
        assert said_by_operators(sidecar)["accept"].endswith(": withdrawals are measured elsewhere now")


def test_the_token_is_private_kept_across_restarts_and_shown_nowhere(
    tmp_path: Path, seeded_database: str
) -> None:
    token = tmp_path / "state" / "token"
    with Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, {"NOTIFY": f"{pager.apprise_url}notify"})
        with sidecar.running():
            sidecar.until("healthy")
            secret = token.read_text().strip()
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            act(sidecar, "pause", "--until", "1h", "--reason", "trying the token")
            sent = post(sidecar, "test-notification", {"reason": "new pager"})
            assert sent.json()["done"] is True
            assert ["drill" in receipt.title for receipt in pager.receipts] == [True]
            pages = [
                httpx.get(f"{sidecar.url}{path}", timeout=5, trust_env=False).text
                for path in ("", "api/state", "metrics")
            ]
            assert sidecar.process is not None
            argv = Path(f"/proc/{sidecar.process.pid}/cmdline").read_text()
        with sidecar.running():
            assert token.read_text().strip() == secret
        told = [sidecar.log, argv, sent.text, *pages, *(receipt.body for receipt in pager.receipts)]
        assert not any(secret in text for text in told)


def test_a_token_that_others_could_read_turns_actions_off_and_the_watch_goes_on(
    tmp_path: Path, seeded_database: str
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "token").write_text("a" * 43)
    (state / "token").chmod(0o644)
    with Sidecar(tmp_path, seeded_database).running() as sidecar:
        sidecar.until("healthy")
        ended = sidecar.call("watchdog", "resume", "--reason", "x", "--url", sidecar.url)
        assert ended.returncode == 2
        assert "mode 0644" in ended.stderr
        answer = post(sidecar, "resume", {"reason": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "actions_off")
        assert any("delete it and restart" in warning for warning in sidecar.state()["warnings"])
        assert "Actions over HTTP are off." in sidecar.log

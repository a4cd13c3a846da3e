"""Tokens as an operator handles them: the command, the served API, and a file that is not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from alpimonitor_rehearsal.processes import Child, Processes, environment, python_module
from tests.running import run

pytestmark = pytest.mark.acceptance

DEADLINE = 20.0
TUNED = {"vigilanceValue": 450.5, "alertValue": 750, "direction": "ABOVE"}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def start(processes: Processes, tmp_path: Path, database: str, tokens: Path) -> Child:
    settings = {
        "PORT": "0",
        "INGESTION_ENABLED": "false",
        "DATABASE_URL": database,
        "API_TOKENS_FILE": str(tokens),
    }
    return processes.start(
        "api", python_module("alpimonitor_api.server"), {**environment(tmp_path, os.environ), **settings}
    )


def test_a_token_holds_from_its_creation_until_it_is_revoked_without_a_restart(
    processes: Processes, tmp_path: Path, seeded_database: str
) -> None:
    tokens = tmp_path / "tokens.json"

    def token(words: str) -> str:
        ended = run(tmp_path, f"token {words} --file {tokens}", {})
        assert ended.code == 0, ended.said
        return ended.said.splitlines()[0]

    token("create --name ada --scope auditor")
    server = start(processes, tmp_path, seeded_database, tokens)

    def said() -> str | None:
        found = re.search(r"listens on (http://[^\s\"]+)", server.logged())
        return found[1] if found else None

    base = server.until("say where it listens", said, deadline=DEADLINE) + "/api/v1"
    marie = {"Authorization": f"Bearer {token('create --name marie --scope operator')}"}
    tuned = httpx.put(f"{base}/stations/2011/thresholds/DISCHARGE", json=TUNED, headers=marie)
    assert tuned.status_code == 200, tuned.text
    audit = httpx.get(f"{base}/threshold-audits", headers=marie)
    assert [one["changedBy"] for one in audit.json()["data"]] == ["marie"]
    token("revoke marie")
    assert httpx.get(f"{base}/threshold-audits", headers=marie).status_code == 401
    assert marie["Authorization"].removeprefix("Bearer ") not in server.logged()


def test_a_file_of_tokens_that_is_not_there_ends_the_server_with_2_and_the_remedy(
    processes: Processes, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere.json"
    server = start(processes, tmp_path, "postgresql://api:sesame@127.0.0.1:1/nothing", missing)
    assert server.process.wait(DEADLINE) == 2
    assert "API_TOKENS_FILE" in server.logged()
    assert f"alpimonitor token create --file {missing}" in server.logged()
    assert "Traceback" not in server.logged()
    assert "sesame" not in server.logged()

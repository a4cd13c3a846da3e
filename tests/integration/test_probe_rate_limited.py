"""The sidecar before an API that limits how often it is asked: with its token, and without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from alpimonitor_api.app import create_app
from alpimonitor_api.auth import Scope
from alpimonitor_api.server import listening_socket
from alpimonitor_watchdog.checks import check_all
from alpimonitor_watchdog.probe.outside import OutsideProbe
from alpimonitor_watchdog.probe.rights import Right, Standing
from alpimonitor_watchdog.settings import Settings, load
from tests.api_client import NOWHERE, settings_for
from tests.bearers import Bearers


@contextmanager
def listening(tokens: Path) -> Iterator[str]:
    """The address of an API whose every address may ask once a minute; the database is away."""
    settings = settings_for(NOWHERE, rate_limit=1, api_tokens_file=tokens)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, lifespan="on"))
    with listening_socket("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def tokens(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


@pytest.fixture
def api(tokens: Bearers) -> Iterator[str]:
    with listening(tokens.file) as address:
        while httpx.get(f"{address}/nothing").status_code != 429:
            pass  # from now on this address has asked too often
        yield address


def settings_of(api: str, folder: Path, **environ: str) -> Settings:
    config = folder / "watchdog.toml"
    config.write_text(
        '[[table]]\nname = "station"\nexpected = 7\n'
        f'[[health]]\nurl = "{api}/stations"\nexpect_json_path = "data"\nexpect = 7\n'
        'token_env = "API_TOKEN"\n'
    )
    return load({"WATCHDOG_DATABASE_URL": NOWHERE, **environ}, config)


def looked(settings: Settings) -> list[str]:
    probe = OutsideProbe.of(settings)
    assert probe is not None
    return [health.detail for _ in range(3) for health in probe.look_once().health]


def test_with_its_token_the_sidecar_is_never_refused(api: str, tokens: Bearers, tmp_path: Path) -> None:
    shown = tokens.add("sidecar", Scope.WATCHDOG)["Authorization"].removeprefix("Bearer ")
    settings = settings_of(api, tmp_path, API_TOKEN=shown)
    assert looked(settings) == ["answered 503 SERVICE_UNAVAILABLE"] * 3


def test_without_it_the_check_says_what_to_do(api: str, tmp_path: Path) -> None:
    settings = settings_of(api, tmp_path)
    assert looked(settings) == ["answered 429 RATE_LIMITED"] * 3
    said = said_of(api, check_all(settings, {}))
    assert (said.standing, said.said) == (Standing.GAP, "answered 429 RATE_LIMITED")
    for part in ("token_env", "alpimonitor token create --scope watchdog", "outside_interval"):
        assert part in said.remedy


def test_of_any_other_answer_the_check_says_nothing_of_tokens(
    api: str, tokens: Bearers, tmp_path: Path
) -> None:
    shown = tokens.add("sidecar", Scope.WATCHDOG)["Authorization"].removeprefix("Bearer ")
    said = said_of(api, check_all(settings_of(api, tmp_path, API_TOKEN=shown), {}))
    assert said.said == "answered 503 SERVICE_UNAVAILABLE"
    assert "token" not in said.remedy


def said_of(api: str, rights: tuple[Right, ...]) -> Right:
    (found,) = (right for right in rights if right.subject == f"{api}/stations")
    return found

"""Every process says in one format who it is: role, version, host, pid; each package by its own function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import pytest

from alpimonitor_api.application_name import application_name as of_the_api
from alpimonitor_cli.application_name import application_name as of_the_command
from alpimonitor_seed.record import Client
from alpimonitor_seed.record import application_name as of_the_seed
from alpimonitor_watchdog import service
from alpimonitor_watchdog.probe.link import application_name as of_the_sidecar

LONGEST = 63  # bytes: PostgreSQL cuts what is longer
VERSION = version("alpimonitor")
PID = 4194304

NAMES: dict[str, Callable[[], str]] = {
    "api": partial(of_the_api, "api"),
    "ingest": partial(of_the_api, "ingest"),
    "boot": partial(of_the_command, "boot"),
    "migrate": partial(of_the_command, "migrate"),
    "roles": partial(of_the_command, "roles"),
    "seed": lambda: Client.of_this_process().application_name,
    "watchdog": service.application_name,
}
HOSTS = {"short": "db-1", "long": "h" * 80, "not ASCII": "é" * 40, "with spaces": "my machine"}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = HOSTS[request.param]
    monkeypatch.setattr("socket.gethostname", lambda: name)
    monkeypatch.setattr("os.getpid", lambda: PID)
    return name


@pytest.mark.parametrize("host", HOSTS, indirect=True)
@pytest.mark.parametrize("role", NAMES)
def test_a_name_is_role_version_host_and_pid_and_fits(role: str, host: str) -> None:
    name = NAMES[role]()
    said, release, where, pid = name.split(" ")
    assert (said, release, pid) == (f"alpimonitor-{role}", VERSION, str(PID))
    assert len(name.encode()) <= LONGEST
    assert name.isascii()
    readable = "".join(letter if letter.isascii() and letter != " " else "?" for letter in host)
    assert readable.startswith(where)
    assert where == readable or len(name) == LONGEST


def test_a_long_version_leaves_room_for_the_pid() -> None:
    long = "1.2.3.dev4+gabcdef0123456789"
    for name in (of_the_seed(long, "host", PID), of_the_sidecar(long, "host", PID)):
        assert name.endswith(f" host {PID}")
        assert len(name.encode()) <= LONGEST


@pytest.mark.parametrize("part", ["listener", "check", "diagnose"])
def test_a_connection_of_its_own_within_the_sidecar_is_told_apart(part: str) -> None:
    assert of_the_sidecar("1.2", "h" * 80, PID, part).endswith(f" {PID} {part}")
    assert len(of_the_sidecar("1.2", "h" * 80, PID, part)) == LONGEST

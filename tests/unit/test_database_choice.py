"""Which PostgreSQL the tests choose by TEST_DATABASE, and how it is named to people."""

from __future__ import annotations

import pytest

from tests.databases import DOCKER_SOCKET, UnknownChoice, chosen_database, described


@pytest.mark.parametrize("choice", ["docker", "embedded", "system", "postgresql://u@db.example/x"])
def test_what_is_named_is_taken(choice: str) -> None:
    assert chosen_database({"TEST_DATABASE": choice}) == choice


@pytest.mark.skipif(DOCKER_SOCKET.exists(), reason="Docker is at hand here")
@pytest.mark.parametrize("environ", [{}, {"TEST_DATABASE": ""}, {"TEST_DATABASE": "auto"}])
def test_without_docker_the_embedded_one_is_taken(environ: dict[str, str]) -> None:
    assert chosen_database(environ) == "embedded"


def test_anything_else_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownChoice, match="TEST_DATABASE is 'sqlite'; it may be auto, docker, embedded"):
        chosen_database({"TEST_DATABASE": "sqlite"})


def test_a_server_is_named_without_its_password() -> None:
    assert described("postgresql://tester:hush@db.example:6432/x") == "the server at db.example:6432"

"""The PostgreSQL that the tests use: chosen by TEST_DATABASE, one server a worker, one database a test."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from alpimonitor_rehearsal.postgres import Binaries, Origin, find_binaries, running_postgres

MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2 * 1024**3
DOCKER_SOCKET = Path("/var/run/docker.sock")
DOCKER_IMAGE = "postgres:18"
DOCKER_ANSWERS_WITHIN = 2  # seconds
# Thrown away, it need survive no crash: making and dropping a database takes 0.1 s instead of 1.3 s.
UNSAFE_BUT_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
CHOICES = "auto, docker, embedded, system, or the URL of a server whose user may create databases"


class UnknownChoice(ValueError):
    """TEST_DATABASE is set to something that names no database."""


@dataclass(frozen=True)
class PostgresForTests:
    """A running server. `admin_url` may create databases and roles; `version` is the server's: 18.6."""

    admin_url: str
    version: str
    description: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def chosen_database(environ: Mapping[str, str] = os.environ) -> str:
    """Return docker, embedded, system or a URL. Raises UnknownChoice."""
    choice = environ.get("TEST_DATABASE") or "auto"
    if choice == "auto":
        return "docker" if _docker_is_ready(environ) else "embedded"
    if choice in ("docker", "embedded", "system") or choice.startswith(("postgresql://", "postgres://")):
        return choice
    raise UnknownChoice(f"TEST_DATABASE is {choice!r}; it may be {CHOICES}")


def described(choice: str) -> str:
    """Say in a few words, without starting anything and without a password, what `choice` will use."""
    if choice == "docker":
        return f"docker, image {_image(os.environ)}"
    if choice in ("embedded", "system"):
        binaries = find_binaries(origins=_origins(choice))
        return f"{choice}, PostgreSQL {binaries.version} from {binaries.origin.value}"
    parts = conninfo_to_dict(choice)
    return f"the server at {parts.get('host', 'the local socket')}:{parts.get('port', 5432)}"


def binaries_for(choice: str) -> Binaries:
    """The programs of servers that a test does to whatever it likes: never those of a server elsewhere."""
    return find_binaries(origins=_origins(choice))


@contextlib.contextmanager
def postgres_for_tests(choice: str) -> Iterator[PostgresForTests]:
    """Run, or only reach, the chosen server."""
    if choice == "docker":
        with _container(_image(os.environ)) as url:
            yield _reached(url, described(choice))
    elif choice in ("embedded", "system"):
        binaries = find_binaries(origins=_origins(choice))
        with running_postgres(binaries=binaries, temporary=memory()) as server:
            yield _reached(server.url(), described(choice))
    else:
        yield _reached(choice, described(choice))


@contextlib.contextmanager
def new_database(server: PostgresForTests, *, template: str = "template1") -> Iterator[str]:
    """Make a database, yield its URL, and drop it with whoever is still connected."""
    name = f"alpimonitor_test_{secrets.token_hex(6)}"
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield url_of(server, name)
    finally:
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            # A test may have left it as a template, renamed or dropped.
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def url_of(server: PostgresForTests, database: str) -> str:
    """The URL of another database of the same server, with the same user."""
    return urlunsplit(urlsplit(server.admin_url)._replace(path=f"/{database}"))


def name_of(url: str) -> str:
    """The database that a URL names."""
    return str(conninfo_to_dict(url)["dbname"])


def _origins(choice: str) -> tuple[Origin, ...]:
    return (Origin.SYSTEM,) if choice == "system" else tuple(Origin)


def memory() -> Path | None:
    """A folder in memory, if there is a roomy one: making a database there takes 6 ms instead of 100."""
    if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH_MEMORY:
        return MEMORY
    return None


def _reached(url: str, description: str) -> PostgresForTests:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT split_part(current_setting('server_version'), ' ', 1)").fetchone()
    assert row is not None
    return PostgresForTests(url, row[0], description)


def _image(environ: Mapping[str, str]) -> str:
    return environ.get("TEST_DATABASE_IMAGE") or DOCKER_IMAGE


def _docker_is_ready(environ: Mapping[str, str]) -> bool:
    """Say whether Docker answers at once and has the images; without its socket nothing is imported."""
    if not environ.get("DOCKER_HOST") and not DOCKER_SOCKET.exists():
        return False
    import docker
    from testcontainers.core.config import testcontainers_config

    # testcontainers starts a second container that cleans up after it, unless told not to.
    wanted = [_image(environ)]
    if not testcontainers_config.ryuk_disabled:
        wanted.append(testcontainers_config.ryuk_image)
    try:
        client = docker.from_env(timeout=DOCKER_ANSWERS_WITHIN)
    except docker.errors.DockerException:
        return False
    try:
        for image in wanted:
            client.images.get(image)
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()
    return True


@contextlib.contextmanager
def _container(image: str) -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    # Not the default password, "test": tests look for the password in whatever is said, names included.
    password = secrets.token_hex(16)
    server = PostgresContainer(image, username="postgres", password=password, dbname="postgres", driver=None)
    with server.with_command(["postgres", *UNSAFE_BUT_FAST]) as container:
        yield container.get_connection_url()

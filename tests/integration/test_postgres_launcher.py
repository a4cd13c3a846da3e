"""The launcher's promises, each on a real server and, where a parent must die, on real processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from alpimonitor_rehearsal.postgres import Origin, PostgresError, find_binaries, free_port, running_postgres
from alpimonitor_rehearsal.postgres.account import server_account
from alpimonitor_rehearsal.postgres.binary_copy import reachable_binaries
from alpimonitor_rehearsal.postgres.directory import processes_in
from alpimonitor_rehearsal.waiting import wait_until
from tests.databases import chosen_database
from tests.running import is_running

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Starts a server as the demo does, says where it is, and stays until it is killed or its input closes.
PARENT = """
import json, sys
from pathlib import Path
from alpimonitor_rehearsal.postgres import running_postgres
data_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with running_postgres(data_dir, durable=data_dir is not None) as server:
    print(json.dumps({
        "pid": server.pid, "url": server.url(), "folder": str(server.server_log.parent),
        "environment": server.environment(),
    }), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _the_chosen_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TEST_DATABASE=system these promises are tested on the system's PostgreSQL."""
    if chosen_database() == "system":
        monkeypatch.setenv("PG_BINDIR", str(find_binaries(origins=[Origin.SYSTEM]).folder))


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that the server's user can reach: pytest's own are private to the user who runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="alpimonitor-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def parent_of_a_server(temporary: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def ask(url: str, statement: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.execute(statement).fetchone()[0])


def test_it_lets_in_only_who_knows_the_password() -> None:
    with running_postgres() as server:
        assert ask(server.url(), "SELECT 1") == "1"
        for wrong in ("", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(server.url(), password=wrong)


@linux_only
def test_it_listens_on_loopback_only_and_on_no_unix_socket() -> None:
    with running_postgres() as server:
        listening = [
            local
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            if Path(table).exists()
            for _, local, _, state, *_ in map(str.split, Path(table).read_text().splitlines()[1:])
            if state == "0A" and int(local.rpartition(":")[2], 16) == server.port
        ]
        assert listening == [f"0100007F:{server.port:04X}"]
        assert ask(server.url(), "SHOW unix_socket_directories") == ""


def test_psql_connects_by_the_environment_alone() -> None:
    with running_postgres() as server:
        done = subprocess.run(
            [server.psql, "-XAtc", "SELECT current_database()"],
            env={**os.environ, **server.environment("template1")},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "template1\n"


@linux_only
def test_the_password_stands_in_no_argument_list_environment_or_log(
    open_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = reachable_binaries(find_binaries(), server_account(), Path(tempfile.gettempdir()))
    records = open_path / "records"
    records.mkdir()
    records.chmod(0o777)
    for name in ("postgres", "initdb"):
        program = open_path / name
        program.write_text(
            f'#!/bin/sh\nprintf \'%s\\n\' "$@" > {records}/$$-{name}\nexec {real.program(name)} "$@"\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PG_BINDIR", str(open_path))
    caplog.set_level("DEBUG")
    with running_postgres() as server:
        password = server.environment()["PGPASSWORD"]
        everyone = b"".join(read_or_nothing(entry / "cmdline") for entry in Path("/proc").glob("[0-9]*"))
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        server_log = server.server_log.read_text()
    # Several a program: each is also asked for its version.
    arguments = "".join(path.read_text() for path in records.iterdir())
    assert "--pwfile" in arguments
    assert "listen_addresses=127.0.0.1" in arguments
    assert b"listen_addresses=127.0.0.1" in everyone
    assert password.encode() not in everyone
    assert password.encode() not in environment
    assert not [text for text in (arguments, server_log, caplog.text, repr(server)) if password in text]
    assert len(password) >= 24


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@linux_only
def test_it_dies_with_its_parent_even_by_kill_9_and_the_next_one_clears_up(
    open_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with parent_of_a_server(open_path) as (parent, server):
        assert is_running(server["pid"])
        parent.kill()
        parent.wait()
        wait_until("the server's end", lambda: not is_running(server["pid"]), deadline=30)
    abandoned = Path(server["folder"])
    assert abandoned.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(open_path))
    caplog.set_level("INFO")
    with running_postgres() as another:
        assert not abandoned.exists()
        mine = another.server_log.parent
        assert mine.parent == open_path
    assert f"{abandoned}: removed" in caplog.text
    assert not mine.exists()


@linux_only
def test_it_dies_when_its_parent_is_terminated_without_a_word(open_path: Path) -> None:
    with parent_of_a_server(open_path) as (parent, server):
        parent.send_signal(signal.SIGTERM)
        parent.wait()
        wait_until("the server's end", lambda: not is_running(server["pid"]), deadline=30)


@linux_only
def test_a_stale_directory_is_reclaimed_with_what_was_committed(
    open_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = open_path / "data"
    with parent_of_a_server(open_path, str(data_dir)) as (parent, server):
        with psycopg.connect(server["url"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server["pid"], signal.SIGKILL)
        parent.kill()
        parent.wait()
    assert (data_dir / "cluster" / "postmaster.pid").exists()
    caplog.set_level("INFO")
    with running_postgres(data_dir, durable=True) as reclaimed:
        assert ask(reclaimed.url(), "SELECT answer FROM kept") == "42"
        assert reclaimed.environment()["PGPASSWORD"] == server["environment"]["PGPASSWORD"]
    assert f"{data_dir}: reclaimed" in caplog.text
    assert data_dir.exists()


def test_a_server_that_lost_its_parent_is_stopped_first(
    open_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = open_path / "data"
    with running_postgres(data_dir) as server:
        program = server.psql.with_name("postgres")
    account = server_account()
    as_whom = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    options = (
        "-c",
        f"port={free_port()}",
        "-c",
        "unix_socket_directories=",
        "-c",
        "listen_addresses=127.0.0.1",
    )
    with subprocess.Popen(
        [program, "-D", data_dir / "cluster", *options], cwd="/", stderr=subprocess.DEVNULL, **as_whom
    ) as orphan:
        status = data_dir / "cluster" / "postmaster.pid"
        wait_until(
            "the orphan's start", lambda: status.exists() and "ready" in status.read_text(), deadline=30
        )
        caplog.set_level("INFO")
        with running_postgres(data_dir) as server:
            assert orphan.wait(30) == 0
            assert ask(server.url(), "SELECT 1") == "1"
    assert "a server without a parent still runs there" in caplog.text
    assert "reclaimed" in caplog.text


@linux_only
def test_a_stale_process_number_that_somebody_else_has_now_prevents_nothing(open_path: Path) -> None:
    data_dir = open_path / "data"
    with running_postgres(data_dir):
        pass
    with subprocess.Popen(["sleep", "60"]) as bystander:
        stale = data_dir / "cluster" / "postmaster.pid"
        stale.write_text(f"{bystander.pid}\n{data_dir / 'cluster'}\n1\n5432\n\n\n\nready\n")
        with running_postgres(data_dir) as server:
            assert ask(server.url(), "SELECT 1") == "1"
        assert bystander.poll() is None
        bystander.kill()


def test_a_directory_in_use_is_refused_and_left_alone(open_path: Path) -> None:
    with running_postgres(open_path / "data") as server:
        with (
            pytest.raises(PostgresError, match=f"in use by process {os.getpid()}: stop it, or choose"),
            running_postgres(open_path / "data"),
        ):
            pass
        assert ask(server.url(), "SELECT 1") == "1"


def test_a_directory_of_another_major_version_is_refused(open_path: Path) -> None:
    with running_postgres(open_path / "data"):
        pass
    (open_path / "data" / "cluster" / "PG_VERSION").write_text("13\n")
    with (
        pytest.raises(PostgresError, match=r"made by PostgreSQL 13.*set PG_BINDIR to a PostgreSQL 13"),
        running_postgres(open_path / "data"),
    ):
        pass


def test_a_half_made_cluster_is_made_again(open_path: Path) -> None:
    half_made = open_path / "data" / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with running_postgres(open_path / "data") as server:
        assert ask(server.url(), "SELECT 1") == "1"
    assert not half_made.exists()


def test_a_start_that_fails_shows_the_servers_last_words(open_path: Path) -> None:
    with running_postgres(open_path / "data"):
        pass
    with (open_path / "data" / "cluster" / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = a lot\n")
    with (
        pytest.raises(PostgresError, match=r"did not start.*syntax error"),
        running_postgres(open_path / "data"),
    ):
        pass


def test_only_a_durable_server_waits_for_the_disk(open_path: Path) -> None:
    with running_postgres(open_path / "data", durable=True) as durable, running_postgres() as throw_away:
        settings = "SELECT current_setting('fsync') || current_setting('synchronous_commit')"
        assert ask(durable.url(), settings) == "onon"
        assert ask(throw_away.url(), settings) == "offoff"


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free_port()])
        with running_postgres(choose_port=lambda: next(ports)) as server:
            assert server.port != taken.getsockname()[1]
            assert ask(server.url(), "SELECT 1") == "1"


def test_it_comes_back_on_the_same_port_after_a_stop_and_after_a_kill() -> None:
    with running_postgres() as server:
        url, first = server.url(), server.pid
        ask(url, "SELECT pg_catalog.set_config('application_name', 'x', false)")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.restart()
        assert server.pid != first
        assert ask(url, "SELECT answer FROM kept") == "42"

        os.kill(server.pid, signal.SIGKILL)
        server.restart()
        assert ask(url, "SELECT answer FROM kept") == "42"

        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        with pytest.raises(PostgresError, match="does not run"):
            _ = server.pid


def test_a_server_begins_as_a_copy_and_becomes_another_one_only_while_it_is_stopped(open_path: Path) -> None:
    with running_postgres(open_path / "first") as first:
        ask(first.url(), "SELECT 1")
        with psycopg.connect(first.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with running_postgres(copy_of=open_path / "first", temporary=open_path) as copy:
        assert ask(copy.url(), "SELECT answer FROM kept") == "42"
        with psycopg.connect(copy.url()) as connection:
            connection.execute("DROP TABLE kept")
        with pytest.raises(PostgresError, match="stop it"):
            copy.become_copy_of(open_path / "first")
        copy.stop()
        copy.become_copy_of(open_path / "first")
        copy.start()
        assert ask(copy.url(), "SELECT answer FROM kept") == "42"


def test_a_server_that_crashed_recovers_and_a_standby_is_promoted() -> None:
    with running_postgres() as server:
        server.crash()
        with pytest.raises(PostgresError, match="does not run"):
            _ = server.pid
        server.become_standby()
        server.start()
        assert ask(server.url(), "SELECT pg_is_in_recovery()") == "True"
        ask(server.url(), "SELECT pg_promote()")
        assert ask(server.url(), "SELECT pg_is_in_recovery()") == "False"


def test_two_servers_do_not_disturb_each_other() -> None:
    with running_postgres() as first:
        with running_postgres() as second:
            assert first.port != second.port
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(first.url(), password=second.environment()["PGPASSWORD"])
            folder = second.server_log.parent
        assert not folder.exists()
        assert processes_in(folder / "cluster") == []
        assert ask(first.url(), "SELECT 1") == "1"


@linux_only
def test_a_thread_may_not_start_it_because_the_server_would_end_with_the_thread() -> None:
    refused: list[PostgresError] = []

    def start() -> None:
        try:
            with running_postgres():
                pass
        except PostgresError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "from the main thread" in str(refused[0])

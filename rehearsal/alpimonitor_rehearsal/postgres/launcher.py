"""Starts a real PostgreSQL for a rehearsal: on loopback, with a random password, and only while we live."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from alpimonitor_rehearsal.postgres.account import Account, leashed, server_account
from alpimonitor_rehearsal.postgres.binaries import Binaries, PostgresError, find_binaries
from alpimonitor_rehearsal.postgres.binary_copy import reachable_binaries
from alpimonitor_rehearsal.postgres.cluster import SUPERUSER, prepared_cluster, server_environment
from alpimonitor_rehearsal.postgres.directory import (
    DataDirectory,
    copy_cluster,
    copy_data,
    held_directory,
    reclaim,
    throw_away_directory,
)
from alpimonitor_rehearsal.waiting import DeadlineExceeded, wait_until

log = logging.getLogger("alpimonitor_rehearsal.postgres")

HOST = "127.0.0.1"
READY_WITHIN = 120.0  # seconds; recovery after a kill is the slow case
STOPS_WITHIN = 20.0
PORT_FREE_WITHIN = 10.0
PORTS_TRIED = 10

# A throw-away server may lose everything with its machine, so it waits for no disk. Its shared memory stands
# in its data directory, and so vanishes with it when the server is killed.
THROW_AWAY_SETTINGS = (
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
    *("-c", "dynamic_shared_memory_type=mmap"),
)


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_postgres(
    data_dir: Path | None = None,
    *,
    durable: bool = False,
    binaries: Binaries | None = None,
    temporary: Path | None = None,
    choose_port: Callable[[], int] = free_port,
    copy_of: Path | None = None,
) -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for as long as the context is open.

    Without `data_dir` its data stand below `temporary` (by default the usual directory) and are removed at
    the end; with it, they stay, and the next call finds them again. `durable` keeps fsync on. `binaries`
    default to the first found. It begins as a copy of the data directory `copy_of`, whose server is stopped,
    where that is given. Call it from the main thread: the server dies with the thread that started it.
    Raises PostgresError.
    """
    account = server_account()
    usual = Path(tempfile.gettempdir())
    chosen = reachable_binaries(binaries or find_binaries(), account, usual)
    holding = (
        throw_away_directory(temporary or usual, account)
        if data_dir is None
        else held_directory(data_dir, account)
    )
    with holding as directory:
        if copy_of is not None:
            copy_data(DataDirectory(copy_of), directory)
        password = prepared_cluster(directory, chosen, account)
        server = PostgresServer(
            chosen, account, directory, password, durable=durable, choose_port=choose_port
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()


class PostgresServer:
    """One server: it runs from `start` to `stop`, always on its first port, so that its URLs stay true."""

    def __init__(
        self,
        binaries: Binaries,
        account: Account | None,
        directory: DataDirectory,
        password: str,
        *,
        durable: bool,
        choose_port: Callable[[], int],
    ) -> None:
        self._binaries = binaries
        self._account = account
        self._directory = directory
        self._password = password
        self._durable = durable
        self._choose_port = choose_port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.version} on {HOST}:{self._port} in {self._directory.root}>"

    @property
    def version(self) -> str:
        """As the server prints it: 18.6."""
        return self._binaries.version

    @property
    def description(self) -> str:
        """For people: which PostgreSQL, and where its programs come from."""
        return f"PostgreSQL {self.version} ({self._binaries.origin.value})"

    @property
    def binaries(self) -> Binaries:
        """Its programs, where the server's user can reach them."""
        return self._binaries

    @property
    def psql(self) -> Path:
        """The psql that belongs to the server, where every user can run it."""
        return self._binaries.program("psql")

    @property
    def pg_dump(self) -> Path:
        """The pg_dump that belongs to the server."""
        return self._binaries.program("pg_dump")

    @property
    def port(self) -> int:
        """The port on 127.0.0.1: it stays the same over stop and start."""
        if self._port is None:
            raise PostgresError("the server was never started, so it has no port yet")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises PostgresError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise PostgresError(f"{self!r} does not run")
        return self._process.pid

    @property
    def root(self) -> Path:
        """Its data directory, which another one may begin as a copy of while this one is stopped."""
        return self._directory.root

    @property
    def server_log(self) -> Path:
        """The file that the server logs to."""
        return self._directory.server_log

    def url(self, database: str = "postgres") -> str:
        """A libpq URL with the superuser's password: for settings and environments, never for logs."""
        password, path = quote(self._password, safe=""), quote(database, safe="")
        return f"postgresql://{SUPERUSER}:{password}@{HOST}:{self.port}/{path}"

    def environment(self, database: str = "postgres") -> dict[str, str]:
        """What psql needs in its environment: an argument list would show everyone the password."""
        return {
            "PGHOST": HOST,
            "PGPORT": str(self.port),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": self._password,
            "PGDATABASE": database,
        }

    def start(self) -> None:
        """Start the server, unless it runs, and return when it accepts connections. Raises PostgresError."""
        if self._process is not None and self._process.poll() is None:
            return
        if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
            raise PostgresError(
                "start PostgreSQL from the main thread: it would end with the thread that started it"
            )
        started = time.monotonic()
        reclaim(self._directory)
        for _ in range(PORTS_TRIED):
            port = self._port or self._choose_port()
            failure = self._launch(port)
            if failure is None:
                self._port = port
                took = time.monotonic() - started
                log.info("%s is ready on %s:%d after %.2f s", self.description, HOST, port, took)
                return
            if "Address already in use" not in failure:
                raise PostgresError(
                    f"{self.description} did not start in {self._directory.root}. Its last words: {failure}"
                )
            if self._port is not None:
                self._wait_for_own_port(port)
        raise PostgresError(
            f"PostgreSQL found its port taken {PORTS_TRIED} times, the last was {port}: another program on "
            "this machine takes ports as fast as they become free. End that program, then try again."
        )

    def stop(self) -> None:
        """Stop the server, unless it is stopped, gently at first, and return when it is gone."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        # Fast, immediate, and at last without asking.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOPS_WITHIN)
                log.info("PostgreSQL on %s:%s stopped", HOST, self._port)
                return
        raise PostgresError(f"process {process.pid}, the server in {self._directory.root}, cannot be ended")

    def crash(self) -> None:
        """Kill the server without a word, as the kernel does when memory runs out. `start` recovers."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def become_copy_of(self, root: Path) -> None:
        """Let the cluster of the data directory `root` take the place of its own; both servers are stopped.

        The superuser's password stays the one that this server had. Raises PostgresError.
        """
        if self._process is not None and self._process.poll() is None:
            raise PostgresError(f"{self!r} runs: stop it before its data are replaced")
        copy_cluster(DataDirectory(root), self._directory)

    def become_standby(self) -> None:
        """From its next start on it is in recovery, until it is promoted. It follows nobody."""
        ask = self._directory.standby_file
        ask.touch(mode=0o600)
        if self._account is not None:
            os.chown(ask, self._account.uid, self._account.gid)

    def restart(self) -> None:
        """Stop the server, if it runs, and start it on the same port."""
        self.stop()
        self.start()

    def _launch(self, port: int) -> str | None:
        """Start the program; return None once it is ready, or the end of its log if it gave up."""
        command = [
            str(self._binaries.program("postgres")),
            *("-D", str(self._directory.cluster)),
            *("-c", f"listen_addresses={HOST}", "-c", f"port={port}", "-c", "unix_socket_directories="),
            *("-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "logging_collector=off"),
            *(() if self._durable else THROW_AWAY_SETTINGS),
        ]
        descriptor = os.open(self.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as output:
            begins = output.tell()
            self._process = subprocess.Popen(
                # A clean shutdown when the parent dies; what is thrown away need not be clean.
                leashed(command, self._account, signal.SIGINT if self._durable else signal.SIGQUIT),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=server_environment(),
                # Ctrl-C in a terminal reaches the whole group: the server is to stop when its parent says so.
                start_new_session=True,
            )
        process = self._process
        try:
            wait_until(
                "PostgreSQL's start",
                lambda: process.poll() is not None or self._is_ready(process.pid),
                deadline=READY_WITHIN,
            )
        except DeadlineExceeded as error:
            raise PostgresError(
                f"{self.description} was not ready within {READY_WITHIN:g} s. Its last words: "
                f"{self._log_since(begins)}"
            ) from error
        return None if process.poll() is None else self._log_since(begins)

    def _is_ready(self, pid: int) -> bool:
        """Read what pg_ctl reads: the status line of postmaster.pid, if the file is this server's."""
        try:
            lines = self._directory.postmaster_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")

    def _log_since(self, offset: int) -> str:
        with self.server_log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode("utf-8", "replace").splitlines()
        return " | ".join(lines[-8:]) or "(none)"

    def _wait_for_own_port(self, port: int) -> None:
        def is_free() -> bool:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    return False
                return True

        try:
            wait_until(f"port {port} becoming free", is_free, deadline=PORT_FREE_WITHIN)
        except DeadlineExceeded as error:
            raise PostgresError(
                f"port {port} of this server was taken by another program while it was stopped: end that "
                "program, or start a new server."
            ) from error

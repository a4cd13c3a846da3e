"""A real PgBouncer in transaction mode between a test and its server: two connections, whoever asks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import pytest

from alpimonitor_rehearsal.postgres.account import Account, leashed, server_account
from alpimonitor_rehearsal.postgres.directory import throw_away_directory
from alpimonitor_rehearsal.postgres.launcher import free_port
from alpimonitor_rehearsal.waiting import wait_until

HOST = "127.0.0.1"
SERVER_CONNECTIONS = 2
DEADLINE = 30.0
PORTS_TRIED = 5

CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = {listen}
listen_port = {own}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = {admin}
pool_mode = transaction
default_pool_size = {size}
server_login_retry = 1
"""


class Pooler:
    """One PgBouncer, always on its first port; `console` asks it for what its SHOW commands tell."""

    def __init__(
        self, program: str, folder: Path, account: Account | None, server: str, url: str, *, lenient: bool
    ) -> None:
        """`server` is where it connects to, host:port; `url` has the superuser's name and password."""
        self._program = program
        self._lenient = lenient
        self._folder = folder
        self._account = account
        self._server = server
        self._login = urlsplit(url)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def url(self, direct: str) -> str:
        """The same database, through the pooler."""
        parts = urlsplit(direct)
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{HOST}:{self.port}"))

    def console(self, command: str) -> list[tuple[Any, ...]]:
        """Its answer to an administrator's command, such as RECONNECT or SHOW SERVERS."""
        url = self.url(urlunsplit(self._login._replace(path="/pgbouncer")))
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            cursor = connection.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        for _ in range(PORTS_TRIED):
            port = self.port or free_port()
            if self._launch(port):
                self.port = port
                return
        raise AssertionError(f"PgBouncer does not start: {self._log.read_text()}")

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _launch(self, port: int) -> bool:
        login = [unquote(text or "") for text in (self._login.username, self._login.password)]
        quoted = ['"' + text.replace('"', '""') + '"' for text in login]
        users = self._write("users", " ".join(quoted) + "\n")
        host, _, server_port = self._server.rpartition(":")
        told = CONFIGURATION.format(
            host=host, port=server_port, listen=HOST, own=port, users=users, admin=login[0],
            size=SERVER_CONNECTIONS,
        )  # fmt: skip
        if self._lenient:
            told += "ignore_startup_parameters = options\n"
        command = [self._program, str(self._write("pgbouncer.ini", told))]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                leashed(command, self._account, signal.SIGKILL),
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._process, self.port = process, port

        def answers_or_ended() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                return bool(self.console("SHOW VERSION"))
            return process.poll() is not None

        wait_until("PgBouncer's first answer", answers_or_ended, deadline=DEADLINE)
        return process.poll() is None

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o600)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)
        return path


@contextlib.contextmanager
def transaction_pooler(direct: str, *, server: str | None = None, lenient: bool = False) -> Iterator[Pooler]:
    """A pooler in front of the server of that URL, or of the address `server` that leads there.

    A lenient one takes clients that ask for session settings, which it then leaves out. Skips the test where
    there is no PgBouncer.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("no PgBouncer: apt-get install --no-install-recommends pgbouncer, and stop its service")
    account = server_account()  # it does not run as root either
    with throw_away_directory(Path(tempfile.gettempdir()), account) as directory:
        netloc = urlsplit(direct).netloc.rpartition("@")[2]
        pooler = Pooler(program, directory.root, account, server or netloc, direct, lenient=lenient)
        try:
            pooler.start()
            yield pooler
        finally:
            with contextlib.suppress(AssertionError):
                pooler.kill()

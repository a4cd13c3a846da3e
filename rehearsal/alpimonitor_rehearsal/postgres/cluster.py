"""Making a cluster with initdb, or opening the one that is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from alpimonitor_rehearsal.postgres.account import Account, leashed
from alpimonitor_rehearsal.postgres.binaries import Binaries, PostgresError, major_of
from alpimonitor_rehearsal.postgres.directory import DataDirectory, write_password

SUPERUSER = "postgres"


def server_environment() -> dict[str, str]:
    """Nothing of ours: a PGDATA or a password in our environment is not the server's business."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        if name in os.environ
    }
    # Messages in English, whatever the machine speaks: one of them is read here.
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def prepared_cluster(directory: DataDirectory, binaries: Binaries, account: Account | None) -> str:
    """Make the cluster unless it is there, and return its password. Raises PostgresError."""
    version_file = directory.cluster / "PG_VERSION"
    if version_file.exists():
        made_by = version_file.read_text(encoding="ascii").strip()
        if major_of(made_by) != binaries.major:
            raise PostgresError(
                f"{directory.root} was made by PostgreSQL {made_by}, but {binaries.folder} holds "
                f"{binaries.version}: set PG_BINDIR to a PostgreSQL {made_by}, or choose another data "
                "directory."
            )
        try:
            return directory.password_file.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise PostgresError(
                f"{directory.root} holds a cluster but no file password, so nobody can log in: restore the "
                "file, or choose another data directory."
            ) from error
    return _new_cluster(directory, binaries, account)


def _new_cluster(directory: DataDirectory, binaries: Binaries, account: Account | None) -> str:
    shutil.rmtree(directory.unfinished, ignore_errors=True)
    directory.unfinished.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory.unfinished, account.uid, account.gid)
    password = write_password(directory, account)
    command = [
        str(binaries.program("initdb")),
        *("--pgdata", str(directory.unfinished)),
        *("--username", SUPERUSER, "--auth", "scram-sha-256", "--pwfile", str(directory.password_file)),
        # The same order of names on every machine.
        *("--encoding", "UTF8", "--no-locale", "--no-instructions"),
        # Nothing is in it yet: a crash of the machine now means making it again.
        "--no-sync",
    ]
    done = subprocess.run(
        leashed(command, account, signal.SIGKILL),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=server_environment(),
        check=False,
    )
    if done.returncode != 0:
        raise PostgresError(
            f"initdb of PostgreSQL {binaries.version} failed in {directory.root} (exit {done.returncode}): "
            f"{(done.stderr or done.stdout).strip()[-600:]}"
        )
    directory.unfinished.rename(directory.cluster)
    return password

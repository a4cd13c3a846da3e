"""A data directory on disk: who holds it, its password, and taking it back from a server that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alpimonitor_rehearsal.postgres.account import Account, can_pass
from alpimonitor_rehearsal.postgres.binaries import PostgresError
from alpimonitor_rehearsal.waiting import DeadlineExceeded, wait_until

log = logging.getLogger("alpimonitor_rehearsal.postgres")

THROW_AWAY = "alpimonitor-postgres-"
LEFTOVER_STOPS_WITHIN = 15.0  # seconds for a clean shutdown of a server that lost its parent


@dataclass(frozen=True)
class DataDirectory:
    """A folder of ours around PostgreSQL's own `cluster`, with the password, the log and the lock."""

    root: Path

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def unfinished(self) -> Path:
        """Where initdb works: it becomes `cluster` when done, so that a half-made one is never started."""
        return self.root / "cluster.new"

    @property
    def password_file(self) -> Path:
        return self.root / "password"

    @property
    def server_log(self) -> Path:
        return self.root / "server.log"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def postmaster_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    @property
    def standby_file(self) -> Path:
        return self.cluster / "standby.signal"


@contextlib.contextmanager
def held_directory(root: Path, account: Account | None) -> Iterator[DataDirectory]:
    """Hold the data directory at `root`, made if absent, and leave it there. Raises PostgresError."""
    root = root.absolute()
    if not root.exists():
        # Whoever runs the server has to pass through; what stands inside is closed to all others.
        root.mkdir(parents=True)
        root.chmod(0o700 if account is None else 0o711)
    if account is not None and not can_pass(account, root):
        raise PostgresError(
            f"the user {account.name}, who runs PostgreSQL because root may not, cannot reach {root}: choose "
            "a data directory that is not below a private folder, or run this as an ordinary user."
        )
    directory = DataDirectory(root)
    with _locked(directory):
        reclaim(directory)
        yield directory


@contextlib.contextmanager
def throw_away_directory(temporary: Path, account: Account | None) -> Iterator[DataDirectory]:
    """Hold a new data directory below `temporary`, and remove it at the end.

    A process killed by -9 removes nothing, so each one removes what such processes left: directories of the
    same user whose lock nobody holds. A directory gets the name that is looked for only once it is locked.
    """
    _remove_abandoned(temporary)
    name = secrets.token_hex(6)
    staging, root = temporary / f"alpimonitor-making-{name}", temporary / f"{THROW_AWAY}{name}"
    try:
        # In here, so that an interrupt at any moment finds it to be removed.
        staging.mkdir(mode=0o700)
        if account is not None:
            staging.chmod(0o711)
        with _locked(DataDirectory(staging)):
            staging.rename(root)
            try:
                yield DataDirectory(root)
            finally:
                shutil.rmtree(root, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def copy_data(source: DataDirectory, target: DataDirectory) -> None:
    """Cluster and password of `source`, whose server is stopped, with their owner. Raises PostgresError."""
    copy_cluster(source, target)
    _copy(source.password_file, target.password_file)


def copy_cluster(source: DataDirectory, target: DataDirectory) -> None:
    """The cluster of `source`, whose server is stopped, in place of `target`'s. Raises PostgresError."""
    shutil.rmtree(target.cluster, ignore_errors=True)
    _copy(source.cluster, target.cluster)


def _copy(source: Path, target: Path) -> None:
    # shutil keeps no owner, and PostgreSQL refuses a cluster that is not its user's.
    done = subprocess.run(["cp", "-Rp", source, target], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PostgresError(f"{source} cannot be copied to {target}: {done.stderr.strip()[:300]}")


def write_password(directory: DataDirectory, account: Account | None) -> str:
    """Choose a password and keep it in a file that only the server's user and root can read."""
    password = secrets.token_urlsafe(24)
    directory.password_file.unlink(missing_ok=True)
    descriptor = os.open(directory.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(password + "\n")
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
    return password


def reclaim(directory: DataDirectory) -> None:
    """Make sure that no server of an earlier process runs in `directory`, and say so if one was left behind.

    Called while the directory is locked, so whatever still runs there has lost its parent. Raises
    PostgresError.
    """
    if not directory.postmaster_file.exists():
        return
    leftover = processes_in(directory.cluster)
    if leftover:
        log.info("%s: a server without a parent still runs there (%s); stopping it", directory.root, leftover)
        _stop(directory, leftover)
    log.info(
        "%s: reclaimed; its last server was killed, and PostgreSQL recovers what it had committed",
        directory.root,
    )
    if sys.platform == "linux" and _first_line_names_a_process(directory):
        # Some other program has that number now, and PostgreSQL would take it for its server. Otherwise the
        # file stays: PostgreSQL clears up the shared memory it names.
        directory.postmaster_file.unlink(missing_ok=True)


def processes_in(cluster: Path) -> list[int]:
    """Return the ids of the server processes that work in `cluster`, as far as this user may see them."""
    if sys.platform == "linux":
        place = str(cluster.resolve())
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _works_in(entry, place)
        ]
    listed = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, timeout=30, check=False
    )
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    return [int(row[0]) for row in rows if len(row) == 2 and f"-D {cluster} " in f"{row[1]} "]


def _works_in(entry: Path, place: str) -> bool:
    """Say whether it is a PostgreSQL process there; a person's shell may stand in the same folder."""
    try:
        name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
        return name == "postgres" and str((entry / "cwd").readlink()) == place
    except OSError:
        return False  # gone meanwhile, or another user's


def _stop(directory: DataDirectory, leftover: list[int]) -> None:
    def gone() -> bool:
        return not processes_in(directory.cluster)

    try:
        # Fast shutdown. Without a postmaster to ask, its children are about to notice and leave.
        _signal(_postmaster_among(directory, leftover), signal.SIGINT)
        wait_until(f"the shutdown of {leftover}", gone, deadline=LEFTOVER_STOPS_WITHIN)
    except DeadlineExceeded:
        _signal(processes_in(directory.cluster), signal.SIGKILL)
        try:
            wait_until(f"the end of {leftover}", gone, deadline=LEFTOVER_STOPS_WITHIN)
        except DeadlineExceeded as error:
            raise PostgresError(
                f"{directory.root} is still used by processes {processes_in(directory.cluster)}, which do "
                "not end: end them, or choose another data directory."
            ) from error


def _postmaster_among(directory: DataDirectory, leftover: list[int]) -> list[int]:
    first = _first_line(directory)
    return [pid for pid in leftover if str(pid) == first]


def _first_line_names_a_process(directory: DataDirectory) -> bool:
    first = _first_line(directory)
    return first.isdigit() and Path("/proc", first).exists()


def _first_line(directory: DataDirectory) -> str:
    """The process id in postmaster.pid, or nothing once a shutdown has removed the file."""
    try:
        return directory.postmaster_file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        return ""


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def _locked(directory: DataDirectory) -> Iterator[None]:
    """Hold the directory's lock, which the kernel drops with this process however it ends."""
    try:
        descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise PostgresError(
            f"{directory.root} belongs to another user (number {directory.root.stat().st_uid}): run this as "
            "that user, or choose another data directory."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise PostgresError(
                f"{directory.root} is in use by process {holder or '(unknown)'}: stop it, or choose another "
                "data directory."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(temporary: Path) -> None:
    for root in temporary.glob(f"{THROW_AWAY}*"):
        directory = DataDirectory(root)
        try:
            if root.is_symlink() or root.stat().st_uid != os.geteuid():
                continue
            with _locked(directory):
                reclaim(directory)
                shutil.rmtree(root, ignore_errors=True)
                log.info("%s: removed; the process that made it was killed", root)
        except (PostgresError, FileNotFoundError):
            continue  # in use, or removed by another one just now

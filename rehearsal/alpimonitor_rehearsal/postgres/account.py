"""Who runs the server, and what that user can reach: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from alpimonitor_rehearsal.postgres.binaries import PostgresError

LEASH = Path(__file__).with_name("leash.py")
UNPRIVILEGED_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The user that runs PostgreSQL instead of root."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account to change to: None unless we are root, else `postgres` or, without one, `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody: "
        "run this as an ordinary user."
    )


def can_pass(account: Account, folder: Path) -> bool:
    """Say whether `account` can get into `folder`, by the permission bits of it and of all above it."""
    resolved = folder.resolve()
    return all(_allows(account, each, stat.S_IXOTH) for each in (resolved, *resolved.parents))


def can_run(account: Account, program: Path) -> bool:
    """Say whether `account` can get to `program` and execute it."""
    resolved = program.resolve()
    return can_pass(account, resolved.parent) and _allows(account, resolved, stat.S_IROTH | stat.S_IXOTH)


def _allows(account: Account, path: Path, for_others: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_uid == account.uid:
        wanted = for_others << 6
    elif status.st_gid == account.gid:
        wanted = for_others << 3
    else:
        wanted = for_others
    return status.st_mode & wanted == wanted


def leashed(command: list[str], account: Account | None, on_death: signal.Signals) -> list[str]:
    """Return the argument list that runs `command` as `account`, and sends it `on_death` when we die.

    On Linux the kernel watches the thread that starts it: start it from the main thread. Elsewhere nothing
    watches, and the next start reclaims.
    """
    uid, gid = ("-", "-") if account is None else (str(account.uid), str(account.gid))
    return [
        sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(on_death)), uid, gid, *command,
    ]  # fmt: skip

"""psql as a process of its own, as an operator runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


class PsqlFailed(RuntimeError):
    """psql did not succeed. The message says how it ended and what it said."""


def run_psql(psql: Path, script: str, settings: Mapping[str, str], *, together: bool = True) -> str:
    """Run `script` in an environment of `settings` alone; what psql printed.

    `together`: in one transaction. Who it is and where it goes, libpq's variables say. Raises PsqlFailed.
    """
    command = [str(psql), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    done = subprocess.run(
        [*command, *(["--single-transaction"] if together else []), "--file=-"],
        input=script,
        capture_output=True,
        text=True,
        env=dict(settings),
        check=False,
    )
    if done.returncode != 0:
        raise PsqlFailed(f"psql was expected to exit 0, it exited {done.returncode}: {done.stderr.strip()}")
    return done.stdout

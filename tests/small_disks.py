"""Disks that are full when a test wants them to be: a real small file system, or what comes closest to it."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs mounted at `folder`."""

    folder: Path

    def fill(self, pid: int | None = None) -> None:
        """Leave not a byte. `pid` is for the disk that only one process knows."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def make_room(self, pid: int | None = None) -> None:
        (self.folder / "ballast").unlink()

    def remount(self, options: str) -> None:
        """Change it to `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)


@dataclass(frozen=True)
class SizeLimit:
    """Where nothing may be mounted: to one process no file in `folder` may grow any more."""

    folder: Path

    def fill(self, pid: int) -> None:
        largest = max(file.stat().st_size for file in self.folder.iterdir())
        self._limit(pid, largest)

    def make_room(self, pid: int) -> None:
        self._limit(pid, resource.RLIM_INFINITY)

    def _limit(self, pid: int, size: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@contextlib.contextmanager
def mounted(folder: Path, *, kilobytes: int) -> Iterator[SmallDisk]:
    """A small disk of its own at `folder`. Skips the test where this user may not mount."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("a real full disk: mounting a tmpfs takes root on Linux")
    folder.mkdir(mode=0o700)
    options = f"size={kilobytes}k,mode=0700"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "small-disk", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode:
        folder.rmdir()
        why = mount.stderr.splitlines()[0].rpartition(": ")[2]
        pytest.skip(f"a real full disk: no tmpfs can be mounted here ({why})")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def fillable(folder: Path, *, kilobytes: int) -> Iterator[SmallDisk | SizeLimit]:
    """A small disk, else a limit on what one process may write; a test is skipped if there is neither."""
    with contextlib.ExitStack() as stack:
        try:
            disk: SmallDisk | SizeLimit = stack.enter_context(mounted(folder, kilobytes=kilobytes))
        except pytest.skip.Exception:
            if not hasattr(resource, "prlimit"):
                raise
            folder.mkdir(mode=0o700, exist_ok=True)
            disk = SizeLimit(folder)
        yield disk

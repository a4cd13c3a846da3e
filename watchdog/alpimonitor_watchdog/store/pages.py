"""A SQLite file with its write-ahead log, as bytes: read without touching either, whatever became of them.

Layouts: https://www.sqlite.org/fileformat2.html, sections 1.3 (header) and 4 (log).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

_MAGIC = b"SQLite format 3\x00"
_FRACTIONS = b"\x40\x20\x20"  # the same in every header: what a damaged one says of its version is no version
_HEADER = 100  # bytes at the beginning of the file
_LOG_HEADER = 32
_FRAME_HEADER = 24
_LOG_MAGIC = 0x377F0682  # checksums over little-endian words; one more: big-endian


@dataclass(frozen=True)
class Log:
    """What the write-ahead log adds to the file."""

    page_size: int = 0
    pages: dict[int, bytes] = field(default_factory=dict)  # as the last readable commit left them
    size: int = 0  # of the database in pages, after that commit; 0: the log has none
    cut: bool = False  # commits follow that cannot be read any more


@dataclass(frozen=True)
class Peek:
    """What has to be known of a store before SQLite may open it, and change it."""

    version: int  # its user_version; 0 when there is none to be read
    log_cut: bool  # SQLite would leave out commits, and say nothing
    log_alone: bool  # there are commits in the log, and no file that they belong to


def peek(path: Path) -> Peek:
    """Look at the store `path`, which may be absent. Raises OSError."""
    log = _log(_bytes(_log_of(path)))
    first = _bytes(path, _HEADER)
    header = log.pages.get(1, first)
    sound = len(header) >= _HEADER and header.startswith(_MAGIC) and header[21:24] == _FRACTIONS
    (version,) = struct.unpack(">i", header[60:64]) if sound else (0,)
    return Peek(max(0, version), log.cut, log_alone=not first and bool(log.pages))


def image(path: Path) -> tuple[bytes, bool]:
    """The database as its last readable commit left it, and whether commits after that are lost.

    Fit for `sqlite3.Connection.deserialize`, as far as the damage allows. Raises OSError.
    """
    log = _log(_bytes(_log_of(path)))
    body = bytearray(_bytes(path))
    (declared,) = struct.unpack(">H", body[16:18]) if len(body) >= _HEADER else (0,)
    page_size = log.page_size if log.pages else (65536 if declared == 1 else declared)
    if log.pages:
        body = body[: log.size * page_size].ljust(log.size * page_size, b"\0")
        for number, page in log.pages.items():
            if number <= log.size:
                body[(number - 1) * page_size : number * page_size] = page
    if page_size and body.startswith(_MAGIC):
        pages = -(-len(body) // page_size)
        body = body.ljust(pages * page_size, b"\0")
        body[18:20] = b"\1\1"  # no log belongs to it: a database in memory cannot have one
        body[28:32] = struct.pack(">I", pages)  # a file that was cut short has fewer than it says
        body[92:96] = body[24:28]
    return bytes(body), log.cut


def _log(body: bytes) -> Log:
    """The frames up to the last commit whose checksums hold; what follows of an older log is left out."""
    if len(body) <= _LOG_HEADER:
        return Log()
    magic, _, page_size, _, salt_one, salt_two, *sums = struct.unpack(">8I", body[:_LOG_HEADER])
    order = ">" if magic & 1 else "<"
    found = _checksum(order, body[:24], (0, 0))
    if magic & ~1 != _LOG_MAGIC or found != tuple(sums) or not 512 <= page_size <= 65536:
        return Log(cut=True)  # its header reaches the disk before its first frame does
    pages: dict[int, bytes] = {}
    uncommitted: dict[int, bytes] = {}
    size, sound, cut = 0, True, False
    for start in range(_LOG_HEADER, len(body) - _FRAME_HEADER - page_size + 1, _FRAME_HEADER + page_size):
        head, page = body[start : start + _FRAME_HEADER], body[start + _FRAME_HEADER :][:page_size]
        number, commit, one, two, *sums = struct.unpack(">6I", head)
        if (one, two) != (salt_one, salt_two):
            sound = False
            continue
        if sound:
            found = _checksum(order, page, _checksum(order, head[:8], found))
            sound = found == tuple(sums)
        if not sound:
            cut = cut or commit != 0
            continue
        uncommitted[number] = page
        if commit:
            pages |= uncommitted
            uncommitted, size = {}, commit
    return Log(page_size, pages, size, cut)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _bytes(path: Path, at_most: int = -1) -> bytes:
    """The first bytes of a file; none when it is absent."""
    try:
        with path.open("rb") as file:
            return file.read(at_most)
    except FileNotFoundError:
        return b""

"""How a store is opened, whatever has become of its file.

    sound                           it is used
    older                           copied, upgraded in place, used
    damaged                         moved aside; a new one is begun with what can be read of it
    newer, or takes no write        left as it is; the sidecar goes on in memory, and records nothing

A move aside may be cut short at any point: the damaged file waits under its name with ".salvaging" until the
new store holds what was read of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from . import directory, heals, pages
from .connection import SCRIPTS, Connection
from .errors import Damaged, StoreError, StoreTooNew
from .outbox import Outbox
from .salvage import Salvaged, put, salvage, told

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A connection that can be used. `trouble`: why nothing that it takes is kept; "" when it is."""

    connection: Connection
    trouble: str = ""
    warnings: tuple[str, ...] = ()


def opened(path: Path, now: datetime) -> Opened:
    """Open the store `path`, or one in memory in its place. Raises nothing that the disk is to blame for."""
    try:
        return _on_disk(path, now)
    except StoreTooNew as error:
        return in_memory(str(error), None, now)
    except StoreError as error:
        return in_memory(str(error), path, now)
    except (Damaged, OSError) as error:
        return in_memory(f"The store {path} cannot be used: {error}. {directory.REMEDY}", path, now)


def in_memory(trouble: str, path: Path | None, now: datetime) -> Opened:
    """A store that ends with the process, and begins with what can be read of `path`."""
    connection = Connection(Path(":memory:"))
    connection.prepare()
    sentences = [
        trouble,
        "Until that is done and the sidecar restarted, it watches and notifies from memory, and heals "
        "nothing.",
    ]
    if path is not None:
        found = _newest(path, now)
        found = replace(found, evidence=found.evidence.end_alone())  # the rest stays where it is
        with connection.transaction() as sqlite:
            put(sqlite, found, now)
        if found.queued:
            sentences.append("What the store had not delivered is sent now, and perhaps again after that.")
    return Opened(connection, trouble, (" ".join(sentences),))


def _on_disk(path: Path, now: datetime) -> Opened:
    """Raises StoreError, Damaged, OSError."""
    unfinished = _unfinished(path)
    if unfinished.exists() and not path.exists():
        directory.move(path, unfinished)  # its companions, if the move was cut short
    try:
        connection = _sound(path, now)
    except Damaged as damage:
        log.error("The store %s is damaged: %s", path, damage, extra={"action": "store_damaged"})
        directory.create_private(path)  # where only its log is left
        directory.move(path, _aside(path, now) if unfinished.exists() else unfinished)
        connection = _sound(path, now)
    if not unfinished.exists():
        return Opened(connection)
    try:
        found = salvage(unfinished, now)
        with connection.transaction() as sqlite:
            if sqlite.execute("SELECT 1 FROM salvage").fetchone() is None:
                put(sqlite, found, now)
        aside = _aside(path, now)
        directory.move(unfinished, aside)
    except BaseException:
        connection.close()
        raise
    return Opened(
        connection,
        warnings=(f"The store was damaged: it was moved to {aside} and a new one begun. {told(found)}",),
    )


def _sound(path: Path, now: datetime) -> Connection:
    """The store `path`, created or upgraded, with everything in it that is needed readable.

    Raises Damaged, StoreTooNew, StoreError, OSError.
    """
    seen = pages.peek(path)
    if seen.version > len(SCRIPTS):
        raise StoreTooNew(
            f"The store {path} has version {seen.version} and was written by a newer sidecar; this one knows "
            f"versions up to {len(SCRIPTS)}. It is left as it is, with what it has not delivered. Run the "
            "newer sidecar, or give this one a WATCHDOG_STATE_DIR of its own."
        )
    if seen.log_alone:
        raise Damaged("it is gone, and its log is not")
    if seen.log_cut:
        raise Damaged("a part of its log cannot be read")
    if seen.version == 0:
        if path.exists():
            raise Damaged("it holds no store")
        _create(path)
    connection = _prepared(path)
    try:
        Outbox(connection)
        heals.recent(connection, now)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """A new store, whole before it has its name: one without content was damaged. Raises StoreError."""
    new = path.with_name(f"{path.name}.new")
    directory.discard(new)
    directory.create_private(new)
    _prepared(new).close()  # which leaves nothing in a log
    directory.move(new, path)


def _prepared(path: Path) -> Connection:
    directory.create_private(path)
    connection = Connection(path)
    try:
        connection.prepare()
    except BaseException:
        connection.close()
        raise
    return connection


def _newest(path: Path, now: datetime) -> Salvaged:
    """What can be read where a store cannot be written: of the damaged one whose salvage never ended, too."""
    unfinished = _unfinished(path)
    try:
        source = unfinished if unfinished.exists() else path
    except OSError:
        source = path
    return salvage(source, now)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaging")


def _aside(path: Path, now: datetime) -> Path:
    """A name that is free."""
    aside = path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}+")
    return aside

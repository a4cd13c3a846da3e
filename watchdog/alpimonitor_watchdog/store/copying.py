"""What of a look at the database is evidence: recorded events, and what tells one kind of loss from another.

Pure. A healthy look is none; what changed is kept with what it was before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ..core.evidence import Record
from ..core.fingerprint import Fingerprint
from ..core.seen import DatabaseSeen
from ..core.verdict import Verdict
from .chain import EvidenceKind
from .evidence import Item
from .timeline import stamp

FINGERPRINT_EVERY = timedelta(minutes=1)  # while an incident is open
ACTIVITY_EVERY = timedelta(seconds=10)  # while nothing new is recorded
UNREAD_LOOKS = 3  # in a row that could not ask the recorder: from then on it is a gap


class Recording(StrEnum):
    """Whether destructive statements are recorded and read."""

    ARMED = "armed"
    UNARMED = "unarmed"
    UNREADABLE = "unreadable"
    ABSENT = "absent"
    UNREAD = "unread"  # the database answers, and what its recorder recorded cannot be read in time
    UNSEEN = "unseen"  # the database does not answer


_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_SAYS = {
    Recording.ARMED: "every destructive statement on the guarded tables is recorded",
    Recording.UNARMED: "not every destructive statement is recorded",
    Recording.UNREADABLE: "the sidecar's role may not read the recorded events",
    Recording.ABSENT: "there is no flight recorder: no destructive statement is recorded",
    Recording.UNREAD: "the recorder's events could not be read",
    Recording.UNSEEN: "the database could not be seen",
}


@dataclass(frozen=True)
class Copied:
    """What is remembered from one look to the next. A new process begins with the state's fingerprint."""

    newest: Fingerprint | None = None  # kept or not
    fingerprint: Fingerprint | None = None  # the last that was kept
    fingerprint_at: datetime | None = None
    backends: frozenset[tuple[int, datetime | None]] = frozenset()  # in the last activity that was kept
    activity_at: datetime | None = None
    recording: Recording | None = None
    recording_at: datetime | None = None  # when it was last seen so
    arming: str = ""
    unread: int = 0  # looks in a row that saw the database and could not ask its recorder
    unread_since: datetime | None = None  # when it was last asked before them


def items_of(
    database: DatabaseSeen, before: Copied, *, incident: str | None, at: datetime
) -> tuple[list[Item], Copied]:
    """What to keep of a look at `at`, the oldest first, and what to remember for the next one.

    `incident`: the one that is open. Of a database that cannot be seen only that is kept, and only then.
    """
    items: list[Item] = []
    after = before

    def add(kind: EvidenceKind, body: dict[str, Any]) -> None:
        items.append(Item(kind, incident, at, body))

    recording = _recording(database)
    if recording is Recording.UNSEEN and incident is None:
        return [], before
    if recording is None:
        # What is recorded meanwhile was last known to be read at the look before.
        since = before.unread_since or before.recording_at or at
        before = replace(before, unread=before.unread + 1, unread_since=since)
        after = before
        if before.unread >= UNREAD_LOOKS:
            recording = Recording.UNREAD
    elif recording is not Recording.UNSEEN:
        after = replace(before, unread=0, unread_since=None)
    if recording is not None:
        arming = database.recorder.arming if database.recorder else before.arming
        if gap := _gap(database, before, recording, arming, at):
            add(EvidenceKind.GAP, gap)
        after = replace(after, recording=recording, recording_at=at, arming=arming)
    if recording is Recording.UNSEEN:
        return items, after

    events = database.recorder.events if database.recorder else ()
    prints = list(_fingerprints(database.fingerprint, before, at, often=incident is not None or bool(events)))
    for fingerprint in prints[:-1]:
        add(EvidenceKind.FINGERPRINT, asdict(fingerprint))
    for event in events:
        add(EvidenceKind.EVENT, asdict(event))
    for fingerprint in prints[-1:]:
        add(EvidenceKind.FINGERPRINT, asdict(fingerprint))
        after = replace(after, fingerprint=fingerprint, fingerprint_at=at)
    after = replace(after, newest=database.fingerprint or before.newest)
    backends = frozenset((each.pid, each.backend_start) for each in database.activity)
    if database.activity and (
        events or (backends != before.backends and _passed(ACTIVITY_EVERY, before.activity_at, at))
    ):
        add(EvidenceKind.ACTIVITY, {"backends": [asdict(each) for each in database.activity]})
        after = replace(after, backends=backends, activity_at=at)
    for record in database.records:
        add(EvidenceKind.RECORD, {"name": record.name, "row": _row(record)})
    return items, after


def verdict_item(verdict: Verdict, *, incident: str | None, at: datetime) -> Item:
    """What was concluded, each time it is another conclusion."""
    return Item(EvidenceKind.VERDICT, incident, at, asdict(verdict))


def _recording(database: DatabaseSeen) -> Recording | None:
    """None: it could not be asked in this look."""
    recorder = database.recorder
    if database.unseen is not None:
        return Recording.UNSEEN
    if recorder is None:
        return None
    if not recorder.installed:
        return Recording.ABSENT
    if not recorder.readable:
        return Recording.UNREADABLE
    return Recording.ARMED if recorder.armed else Recording.UNARMED


def _gap(
    database: DatabaseSeen, before: Copied, recording: Recording, arming: str, at: datetime
) -> dict[str, Any] | None:
    """What changed in what is recorded; None when it is as it was, or armed at the first look."""
    says = f"{stamp(at)}: {_SAYS[recording]}."
    since = before.recording_at
    if recording is before.recording is Recording.UNREAD:
        return None
    if recording is Recording.UNREAD and before.unread_since is not None:
        since = before.unread_since
        says = f"{stamp(at)}: {_SAYS[recording]} since {stamp(since)}, while the database answered."
    elif before.recording is Recording.UNREAD and before.unread_since is not None:
        since = before.unread_since
        says += f" They can be read again: {_SAYS[before.recording]} since {stamp(since)}."
        if before.arming and arming != before.arming:
            says += " Its triggers were made, dropped, disabled or enabled meanwhile."
    elif before.recording is None or before.recording_at is None:
        if recording is Recording.ARMED:
            return None
    elif recording is not before.recording:
        says += f" When it was last seen before, at {stamp(before.recording_at)}, {_SAYS[before.recording]}."
    elif arming != before.arming:
        says += (
            f" Since {stamp(before.recording_at)} its triggers were made, dropped, disabled or enabled: what "
            "happened in between may not be recorded."
        )
    else:
        return None
    return {
        "cause": "recording",
        "recording": recording,
        "before": before.recording,
        "from": since,
        "until": at,
        "unarmed": database.recorder.unarmed if database.recorder else (),
        "detail": database.detail,
        "says": says,
    }


def _fingerprints(
    found: Fingerprint | None, before: Copied, at: datetime, *, often: bool
) -> Iterator[Fingerprint]:
    """`found`, when it is evidence, and before it what it was until then, when that was not kept."""
    if found is None:
        return
    if before.fingerprint is None or _lasting(found) != _lasting(before.fingerprint):
        if before.newest is not None and before.newest != before.fingerprint:
            yield before.newest
        yield found
    elif often and _passed(FINGERPRINT_EVERY, before.fingerprint_at, at):
        yield found


def _lasting(fingerprint: Fingerprint) -> Fingerprint:
    """It without what changes while nothing happens."""
    return replace(
        fingerprint,
        at=_NO_TIME,
        lsn=None,
        next_transaction=None,
        tables=tuple(
            replace(table, inserted=None, updated=None, deleted=None) for table in fingerprint.tables
        ),
    )


def _passed(interval: timedelta, since: datetime | None, at: datetime) -> bool:
    """Also when the clock was set back."""
    return since is None or abs(at - since) >= interval


def _row(record: Record) -> Any:
    """As an object; as the text that it is where it is none."""
    try:
        return json.loads(record.body, parse_constant=str)
    except ValueError:
        return record.body

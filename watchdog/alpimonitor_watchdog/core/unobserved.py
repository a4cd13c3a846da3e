"""What is true beside a verdict, and what nobody could see. Pure."""

from __future__ import annotations

from .attribution import Session
from .case import Case, Circumstance, What
from .compared import Compared
from .evidence import SessionSeen
from .sentences import listed, moment
from .words import Unseen

_OWN_HOST = ("127.0.0.1", "::1", "127.0.0.1/32", "::1/128")
_DROPS = frozenset({What.TABLE_DROPPED, What.SCHEMA_NOT_MIGRATED})
_ROWS = _DROPS | {What.ROWS_DELETED_IN_PLACE, What.TABLE_TRUNCATED, What.UNKNOWN}


def circumstances(case: Case, *, intended: bool, partly: bool, unexplained: bool) -> tuple[Circumstance, ...]:
    """In the order of Circumstance. Of another database only what that one says."""
    compared = Compared(case.before, case.now)
    same = case.same_database
    holds = {
        Circumstance.TIMELINE_CHANGED: same and compared.timeline_changed,
        Circumstance.INTENDED: intended,
        Circumstance.PARTLY_INTENDED: partly,
        Circumstance.UNEXPLAINED: unexplained,
        Circumstance.RECORDER_DISARMED: same and case.disarmed,
        Circumstance.STATISTICS_RESET: same and compared.statistics_reset,
        Circumstance.RESTARTED: same and compared.restarted,
    }
    return tuple(circumstance for circumstance in Circumstance if holds[circumstance])


def unobserved(case: Case, what: What, found: tuple[Session, ...]) -> tuple[str, ...]:
    """Sentences, each of something that would have told more."""
    said = [
        *_look(case),
        *_fingerprints(case),
        *(_recorder(case, what) if what in _ROWS and (case.losses or found) else ()),
        *_sessions(case, found),
    ]
    return tuple(dict.fromkeys(said))


def _look(case: Case) -> list[str]:
    seen = case.seen
    if seen.unseen is not None:
        return [f"the database itself: {seen.detail or seen.unseen.value}"]
    context = {table.name for table in case.expected.tables if table.context}
    return [
        f"{table.name}: {table.unseen.value.replace('_', ' ')}"
        + (f" by backend pid {table.locked_by}" if table.locked_by else "")
        + (f" ({table.detail})" if table.detail else "")
        for table in seen.tables
        if table.name in context
        and table.unseen not in (None, Unseen.FORBIDDEN, Unseen.ROW_SECURITY)
        and table.unseen is not None
    ]


def _fingerprints(case: Case) -> list[str]:
    said = []
    if case.before is None:
        said.append("how it was before: no fingerprint was taken while all was well")
    elif case.now is None:
        said.append(f"how it is now: no fingerprint was taken since {moment(case.before.at, case.clock)}")
    elif case.same_database and Compared(case.before, case.now).statistics_reset:
        said.append("what was counted before the statistics were reset")
    if case.before is not None and case.identity is not None and case.identity.system is None:
        said.append("whether it is the same cluster: its system identifier is hidden from the sidecar's role")
    return said


def _recorder(case: Case, what: What) -> list[str]:
    seen = case.recorder
    if seen is None:
        return ["whether the flight recorder is armed: it could not be asked"]
    if not seen.installed:
        return ["who ran the statements: no flight recorder is installed"]
    if not seen.readable:
        return ["who ran the statements: the recorder's events are not for the sidecar's role to read"]
    said = []
    lost = [loss.table for loss in case.losses]
    if unarmed := [table for table in lost if table in seen.unarmed]:
        said.append(f"who ran the statements: the recorder is not armed on {listed(unarmed)}")
    if case.disarmed:
        said.append("what was done while the recorder was disarmed")
    elif case.arming_before == "":
        said.append("what was done before the recorder was armed")
    if what in _DROPS and not seen.drops:
        said.append("who dropped tables: the recorder has no event triggers, which need a superuser")
    silent = [
        table
        for table in lost
        if table not in seen.unarmed and not any(event.table == table for event in case.events)
    ]
    if silent and not case.disarmed and case.arming_before:
        said.append(
            f"who ran the statements: the recorder is armed on {listed(silent)} and holds nothing of it; "
            "it failed, or its events were erased"
        )
    return said


def _sessions(case: Case, found: tuple[Session, ...]) -> list[str]:
    if not found:
        return []
    events = [session.newest for session in found]
    said = []
    if any(event.client_addr is None for event in events):
        said.append("a client's address: it connected by a local socket")
    if any(event.client_addr in _OWN_HOST for event in events):
        said.append("a client's address: it is the server's own host, where a pooler or a tunnel may stand")
    elif any(event.client_addr is not None for event in events):
        said.append("who stands behind the address, if it is a pooler's")
    said.append("whether application_name is true: any session can set its own")
    if any(_state_hidden(event.pid, case) for event in events):
        said.append("whether the session is still at work: pg_stat_activity does not show its state")
    if any("$1" in event.statement for event in events):
        said.append("the values of the statement's parameters")
    said.append("what a superuser changed in the recorder's evidence before it was copied")
    return said


def _state_hidden(pid: int, case: Case) -> bool:
    sessions: tuple[SessionSeen, ...] = case.recorder.sessions if case.recorder is not None else ()
    return any(session.pid == pid and session.state is None for session in sessions)

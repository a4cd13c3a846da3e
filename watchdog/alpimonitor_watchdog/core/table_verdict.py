"""What happened to one table, and to those that cannot be seen. Pure.

Recorded statements first. Else the physical signals, a delete before a TRUNCATE: VACUUM FULL after a delete
changes the filenode, too.
"""

from __future__ import annotations

from .attribution import Explained, explain, missing
from .case import Case, Conclusion, Confidence, What
from .compared import Compared, Grown, newly_hidden, unreadable
from .evidence import Operation
from .fingerprint import TablePrint
from .seen import Loss, TableSeen
from .sentences import count, moment
from .words import Unseen

_BY_OPERATION = {
    Operation.DROP: What.TABLE_DROPPED,
    Operation.DELETE: What.ROWS_DELETED_IN_PLACE,
    Operation.TRUNCATE: What.TABLE_TRUNCATED,
}
_BY_UNSEEN = {Unseen.FORBIDDEN: What.PERMISSION_REVOKED, Unseen.ROW_SECURITY: What.ROWS_HIDDEN}
_TAKEN_BY_NOTHING = (
    "where its rows went: the recorder was armed all the time and holds no statement, and neither its "
    "counters nor its file tell of one. An older backup whose log has since outgrown the old one looks like "
    "that, and so does an unlogged table after a crash"
)
_ROLLED_BACK = "whether rolled-back deletes are among those that n_tup_del counts"


def explained(case: Case) -> dict[str, Explained]:
    """What recorded statements explain, by lost table.

    Where statements may be missing among them, rows that were inserted since count as put back.
    """
    compared = Compared(case.before, case.now)
    found = {}
    for loss in case.losses:
        inserted = None if complete(case, loss.table) else compared.inserted(loss.table)
        put_back = inserted.rows if inserted is not None and not inserted.whole else 0
        found[loss.table] = explain(
            case.events,
            loss.table,
            lost_rows(case, loss),
            made_anew=loss.rows is None or _made_anew(*_prints(case, loss)),
            put_back=put_back,
        )
    return found


def complete(case: Case, table: str) -> bool:
    """Whether every statement on `table` since all was well must have been recorded."""
    seen = case.recorder
    return (
        seen is not None
        and seen.installed
        and seen.readable
        and table not in seen.unarmed
        and not case.disarmed
        and case.arming_before != ""
    )


def lost_rows(case: Case, loss: Loss) -> int:
    was = case.before.table(loss.table) if case.before else None
    return missing(loss, was.rows if was is not None and was.rows is not None else loss.expected)


def of_loss(case: Case, loss: Loss, by_record: Explained) -> Conclusion:
    """What happened to a table that lost rows."""
    was, now = _prints(case, loss)
    deleted = Compared(case.before, case.now).deleted(loss.table) if now is not None else None
    evidence = (_figures(case, loss, was, now, deleted),)
    if loss.rows is None or _made_anew(was, now) or by_record.operation is Operation.DROP:
        return _dropped(loss, was, now, by_record, evidence)
    if by_record.operation is not None:
        what = _BY_OPERATION[by_record.operation]
        if by_record.certain:
            return Conclusion(what, Confidence.CERTAIN, evidence)
        if by_record.whole:
            order = "whether the rows inserted meanwhile came before or after what was recorded"
            return Conclusion(what, Confidence.LIKELY, evidence, (f"{loss.table}: {order}",))
        of = count(by_record.lost, "lost row")
        gap = f"who took the rest: recorded statements explain {by_record.rows} of {of}"
        return Conclusion(what, Confidence.LIKELY, evidence, (f"{loss.table}: {gap}",))
    return _by_signals(case, loss, was, now, deleted, by_record.lost, evidence)


def of_unseen(case: Case) -> dict[str, Conclusion]:
    """The context tables that the sidecar may not read, or of which row security hides rows from it."""
    if case.seen.unseen is not None:
        return {}
    context = {table.name for table in case.expected.tables if table.context}
    return {
        table.name: Conclusion(_BY_UNSEEN[table.unseen], Confidence.CERTAIN, (_unreadable(case, table),))
        for table in case.seen.tables
        if table.name in context and table.unseen in _BY_UNSEEN
    }


def of_rights(case: Case) -> dict[str, Conclusion]:
    """What took rows out of the application's sight though every one is there, table by table."""
    if case.before is None or case.now is None:
        return {}
    found = {}
    for now in case.now.tables:
        was = case.before.table(now.name)
        since = moment(case.before.at, case.clock)
        if was is None:
            continue
        if unreadable(was, now):
            said = f"{now.name}: the application's role may not SELECT; at {since} it could"
            found[now.name] = Conclusion(What.PERMISSION_REVOKED, Confidence.CERTAIN, (said,))
        elif newly_hidden(was, now):
            said = f"{now.name}: row security is on; at {since} it was off, or did not concern the sidecar"
            unseen = (f"{now.name}: which rows the application still sees, by its policies",)
            found[now.name] = Conclusion(What.ROWS_HIDDEN, Confidence.LIKELY, (said,), unseen)
    return found


def _dropped(
    loss: Loss,
    was: TablePrint | None,
    now: TablePrint | None,
    by_record: Explained,
    evidence: tuple[str, ...],
) -> Conclusion:
    if _made_anew(was, now) or by_record.operation is Operation.DROP:
        return Conclusion(What.TABLE_DROPPED, Confidence.CERTAIN, evidence)
    unseen = f"{loss.table}: whether it was dropped, renamed or moved to a schema that is not searched"
    there = was is not None and was.oid is not None
    confidence = Confidence.LIKELY if there else Confidence.OPEN
    if not there:
        unseen = f"{loss.table}: whether it was ever there; no fingerprint of it was taken before"
    return Conclusion(What.TABLE_DROPPED, confidence, evidence, (unseen,))


def _by_signals(
    case: Case,
    loss: Loss,
    was: TablePrint | None,
    now: TablePrint | None,
    deleted: Grown | None,
    lost: int,
    evidence: tuple[str, ...],
) -> Conclusion:
    if now is None:
        unseen = f"{loss.table}: its counters and its file; no fingerprint was taken since rows are missing"
        return Conclusion(What.UNKNOWN, Confidence.OPEN, evidence, (unseen,))
    if deleted is not None and deleted.rows > 0 and _in_place(case, loss, was, deleted, lost):
        return Conclusion(
            What.ROWS_DELETED_IN_PLACE, Confidence.LIKELY, evidence, (f"{loss.table}: {_ROLLED_BACK}",)
        )
    if _new_file(was, now):
        return Conclusion(What.TABLE_TRUNCATED, Confidence.LIKELY, evidence)
    if was is None or not was.rows:
        return _at_first_contact(loss, now, evidence)
    if complete(case, loss.table) and case.arming_before:
        return Conclusion(
            What.UNKNOWN, Confidence.OPEN, evidence, (f"{loss.table}: {_TAKEN_BY_NOTHING}",), unexplained=True
        )
    if was.filenode is not None and was.filenode == now.filenode:
        # TRUNCATE makes another file. What empties the same one is a delete, or a crash of an unlogged table.
        crashed = Compared(case.before, case.now).restarted and deleted is not None and deleted.whole
        forgotten = f"{loss.table}: deletes before the server was restarted, which forgot its counters"
        confidence = Confidence.OPEN if crashed else Confidence.LIKELY
        return Conclusion(What.ROWS_DELETED_IN_PLACE, confidence, evidence, (forgotten,) if crashed else ())
    return Conclusion(What.UNKNOWN, Confidence.OPEN, evidence)


def _in_place(case: Case, loss: Loss, was: TablePrint | None, deleted: Grown, lost: int) -> bool:
    """Whether deletes account for about what is missing; rows that were put back meanwhile do not count."""
    inserted = Compared(case.before, case.now).inserted(loss.table)
    if inserted is None:
        return 2 * deleted.rows >= lost
    if was is None or was.rows is None:
        # Since the counters began: what was inserted and not deleted would have to be there.
        return 2 * (inserted.rows - deleted.rows - (loss.rows or 0)) <= lost
    return 2 * (deleted.rows - inserted.rows) >= lost


def _at_first_contact(loss: Loss, now: TablePrint, evidence: tuple[str, ...]) -> Conclusion:
    """The sidecar never saw rows in it: its counters tell whether there were any."""
    unseen = (f"{loss.table}: what it held before; the sidecar never saw rows in it",)
    if now.inserted == 0 and not now.deleted and not loss.rows:
        return Conclusion(
            What.NEVER_SEEDED,
            Confidence.LIKELY,
            evidence,
            (*unseen, f"{loss.table}: inserts before a reset of the statistics, or before a crash"),
        )
    rewritten = now.filenode is not None and now.oid is not None and now.filenode != now.oid
    if rewritten and now.inserted and not loss.rows:
        return Conclusion(What.TABLE_TRUNCATED, Confidence.OPEN, evidence, unseen)
    return Conclusion(What.UNKNOWN, Confidence.OPEN, evidence, unseen)


def _prints(case: Case, loss: Loss) -> tuple[TablePrint | None, TablePrint | None]:
    """As it was, and as it is: without a fingerprint that still saw the rows which are missing."""
    was = case.before.table(loss.table) if case.before else None
    now = case.now.table(loss.table) if case.now else None
    if now is not None and now.rows is not None and now.rows > (loss.rows or 0):
        wanted = was.rows if was is not None and was.rows is not None else loss.expected
        if now.rows >= wanted:
            return was, None
    if case.before is not None and case.now is not None and case.now.at == case.before.at:
        return was, None
    return was, now


def _made_anew(was: TablePrint | None, now: TablePrint | None) -> bool:
    return (
        was is not None
        and now is not None
        and was.oid is not None
        and now.oid is not None
        and was.oid != now.oid
    )


def _new_file(was: TablePrint | None, now: TablePrint) -> bool:
    return (
        was is not None
        and was.filenode is not None
        and now.filenode is not None
        and was.filenode != now.filenode
    )


def _figures(
    case: Case, loss: Loss, was: TablePrint | None, now: TablePrint | None, deleted: Grown | None
) -> str:
    """`station: 7 rows at 12:09:58, 0 now; n_tup_del grew by 7; its file is the same`."""
    if was is not None and was.rows is not None and case.before is not None:
        more = " or more" if was.capped else ""
        before = f"{count(was.rows, 'row')}{more} at {moment(case.before.at, case.clock)}"
    else:
        before = f"{count(loss.expected, 'row')} expected"
    parts = [f"{loss.table}: {before}, {'gone' if loss.rows is None else loss.rows} now"]
    if now is None or loss.rows is None:
        return parts[0]
    if _made_anew(was, now) and was is not None:
        return f"{parts[0]}; its oid is {now.oid}, was {was.oid}: dropped and made anew"
    if deleted is not None:
        if was is None:
            parts.append(f"n_tup_del is {deleted.rows}, n_tup_ins {now.inserted}")
        elif deleted.whole:
            parts.append(f"n_tup_del is {deleted.rows} since it was reset")
        else:
            parts.append(f"n_tup_del grew by {deleted.rows}")
    if _new_file(was, now) and was is not None:
        parts.append(f"its filenode is {now.filenode}, was {was.filenode}")
    elif was is not None and was.filenode is not None and was.filenode == now.filenode:
        parts.append("its filenode is the same")
    return "; ".join(parts)


def _unreadable(case: Case, table: TableSeen) -> str:
    was = case.before.table(table.name) if case.before else None
    before = ""
    if was is not None and was.rows is not None and case.before is not None:
        before = f"; {count(was.rows, 'row')} at {moment(case.before.at, case.clock)}"
    why = (
        "the sidecar's role may not SELECT (42501)"
        if table.unseen is Unseen.FORBIDDEN
        else "row security hides rows from the sidecar's role"
    )
    said = f": {table.detail}" if table.detail else ""
    return f"{table.name}: {why}{said}{before}"

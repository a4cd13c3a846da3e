"""What the database as a whole says: dropped, another one, a standby, older, not migrated. Pure."""

from __future__ import annotations

from .attribution import explain, missing
from .case import Case, Conclusion, Confidence, What
from .compared import Compared, initialised
from .evidence import Operation
from .fingerprint import Identity
from .sentences import count, moment
from .words import Unseen

_NO_SUCH_DATABASE = "3D000"
_NO_PRIVILEGE = "42501"
_NOT_LET_IN = frozenset({"28000", "28P01"})


def of_database(case: Case) -> Conclusion | None:
    """The first rule that holds, in the order of What; None: what is wrong concerns tables, if anything."""
    rules = (_dropped, _other_cluster, _standby, _older, _first_contact, _recreated, _not_migrated, _shut_out)
    return next((found for rule in rules if (found := rule(case)) is not None), None)


def not_let_in(case: Case) -> Conclusion | None:
    """The server refuses the sidecar's role: what that may mean. Not a verdict by itself."""
    if case.seen.unseen is not Unseen.REFUSED or case.seen.code not in _NOT_LET_IN:
        return None
    was = f"; it was let in at {moment(case.before.at, case.clock)}" if case.before else ""
    return Conclusion(
        What.UNKNOWN,
        Confidence.OPEN,
        (f"the server refuses the sidecar's role ({case.seen.code}): {case.seen.detail}{was}",),
        (
            "which of these it is: the role's password was changed, the role was dropped, pg_hba.conf no "
            "longer lets it in, or a new or another cluster answers at this address and has no such role "
            "(which reads like a wrong password). The system identifier tells as soon as the role is let in",
        ),
    )


def _dropped(case: Case) -> Conclusion | None:
    if case.seen.unseen is None or case.seen.code != _NO_SUCH_DATABASE:
        return None
    evidence = [f"the server has no database of this name ({_NO_SUCH_DATABASE}): {case.seen.detail}"]
    if case.before is not None:
        evidence.append(f"it was there at {moment(case.before.at, case.clock)}{_oid(case.before.identity)}")
    unseen = ["whether it was renamed, or is on another server: without a connection nothing shows that"]
    if case.before is None:
        unseen.append("whether it was ever there: no fingerprint was taken before")
    return Conclusion(
        What.DATABASE_DROPPED,
        Confidence.LIKELY if case.before is not None else Confidence.OPEN,
        tuple(evidence),
        tuple(unseen),
    )


def _other_cluster(case: Case) -> Conclusion | None:
    was, now = case.before, case.identity
    if was is None or now is None or now.system is None or was.identity.system in (None, now.system):
        return None
    made = initialised(now.system)
    evidence = [f"system identifier {now.system}, was {was.identity.system} at {moment(was.at, case.clock)}"]
    if made is not None:
        order = "after" if made > was.at else "before"
        evidence.append(f"this cluster was initialised at {moment(made, case.clock)}, {order} all was well")
    evidence += _deployments(was.identity, now)
    since = made is not None and made > was.at
    other_row = _both_differ(was.identity.deployment, now.deployment)
    if _both_differ(was.identity.environment, now.environment) or (other_row and not since):
        return Conclusion(What.WRONG_DATABASE, Confidence.CERTAIN, tuple(evidence))
    unseen: tuple[str, ...] = ()
    if not since:
        unseen = (
            "whether a cluster made earlier took its place (pg_upgrade, a restored dump) or the address "
            "leads to another server: no deployment row tells",
        )
    elif other_row:
        unseen = ("whether the address leads to another server that is as new as this one",)
    certain = since and not other_row
    return Conclusion(
        What.CLUSTER_REINITIALISED,
        Confidence.CERTAIN if certain else Confidence.LIKELY,
        tuple(evidence),
        unseen,
    )


def _standby(case: Case) -> Conclusion | None:
    was, now = case.before, case.now
    recovering = case.seen.in_recovery if case.seen.unseen is None else now is not None and now.in_recovery
    if was is None or was.in_recovery or not recovering:
        return None
    evidence = [f"the server is in recovery: a standby; at {moment(was.at, case.clock)} it was a primary"]
    if now is not None and now.lsn is not None and was.lsn is not None:
        behind = was.lsn - now.lsn
        if behind > 0:
            evidence.append(f"its log ends {count(behind, 'byte')} before what the primary had written then")
    return Conclusion(What.BECAME_STANDBY, Confidence.CERTAIN, tuple(evidence))


def _older(case: Case) -> Conclusion | None:
    compared = Compared(case.before, case.now)
    pair = compared.both()
    if pair is None or not case.same_database:
        return None
    was, now = pair
    back = compared.log_back > 0 or compared.far_back or compared.older_timeline
    if not back or (compared.newer_timeline and not case.losses) or _lost_since(case, compared):
        return None
    evidence = [f"{said} than at {moment(was.at, case.clock)}" for said in _how_far(compared)]
    unseen: tuple[str, ...] = ()
    if compared.timeline_changed:
        evidence.append(f"timeline {now.timeline}, was {was.timeline}")
    if compared.newer_timeline:
        unseen = (
            "whether it is a point-in-time recovery to an earlier moment, or a failover to a standby that "
            "was behind: both end the log earlier, on a new timeline",
        )
    return Conclusion(
        What.OLDER_BACKUP_RESTORED,
        Confidence.LIKELY if compared.newer_timeline or not compared.log_back else Confidence.CERTAIN,
        tuple(evidence),
        unseen,
    )


def _how_far(compared: Compared) -> list[str]:
    said = []
    if compared.log_back:
        said.append(f"the log ends {count(compared.log_back, 'byte')} earlier")
    if compared.transactions_back:
        said.append(f"the next transaction is {compared.transactions_back} lower")
    return said or ["the timeline is an earlier one"]


def _lost_since(case: Case, compared: Compared) -> bool:
    """Whether rows were taken after the server began with its older log: then that is what took them."""
    pair = compared.both()
    if pair is None or not case.losses:
        return False
    was, now = pair
    started = now.started if compared.restarted else None
    since = [event for event in case.events if started is not None and event.at > started]
    for loss in case.losses:
        before = was.table(loss.table)
        lost = missing(loss, before.rows if before and before.rows is not None else loss.expected)
        if explain(since, loss.table, lost, made_anew=loss.rows is None).whole:
            continue
        deleted = compared.deleted(loss.table)
        # The counters of a standby begin with its promotion; a backup may bring old ones along.
        if not compared.newer_timeline or deleted is None or not deleted.whole or deleted.rows < lost:
            return False
    return True


def _first_contact(case: Case) -> Conclusion | None:
    """Never seen whole: the `deployment` row says of which environment it is."""
    declared, now = case.expected.environment, case.identity
    if case.before is not None or declared is None or now is None or now.environment in (None, declared):
        return None
    said = f"its deployment row says {now.environment}, [database] environment {declared}"
    return Conclusion(What.WRONG_DATABASE, Confidence.LIKELY, (said,))


def _recreated(case: Case) -> Conclusion | None:
    was, now = case.before, case.identity
    if was is None or now is None or now.database_oid is None:
        return None
    oid, old = now.database_oid, was.identity.database_oid
    if old in (None, oid):
        return None
    same_cluster = now.system is not None and now.system == was.identity.system
    where = "in the same cluster" if same_cluster else "in a cluster that does not tell its identifier"
    evidence = [f"database oid {oid}, was {old} at {moment(was.at, case.clock)}, {where}"]
    evidence += _deployments(was.identity, now)
    # Oids are given out in ascending order: a lower one was there before.
    elder = _both_differ(was.identity.deployment, now.deployment) and old is not None and oid < old
    if elder or _both_differ(was.identity.environment, now.environment):
        return Conclusion(What.WRONG_DATABASE, Confidence.LIKELY, tuple(evidence))
    if now.deployment is not None and now.deployment == was.identity.deployment:
        evidence.append("it holds the deployment row of the old one: restored from a dump, or a copy")
    elif _context_gone(case):
        evidence.append("none of its context tables is there")
    confidence = Confidence.CERTAIN if same_cluster else Confidence.LIKELY
    return Conclusion(What.DATABASE_RECREATED, confidence, tuple(evidence))


def _not_migrated(case: Case) -> Conclusion | None:
    """The tables and the schema's revision are absent together. A recorded DROP says more than that."""
    seen = case.seen
    if seen.unseen is not None or seen.revision is not None or seen.revision_unseen is not None:
        return None
    if not _context_gone(case) or any(event.operation is Operation.DROP for event in case.events):
        return None
    was = case.before
    there = [table.name for table in was.tables if table.oid is not None] if was else []
    if not case.expected.revisions and there:
        return None  # nobody declared a revision that could be missing: the tables were dropped
    tables = sum(table.context for table in case.expected.tables)
    revision = ", and no schema revision" if case.expected.revisions else ""
    evidence = [f"none of {count(tables, 'context table')} is there{revision}"]
    if was is not None and there:
        evidence.append(
            f"at {moment(was.at, seen.clock)} {len(there)} were there, at revision {was.revision or 'none'}: "
            "they were dropped together, or the schema was taken back"
        )
    certain = bool(case.expected.revisions) and not there
    return Conclusion(
        What.SCHEMA_NOT_MIGRATED, Confidence.CERTAIN if certain else Confidence.LIKELY, tuple(evidence)
    )


def _shut_out(case: Case) -> Conclusion | None:
    if case.seen.unseen is None or case.seen.code != _NO_PRIVILEGE:
        return None
    said = f"the server refuses the sidecar's role ({_NO_PRIVILEGE}): {case.seen.detail}"
    return Conclusion(What.PERMISSION_REVOKED, Confidence.CERTAIN, (said,))


def _context_gone(case: Case) -> bool:
    context = {table.name for table in case.expected.tables if table.context}
    gone = {table.name for table in case.seen.tables if not table.exists and table.unseen is None}
    return case.seen.unseen is None and bool(context) and context <= gone


def _deployments(was: Identity, now: Identity) -> list[str]:
    said = []
    if was.deployment is not None and was.deployment == now.deployment:
        said.append(f"deployment row {now.deployment} in both")
    elif was.deployment is not None:
        said.append(f"deployment row {now.deployment or 'none to be seen'}, was {was.deployment}")
    if _both_differ(was.environment, now.environment):
        said.append(f"environment {now.environment}, was {was.environment}")
    return said


def _oid(identity: Identity) -> str:
    return f", with oid {identity.database_oid}" if identity.database_oid is not None else ""


def _both_differ(one: str | None, two: str | None) -> bool:
    return one is not None and two is not None and one != two

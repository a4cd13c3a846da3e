"""Incidents and their evidence, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_SHORT = 12  # characters of a hash: enough for `verify --head`


def listed(incidents: list[dict[str, Any]]) -> str:
    """A line an incident."""
    lines = [
        f"{each['id']}  {each['phase']:9}  opened {each['opened_at']}  {', '.join(each['symptoms'])}"
        + (f"  {each['verdict']['what']}" if each["verdict"] else "")
        for each in incidents
    ]
    return "\n".join(lines) or "No incident in the last 30 days."


def shown(incident: dict[str, Any]) -> str:
    """All that is kept of one incident."""
    ended = "".join(
        f", {word} {incident[name]}"
        for name, word in (("restored_at", "rows back"), ("resolved_at", "resolved"))
        if incident[name]
    )
    rows = incident["evidence"]["rows"]
    lines = [
        f"Incident {incident['id']}: {incident['phase']}",
        f"opened {incident['opened_at']}{ended}",
        f"symptoms: {', '.join(incident['symptoms'])}",
        *(f"lost: {_loss(loss)}" for loss in incident["losses"]),
        *_verdict(incident["verdict"]),
        *_section(
            "Timeline (UTC)",
            (_line(f"{item['at']} {item['event']}", item["detail"]) for item in incident["timeline"]),
        ),
        *_section(
            "Evidence: row, time, hash",
            (_line(f"{row['id']} {row['at']} {row['hash'][:_SHORT]}", _piece(row)) for row in rows),
        ),
        *_section(
            "Heals",
            (
                _line(f"{heal['reserved_at']} {heal['outcome'] or 'no outcome'}", heal["detail"])
                for heal in incident["heals"]
            ),
        ),
        *_section(
            "Notifications",
            (
                _line(f"{each['created_at']} {each['kind']} to {each['channel']}", _sent(each))
                for each in incident["notifications"]
            ),
        ),
    ]
    return "\n".join(lines)


def verified(said: dict[str, Any]) -> str:
    """Whether a chain holds, and what does not."""
    lines = []
    if said["broken"]:
        first, *more = said["broken"]
        lines.append(f"The chain of evidence DOES NOT HOLD at {first['says']}.")
        if more:
            lines.append(f"{len(more)} further links do not hold: --json names them.")
    else:
        lines.append(f"The chain of evidence holds: {said['rows']} rows, head {said['head']['hash']}.")
    if said["pruned"]["rows"]:
        lines.append(
            f"{said['pruned']['rows']} older rows were pruned, the last of {said['pruned']['until']}."
        )
    lines += [
        f"Rows {lost['first']} to {lost['last']} were lost with a damaged store, as a later row says."
        for lost in said["lost"]
    ]
    if sought := said["sought"]:
        if sought["row"] is None:
            lines.append(
                f"The head {sought['hash']} IS NOT IN IT: rows were taken from its end, or "
                "all was rewritten; or that head is older than what was pruned, or the sidecar was killed "
                "before it could write it."
            )
        else:
            lines.append(
                f"The head {sought['hash']} is row {sought['row']}; {sought['rows_after']} came after it."
            )
    if said["incident"]:
        lines.append(f"{said['incident']['rows']} rows belong to incident {said['incident']['id']}.")
    return "\n".join(lines)


def one_line(text: object) -> str:
    """What came from a database, fit for a terminal: no line break, and nothing that steers it."""
    words = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "�" for each in words)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [f"{title}:", *found] if found else []


def _sent(notification: dict[str, Any]) -> str:
    return f"{notification['status']}: {notification['title']}"


def _line(head: str, detail: object) -> str:
    return f"  {one_line(head)}: {one_line(detail)}" if detail else f"  {one_line(head)}"


def _loss(loss: dict[str, Any]) -> str:
    rows = "gone" if loss["rows"] is None else f"{loss['rows']} rows"
    return f"{loss['table']} {rows} of {loss['expected']}"


def _verdict(verdict: dict[str, Any] | None) -> list[str]:
    if verdict is None:
        return ["verdict: none"]
    lines = [f"verdict: {verdict['what']} ({verdict['confidence']})"]
    if verdict["circumstances"]:
        lines[0] += f", {', '.join(verdict['circumstances'])}"
    if verdict["reason"]:
        lines.append(f"stated reason: {one_line(verdict['reason'])}")
    for who in (verdict["attribution"], *verdict["others"]):
        lines += (
            [f"who: {_who(who)}", f"statement: {one_line(who['statement'])}"]
            if who
            else ["who: not recorded"]
        )
    lines += [f"evidence: {one_line(sentence)}" for sentence in verdict["evidence"]]
    return lines + [f"not observable: {one_line(sentence)}" for sentence in verdict["not_observable"]]


def _who(session: dict[str, Any]) -> str:
    address = session["client_addr"] or "a local socket"
    application = session["application_name"] or "an application without a name"
    return one_line(
        f"role {session['role']}, {application}, from {address}, process {session['pid']}, "
        f"transaction {session['transaction']}"
    )


def _piece(row: dict[str, Any]) -> str:
    """A piece of evidence in a sentence; as it is, where it is none that this version writes."""
    try:
        return f"{row['kind']}: {_SAYS[row['kind']](row['body'])}"
    except (LookupError, TypeError):
        return f"{row['kind']}: {row['body']}"


def _event(body: dict[str, Any]) -> str:
    rows = "" if body["rows"] is None else f", {body['rows']} rows"
    left = "" if body["remaining"] is None else f", {body['remaining']} left"
    return f"{body['operation']} {body['table']}{rows}{left} by {_who(body)}: {one_line(body['statement'])}"


def _fingerprint(body: dict[str, Any]) -> str:
    identity = body["identity"]
    tables = ", ".join(f"{each['name']} {_known(each['rows'])}" for each in body["tables"])
    return (
        f"system {_known(identity['system'])}, database {_known(identity['database_oid'])}, "
        f"timeline {_known(body['timeline'])}, {tables}"
    )


def _activity(body: dict[str, Any]) -> str:
    return "; ".join(_backends(body["backends"]))


def _backends(backends: Iterable[dict[str, Any]]) -> Iterable[str]:
    for each in backends:
        address = each["client_addr"] or "a local socket"
        yield f"{each['pid']} {each['role']} {each['application_name']} from {address}, {each['state']}"


def _known(value: object) -> str:
    return "not seen" if value is None else str(value)


_SAYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "event": _event,
    "fingerprint": _fingerprint,
    "activity": _activity,
    "record": lambda body: f"{body['name']}: {body['row']}",
    "verdict": lambda body: f"{body['what']} ({body['confidence']})",
    "gap": lambda body: str(body["says"]),
}

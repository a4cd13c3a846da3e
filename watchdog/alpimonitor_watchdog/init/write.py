"""A proposal -> the text of watchdog.toml. Pure.

"# " begins a remark. "#" without a space begins a setting to fill in: take the "#" away and it is valid.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from .found import RevisionFound
from .propose import Blind, Guard, Proposal
from .spelling import shown, toml_string

NOT_A_BACKUP = (
    "This is not a backup: the sidecar notices that rows are gone and can put back what it was told of. "
    "Keep your backups, and rehearse restoring them."
)
_WIDTH = 100
_COMMAND = """\
#[heal.command]
#plan = ["/usr/local/bin/restore-context", "--plan"]
#run = ["/usr/local/bin/restore-context"]
#deadline = "60s"
#[heal.command.environment]
#PGPASSFILE = "/etc/alpimonitor/heal.pgpass"
"""
_OUTSIDE = """\
#[[health]]
#url = "http://127.0.0.1:8000/health"
#expect_json_path = "status"
#expect = "ok"
"""
_INGESTION = """\
#[ingestion]
#url = "http://127.0.0.1:8000/status"
#json_path = "ingestion.lastRun"
#expected = 4
#interval = "10m"
"""
_CHANNELS = """\
#[[channel]]
#name = "notify"
#url_env = "WATCHDOG_NOTIFY_URL"
#tags = ["notify"]
#required = false

#[[channel]]
#name = "page"
#url_env = "WATCHDOG_PAGE_URL"
#tags = ["page"]
#required = false
"""


def text(proposal: Proposal) -> str:
    """The whole file, with a line break at its end."""
    return "\n".join(_lines(proposal)) + "\n"


def _lines(proposal: Proposal) -> Iterator[str]:
    session = proposal.found.session
    yield from _remark(
        f"What {proposal.place} held on {session.at:%Y-%m-%d} at {session.at:%H:%M:%S} UTC, as "
        f"{shown(session.role)} saw it (PostgreSQL {shown(session.server_version)}); written by "
        "`alpimonitor watchdog init`. Read each line, correct what is wrong, and then: "
        "alpimonitor watchdog check --config FILE"
    )
    yield "#"
    yield from _remark(NOT_A_BACKUP)
    yield "#"
    yield from _remark('"#" without a space begins a setting to fill in: take the "#" away and it counts.')
    for warning in proposal.warnings:
        yield "#"
        yield from _remark(f"WARNING: {warning}")
    yield from _section("the database")
    yield from _remark(
        "Its URL is in this variable and never in this file: a role that only reads, a direct connection "
        "and no transaction pooler."
    )
    yield "[database]"
    yield 'url_env = "WATCHDOG_DATABASE_URL"'
    yield '#environment = "production"'
    yield from _tables(proposal)
    yield from _revisions(proposal)
    yield from _rest(proposal)


def _tables(proposal: Proposal) -> Iterator[str]:
    for kind, about in (
        ("context", "What everything else needs: a loss is notified, and healed where that is declared."),
        ("operational", "What comes and goes: shown, never healed, and nothing is expected of it."),
    ):
        yield from _section(f"{kind} tables")
        yield from _remark(f"{about} Wrong for one of these? Change its kind.")
        for guard in proposal.guards:
            if guard.judgement.kind == kind:
                yield ""
                yield from _guard(guard)
    if proposal.blind:
        yield from _section("NOT SEEN: guarded by nobody until somebody acts")
        for table in proposal.blind:
            yield ""
            yield from _blind(table)
    if proposal.passed:
        yield from _section("passed over")
        for passed in proposal.passed:
            yield f"# {shown(passed.name)}: {passed.why.value}"


def _guard(guard: Guard) -> Iterator[str]:
    table = guard.table
    parts = f", those of {table.parts} partitions or inheriting tables included" if table.parts else ""
    yield from _remark(
        f"{'More than ' * table.capped}{table.rows} row{'s' * (table.rows != 1)}{parts}. "
        f"{guard.judgement.kind.capitalize()}: {shown(guard.judgement.sentence)}."
    )
    if not table.rows:
        yield from _remark(
            "WARNING: empty now, so that its loss cannot be noticed. Where rows belong, put them back first"
            + (f"; {table.deleted} were deleted since the statistics began." if table.deleted else ".")
        )
    if guard.about_floor:
        yield from _remark(f"The floor: {guard.about_floor}.")
    yield "[[table]]"
    yield f"name = {toml_string(guard.name)}"
    yield f'kind = "{guard.judgement.kind}"'
    if guard.expected is not None:
        yield f"expected = {guard.expected}"
        yield f"floor = {guard.floor}"


def _blind(blind: Blind) -> Iterator[str]:
    yield from _remark(f"{shown(blind.name)}: {shown(blind.table.detail)}. Remedy:")
    yield f"#   {shown(blind.remedy)}"
    yield from _remark("Then run init again, or fill this in:")
    yield "#[[table]]"
    yield f"#name = {toml_string(blind.name)}"
    yield '#kind = "context"'
    yield "#expected = 1"


def _revisions(proposal: Proposal) -> Iterator[str]:
    yield from _section("the schema that a heal may write to")
    active, others = proposal.revision, list(proposal.other_revisions)
    if active is not None:
        yield from _remark(f"As {active.tool} keeps it. Allow a revision here before it is deployed.")
        yield "[revision]"
        yield f"query = {toml_string(active.query)}"
        yield f"allowed = [{toml_string(active.value or '')}]"
    for other in others:
        yield from _remark(f"Not taken, {other.tool}: {shown(other.detail) or _not_taken(other)}. Its query:")
        yield f"#   {shown(other.query)}"
    if active is None:
        yield from _remark(
            "Any query that gives one text tells the revision. Without it every schema will do:"
        )
        yield "#[revision]"
        query = others[0].query if others else "SELECT version FROM public.schema_version"
        yield f"#query = {toml_string(query)}"
        yield '#allowed = ["1"]'


def _not_taken(revision: RevisionFound) -> str:
    return "another tool's comes first" if revision.value else "nothing is applied"


def _rest(proposal: Proposal) -> Iterator[str]:
    yield from _section("the system as its consumers see it")
    yield from _remark("Without these a heal is proven by rows alone. A health address:")
    yield _OUTSIDE
    yield from _remark(
        "What ingestion saw last, by HTTP as here, or by a query with stations_seen, started_at:"
    )
    yield _INGESTION.rstrip()
    yield from _section("when to act, and how")
    yield from _remark("The numbers that are not here have their defaults.")
    yield "[policy]"
    yield 'interval = "1s"'
    yield 'timeout = "50ms"'
    yield f"count_limit = {proposal.found.limit}"
    yield ""
    yield from _remark(
        'dry-run: plans a heal, says what it would do, and does nothing. "on" heals, "off" not even plans.'
    )
    yield "[healing]"
    yield 'mode = "dry-run"'
    yield ""
    yield from _remark(
        "Programs of yours: plan prints {inserts, updates, deletes} as JSON and changes nothing, run puts "
        "the rows back. They need credentials of their own: the sidecar's are kept from them."
    )
    yield _COMMAND.rstrip()
    yield from _section("whom to tell")
    yield from _remark("Each variable holds an apprise URL: https://github.com/caronc/apprise/wiki")
    yield _CHANNELS.rstrip()


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"# ---- {title} ".ljust(_WIDTH, "-")
    yield ""


def _remark(sentence: str) -> Iterator[str]:
    return (
        f"# {line}"
        for line in textwrap.wrap(sentence, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    )

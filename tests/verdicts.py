"""A scenario, carried out under the eyes of a sidecar, and what an investigation then concludes.

Everything is a process of its own, as for a user: the server, the sidecar, psql, the healer, `diagnose`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx

from alpimonitor_cli.migrate import head
from alpimonitor_rehearsal.breaking import Site, carry_out
from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.roles import API, HEALER, OWNER, WATCHDOG
from alpimonitor_rehearsal.scenarios import Heals, Kind, Scenario
from alpimonitor_rehearsal.waiting import DeadlineExceeded, wait_until
from alpimonitor_watchdog.core.words import Phase, Reason
from tests.clusters import ENVIRONMENT, FOREIGN, TABLES, Prepared, site_of
from tests.sidecars import Process, Sidecar
from tests.warm_start import CHECKOUT, Warmth

HEALTHY_WITHIN = 30.0  # seconds
CONCLUDED_WITHIN = 30.0
SETTLED_AFTER = 1.5  # with nothing new, twice what a plan and all that a heal waits for take here
LOOK_EVERY = 0.05

POLICY = {
    "interval": "100ms",
    "timeout": "1s",
    "confirm_for": "300ms",
    "quiet_for": "300ms",
    "clear_for": "300ms",
    "backoff_first": "500ms",
    "backoff_max": "500ms",
    "unhealthy_after": "500ms",
    # A server that restarts or recovers is back by then, on a machine that is busy as well.
    "unreachable_after": "3s",
}
# What a heal waits for by itself: it is not settled yet.
PASSING = {
    Reason.NOT_PROVEN_YET,
    Reason.NOT_QUIET,
    Reason.PLANNING,
    Reason.BACKING_OFF,
    Reason.CHANGE_IN_PROGRESS,
    Reason.NOT_LEADING,
}
AT_WORK = {Phase.SUSPECTED, Phase.HEALING, Phase.VERIFYING, Phase.RESOLVED}


@dataclass
class Watcher(Sidecar):
    """A sidecar on a site: it sees the server through the network, and so does what heals."""

    site: Site = field(kw_only=True)
    warmth: Warmth | None = field(default=None, kw_only=True)  # None: an interpreter of its own

    def launch(self, log: IO[bytes]) -> Process:
        if self.warmth is None:
            return super().launch(log)
        environment = {**self.environment, "PYTHONPATH": str(CHECKOUT)}
        return self.warmth.start(["watchdog", "run"], environment, Path(log.name))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "SEED_DATABASE_URL": self.site.seen_url(HEALER),
            # For psql, the healer of a stranger's database.
            "PGHOST": self.site.network.host,
            "PGPORT": str(self.site.network.port),
            "PGUSER": OWNER,
            "PGPASSWORD": self.site.logins[OWNER].password,
            "PGDATABASE": Kind.FOREIGN.value,
        }

    def write(self) -> None:
        ours = self.site.kind is Kind.ALPIMONITOR
        lines = []
        for name, rows in TABLES[self.site.kind].items():
            lines += ["[[table]]", f"name = '{name}'", f"expected = {rows}"]
        lines += ["[database]", f'application_role = "{API}"']
        if ours:
            lines += [f'environment = "{ENVIRONMENT}"', "[revision]"]
            lines += ['query = "SELECT version_num FROM alembic_version"', f'allowed = ["{head()}"]']
        lines += ["[policy]", *(f'{key} = "{value}"' for key, value in POLICY.items())]
        plan, run = (self.plan, self.run) if ours else _healer_of_strangers(self.site)
        lines += ["[healing]", 'mode = "on"', "[heal.command]"]
        lines += [f"plan = {json.dumps(plan)}", f"run = {json.dumps(run)}"]
        for variable in self.channels:
            name = variable.lower()
            lines += ["[[channel]]", f'name = "{name}"', f'url_env = "{variable}"', f'tags = ["{name}"]']
        self.config.write_text("\n".join(lines))


def _healer_of_strangers(site: Site) -> tuple[list[str], list[str]]:
    """psql twice: how many rows each table lacks, and the part of their file that puts them back."""
    missing = " UNION ALL ".join(
        f"SELECT '{name}' AS name, {rows} - (SELECT count(*) FROM {name})::int AS missing"
        for name, rows in TABLES[Kind.FOREIGN].items()
    )
    plan = f"""
SELECT json_build_object(
    'inserts',
    coalesce(json_object_agg(name, array_fill(0, ARRAY[missing])) FILTER (WHERE missing > 0), '{{}}'),
    'updates', json_build_object(),
    'deletes', json_build_object())
FROM ({missing}) AS context
"""
    context = FOREIGN.read_text(encoding="utf-8").split("\n-- ---- ")[1].partition("\n")[2]
    for name, text in (("plan.sql", plan), ("context.sql", context)):
        (site.folder / name).write_text(text, encoding="utf-8")
    psql = [str(site.server.psql), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--tuples-only"]
    return (
        [*psql, "--no-align", f"--file={site.folder / 'plan.sql'}"],
        [*psql, f"--file={site.folder / 'context.sql'}"],
    )


@dataclass(frozen=True)
class Standing:
    """What the sidecar says, as far as it changes when something happens."""

    phase: str | None
    incident: str | None
    symptoms: tuple[str, ...]
    refusal: str | None
    succeeded: bool  # a heal, of any incident

    @property
    def settled(self) -> bool:
        """Nothing is under way that ends by itself."""
        return self.phase not in AT_WORK and not (self.incident and self.refusal in PASSING)


@dataclass(frozen=True)
class Conclusion:
    """What was found. `seconds`: from the end of the last step until the sidecar said its last new thing."""

    verdict: str | None
    confidence: str | None
    symptoms: tuple[str, ...]
    attribution: Mapping[str, Any] | None
    circumstances: tuple[str, ...]
    healed: bool
    paged: bool
    seconds: float
    said: Mapping[str, Any]  # by `diagnose`, all of it


def investigated(
    scenario: Scenario, prepared: Prepared, folder: Path, warmth: Warmth | None = None
) -> Conclusion:
    """Break a database as `scenario` says, wait for the end, and ask what happened.

    `folder` is empty, and keeps the sidecar's log and state. Call it from the main thread.
    """
    with site_of(scenario, prepared, folder) as site, Pager() as pager:
        channels = {"NOTIFY": f"{pager.apprise_url}notify", "PAGE": f"{pager.apprise_url}page"}
        watcher = Watcher(folder, site.seen_url(WATCHDOG), channels, site=site, warmth=warmth)
        with watcher.running():
            wait_until(
                "a healthy sidecar with a fingerprint and a last good state",
                partial(_ready, watcher),
                deadline=HEALTHY_WITHIN,
                every=LOOK_EVERY,
            )
            for step in scenario.steps:
                carry_out(step, site)
            seconds, end = _watched_to_the_end(watcher, expected_to_heal=scenario.healed)
            asked = watcher.call("watchdog", "diagnose", "--json")
            paged = any(receipt.path == "/page" for receipt in pager.receipts)
    try:
        said = json.loads(asked.stdout)
    except json.JSONDecodeError as error:
        raise AssertionError(
            f"diagnose exited {asked.returncode} without an answer:\n{asked.stdout}{asked.stderr}"
        ) from error
    return Conclusion(
        said["verdict"],
        said["confidence"],
        tuple(said["symptoms"]),
        said["attribution"],
        tuple(said["circumstances"]),
        end.succeeded,
        paged,
        round(seconds, 2),
        said,
    )


def _ready(watcher: Watcher) -> bool:
    """Whether it is healthy, and has kept what it will compare with."""
    state = watcher.state()
    return state["phase"] == Phase.HEALTHY and state["last_good"] is not None and _has_a_fingerprint(watcher)


def _has_a_fingerprint(watcher: Watcher) -> bool:
    file = watcher.folder / "state" / "watchdog.sqlite"
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
        found = store.execute("SELECT count(*) FROM evidence WHERE kind = 'fingerprint'").fetchone()
    return bool(found[0])


def _watched_to_the_end(watcher: Watcher, *, expected_to_heal: bool) -> tuple[float, Standing]:
    """Look until nothing new has come for a while; a heal that is expected and has held needs no while."""
    began = changed = time.monotonic()
    last = _standing(watcher)

    def over() -> bool:
        nonlocal changed, last
        now = _standing(watcher)
        if now != last:
            last, changed = now, time.monotonic()
        if expected_to_heal and last.succeeded and last.phase == Phase.HEALTHY:
            return True
        return last.settled and time.monotonic() - changed > SETTLED_AFTER

    # Out of time is an end as well: what is missing shows in what is found.
    with contextlib.suppress(DeadlineExceeded):
        wait_until("the end", over, deadline=CONCLUDED_WITHIN, every=LOOK_EVERY)
    return changed - began, last


def _standing(watcher: Watcher) -> Standing:
    try:
        state = watcher.state()
        if state["phase"] is None:
            return Standing(None, None, (), None, False)
        incidents = watcher.get("api/incidents")["incidents"]
    except httpx.TransportError as error:
        raise AssertionError(f"the sidecar does not answer: {error}\n{watcher.log}") from error
    incident = state["incident"]
    return Standing(
        state["phase"],
        incident["id"] if incident else None,
        tuple(incident["symptoms"]) if incident else (),
        state["healing"]["refusal"],
        any(_healed(watcher, each["id"]) for each in incidents),
    )


def _healed(watcher: Watcher, incident: str) -> bool:
    heals = watcher.get(f"api/incidents/{incident}")["heals"]
    return any(heal["outcome"] == "succeeded" for heal in heals)


def differences(scenario: Scenario, found: Conclusion) -> list[str]:
    """What is not as the catalogue says; nothing where the scenario was understood and treated right."""
    wrong = []
    if found.verdict != scenario.verdict:
        wrong.append(f"verdict {found.verdict}, expected {scenario.verdict}")
    symptoms = {str(scenario.symptom)} if scenario.symptom else set()
    if not symptoms <= set(found.symptoms) or (not symptoms and found.symptoms):
        wrong.append(f"symptoms {', '.join(found.symptoms) or 'none'}, expected {scenario.symptom}")
    if not _attributed(scenario, found.attribution):
        wrong.append(f"attributed to {who(found)}, expected {scenario.attribution}")
    missing = scenario.circumstances - set(found.circumstances)
    if missing:
        wrong.append(f"circumstances without {', '.join(sorted(missing))}")
    if found.healed != scenario.healed:
        wrong.append("healed" if found.healed else "not healed")
    if found.paged and (scenario.heals is Heals.ONCE or scenario.verdict is None):
        wrong.append("somebody was paged")
    return wrong


def _attributed(scenario: Scenario, found: Mapping[str, Any] | None) -> bool:
    expected = scenario.attribution
    if expected is None or found is None:
        return expected is None and found is None
    return (
        found["application_name"].startswith(expected.application_name)
        and found["statement"].startswith(expected.statement)
        and found["role"] == expected.role
        and bool(found["pid"])
        and found["client_addr"] is not None
    )


def who(found: Conclusion) -> str:
    """The session that was named, for a table."""
    named = found.attribution
    if named is None:
        return "-"
    return f"{named['role']} ({named['application_name']}): {named['statement'].splitlines()[0][:40]}"

"""A stranger's database, in a stranger's spelling: init, check, wipe, healed by a program of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.postgres import find_binaries
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.probe import names
from tests.sidecars import ALPIMONITOR, DEADLINE, POLICY, Sidecar

pytestmark = pytest.mark.acceptance

FOREIGN = Path(__file__).with_name("foreign.sql")
CONTEXT = {
    'public."Catchment"': 1,
    'public."Glacier"': 2,
    'public."Operator"': 2,
    'public."Sensor"': 14,
    'public."Station"': 7,
    'public."StationGlacier"': 6,
    'public."Tag"': 3,
    'public."Threshold"': 7,
    'public."User"': 1,
    'public."Withdrawal"': 2,
    'public."_GlacierToTag"': 2,
    'public."_StationToTag"': 7,
    'registry."Canton"': 3,
    'registry."Municipality"': 2,
}
OPERATIONAL = {'public."Alert"', 'public."IngestionRun"', 'public."Measurement"', 'public."Session"'} | {
    'public."ThresholdAudit"'
}
# Prints as a plan the rows of a JSON file, {table: [row]}, that the database of the PG* variables lacks.
PLAN = """
import json, sys
import psycopg
from psycopg import sql
inserts = {}
with psycopg.connect("") as connection:
    for table, rows in json.load(open(sys.argv[1])).items():
        name = sql.Identifier(*table.replace('"', "").split("."))
        there = connection.execute(sql.SQL("SELECT to_jsonb(t) FROM {} AS t").format(name)).fetchall()
        inserts[table] = [row for row in rows if (row,) not in there]
print(json.dumps({"inserts": inserts, "updates": {}, "deletes": {}}))
"""


@dataclass
class StrangersSidecar(Sidecar):
    """Runs from the file that `init` wrote, as its operator completed it, and tells what it imports."""

    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.more}

    def write(self) -> None:
        """The file is there."""

    def launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """A new interpreter of its own, told to say each module that it loads, by whatever way."""
        environ = {**self.environment, "PYTHONVERBOSE": "1"}
        return subprocess.Popen([*ALPIMONITOR, "watchdog", "run"], env=environ, stdout=log, stderr=log)


@pytest.fixture
def foreign(empty_database: str) -> str:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(FOREIGN.read_text(encoding="utf-8"))
    return empty_database


def test_a_strangers_database_is_described_checked_wiped_and_healed_by_its_own_command(
    tmp_path: Path, foreign: str
) -> None:
    before = contents(foreign)
    with Pager() as pager:
        channels = {"NOTIFY": f"{pager.apprise_url}notify", "PAGE": f"{pager.apprise_url}page"}
        sidecar = StrangersSidecar(tmp_path, foreign, channels, more=of_libpq(foreign))
        described = sidecar.call("watchdog", "init", "--output", str(sidecar.config), "--json")
        assert described.returncode == 0, described.stderr
        said = json.loads(described.stdout)
        assert {t["name"]: t["expected"] for t in said["tables"] if t["kind"] == "context"} == CONTEXT
        assert {t["name"] for t in said["tables"] if t["kind"] == "operational"} == OPERATIONAL
        assert said["revision"] == {"tool": "Prisma", "value": "20260211093000_add_registry"}
        assert said["passed_over"] == [{"name": "public._prisma_migrations", "reason": "bookkeeping"}]

        checked = sidecar.call("watchdog", "check")
        assert checked.returncode == 0, checked.stdout
        assert 'holds    table registry."Municipality"' in checked.stdout
        assert "holds    revision: the schema is at 20260211093000_add_registry" in checked.stdout

        complete(sidecar, before)
        switch_on(sidecar)
        checked = sidecar.call("watchdog", "check")
        assert checked.returncode == 0, checked.stdout
        assert "nothing is missing" in checked.stdout

        with sidecar.running():
            # A database is guarded once it was seen whole.
            sidecar.until("healthy")
            wiped(foreign)
            received = pager.wait_for(
                lambda receipts: any("resolved" in receipt.title for receipt in receipts), deadline=DEADLINE
            )
            sidecar.until("healthy")
        assert contents(foreign) == before
        assert 'public."Station"' in received[0].title + received[0].body
        assert {receipt.path for receipt in received} == {"/notify"}
    imported = modules_in(sidecar.log)
    assert {"alpimonitor_watchdog.loop", "alpimonitor_watchdog.heal.command"} <= imported
    assert not {name for name in imported if name.split(".")[0] in ("alpimonitor_api", "alpimonitor_seed")}


def test_a_process_that_does_import_the_seed_says_so() -> None:
    """What the test above looks for would be found, were it there."""
    ended = subprocess.run(
        [*ALPIMONITOR, "seed", "--help"],
        env={**os.environ, "PYTHONVERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert {"alpimonitor_seed", "alpimonitor_seed.cli"} <= modules_in(ended.stderr)


def test_as_the_file_is_written_a_heal_is_planned_and_said_and_not_done(tmp_path: Path, foreign: str) -> None:
    with Pager() as pager:
        channels = {"NOTIFY": f"{pager.apprise_url}notify", "PAGE": f"{pager.apprise_url}page"}
        sidecar = StrangersSidecar(tmp_path, foreign, channels, more=of_libpq(foreign))
        assert sidecar.call("watchdog", "init", "--output", str(sidecar.config)).returncode == 0
        complete(sidecar, contents(foreign))
        with sidecar.running():
            sidecar.until("healthy")
            wiped(foreign)
            received = pager.wait_for(
                lambda receipts: any("dry_run" in receipt.title for receipt in receipts), deadline=DEADLINE
            )
            assert "Plan (dry run: not carried out)" in received[0].body
            # Nothing but being switched on is missing by then, and it waits for nothing else.
            wait_until(
                "the refusal that is left",
                lambda: sidecar.state()["healing"]["refusal"] == "dry_run",
                deadline=DEADLINE,
            )
        with psycopg.connect(foreign) as connection:
            assert connection.execute('SELECT count(*) FROM "Station"').fetchone() == (0,)


def contents(url: str) -> dict[str, list[object]]:
    """Every row of every context table, as JSON, in an order of their own."""
    found: dict[str, list[object]] = {}
    with psycopg.connect(url) as connection:
        for table in CONTEXT:
            rows = connection.execute(sql.SQL("SELECT to_jsonb(t) FROM {} AS t").format(identifier(table)))
            found[table] = sorted((row for (row,) in rows), key=json.dumps)
    return found


def wiped(url: str) -> None:
    """As in April, and as a cascade does it: one DELETE empties nine tables, eight of them unnamed."""
    with psycopg.connect(url) as connection:
        connection.execute('DELETE FROM "Catchment"; DELETE FROM "Glacier"; DELETE FROM "Tag"')
        connection.execute('DELETE FROM "Operator"; DELETE FROM "User"')
        connection.execute('DELETE FROM "registry"."Municipality"; DELETE FROM "registry"."Canton"')


def complete(sidecar: Sidecar, rows: Mapping[str, list[object]]) -> None:
    """What an operator adds: a pace for the test, programs that heal, and channels."""
    folder = sidecar.folder
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "plan.py").write_text(PLAN)
    declared = FOREIGN.read_text(encoding="utf-8")
    context = re.split(r"(?m)^-- ---- .*$", declared)[1]
    (folder / "context.sql").write_text(context, encoding="utf-8")
    psql = str(find_binaries().program("psql"))
    run = [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={folder / 'context.sql'}"]
    pace = "".join(f'{key} = "{value}"\n' for key, value in POLICY.items())
    written = sidecar.config.read_text(encoding="utf-8")
    for old, new in (
        ('interval = "1s"\ntimeout = "50ms"\n', pace),
        ("#[heal.command]\n", "[heal.command]\n"),
        (
            '#plan = ["/usr/local/bin/restore-context", "--plan"]',
            f"plan = {json.dumps([sys.executable, str(folder / 'plan.py'), str(folder / 'rows.json')])}",
        ),
        ('#run = ["/usr/local/bin/restore-context"]', f"run = {json.dumps(run)}"),
        (
            "#[heal.command.environment]\n#PGPASSFILE",
            '[heal.command.environment]\nPYTHONVERBOSE = ""\n#PGPASSFILE',
        ),
    ):
        assert written.count(old) == 1, old
        written = written.replace(old, new)
    for variable in sidecar.channels:
        name = variable.lower()
        written += f'\n[[channel]]\nname = "{name}"\nurl_env = "{variable}"\ntags = ["{name}"]\n'
    sidecar.config.write_text(written, encoding="utf-8")


def switch_on(sidecar: Sidecar) -> None:
    written = sidecar.config.read_text(encoding="utf-8")
    assert written.count('mode = "dry-run"') == 1
    sidecar.config.write_text(written.replace('mode = "dry-run"', 'mode = "on"'), encoding="utf-8")


def of_libpq(url: str) -> dict[str, str]:
    """The variables by which psql and the plan reach the database: the sidecar's URL is kept from them."""
    parts = urlsplit(url)
    return {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }


def modules_in(log: str) -> set[str]:
    """What an interpreter with PYTHONVERBOSE said that it loaded."""
    return set(re.findall(r"(?m)^import '([\w.]+)' #", log))


def identifier(table: str) -> sql.Identifier:
    name = names.parse(table)
    assert name.schema is not None
    return sql.Identifier(name.schema.exact, name.table.exact)

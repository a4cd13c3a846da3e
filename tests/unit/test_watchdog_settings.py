"""watchdog.toml: what a good one becomes, and what is said about a bad one."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_watchdog.core.brakes import Window
from alpimonitor_watchdog.core.model import Policy
from alpimonitor_watchdog.core.seen import TableExpected
from alpimonitor_watchdog.core.words import Mode, Tag
from alpimonitor_watchdog.durations import seconds
from alpimonitor_watchdog.settings import Settings, SettingsError, load

ENVIRON = {"WATCHDOG_DATABASE_URL": "postgresql://watch:sesame@db:5433/hydro"}
TABLE = '[[table]]\nname = "station"\nexpected = 7\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "watchdog.toml"


def read(config: Path, text: str, **environ: str) -> Settings:
    config.write_text(text, encoding="utf-8")
    return load({**ENVIRON, **environ}, config)


def refused(config: Path, text: str, **environ: str) -> list[str]:
    """The lines of the refusal, without the file's name."""
    with pytest.raises(SettingsError) as raised:
        read(config, text, **environ)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{config}: ") for line in lines)
    return [line.removeprefix(f"{config}: ") for line in lines]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500ms", 0.5),
        ("50ms", 0.05),
        ("10s", 10),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604800),
        ("0s", 0),
    ],
)
def test_a_duration_is_a_number_with_its_unit(written: str, expected: float) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize(
    "written", ["", "10", "s", "-1s", "10 seconds", "1e3s", "1s2ms", "1,5s", 10, 1.5, None, True]
)
def test_anything_else_is_no_duration_and_the_shape_is_said(written: object) -> None:
    with pytest.raises(ValueError, match='such as "500ms", "10s" or "5m"'):
        seconds(written)


def test_one_table_is_enough_and_the_rest_has_defaults(config: Path) -> None:
    settings = read(config, TABLE)
    assert settings.expectation().tables == (TableExpected("station", context=True, floor=7, expected=7),)
    assert settings.core_policy() == dataclasses.replace(Policy(), mode=Mode.DRY_RUN, healer=None)
    assert (settings.policy.interval, settings.policy.timeout, settings.policy.count_limit) == (
        1.0,
        0.05,
        10_000,
    )
    assert not settings.expectation().health_watched
    assert settings.expectation().stations is None
    assert settings.lock_prefix == "alpimonitor"


EVERYTHING = """
[database]
url_env = "HYDRO_URL"
environment = "${DEPLOYMENT:-staging}"
application_role = "hydro_app"
lock_prefix = "hydro"

[[table]]
name = 'public."Station"'
expected = 7
floor = 5
columns = ["id", "name"]

[[table]]
name = "measurement"
kind = "operational"

[revision]
query = "SELECT version FROM schema_version"
allowed = ["12", "13"]

[ingestion]
query = "SELECT 4, now(), now()"
expected = 4
interval = "5m"
stale_after = "20m"

[[health]]
url = "${API}/health"

[[health]]
url = "https://api.example/stations"
expect_json_path = "data"
expect = 7

[policy]
interval = "500ms"
outside_interval = "5s"
timeout = "20ms"
count_limit = 500
confirm_for = "0s"
confirm_probes = 1
quiet_for = "1s"
page_after = "2s"
shrink_fraction = 0.25
accept_after = "12s"
clear_for = "13s"
flap_window = "14s"
leader_lease = "3s"
heal_budget = 1
heal_window = "2h"
backoff_first = "1s"
backoff_max = "2s"
backoff_reset_after = "3s"
circuit_after_failures = 1
circuit_after_wipes = 2
circuit_trial_after = "15s"
reminder_every = "4m"
escalate_after = "5m"
proof_within = "6s"
verify_grace = "7s"
unreachable_after = "8s"
unhealthy_after = "9s"
settle_after = "10s"
straggler_after = "11s"

[healing]
mode = "on"
order = ["command"]

[heal.command]
plan = ["reseed", "--plan"]
run = ["reseed"]
after = [["ingest"], ["replay", "--all"]]
base = ["reseed", "--base"]
deadline = "30s"

[heal.command.environment]
RESEED_URL = "${HYDRO_SEED_URL}"

[[maintenance]]
reason = "the yearly move"
start = 2026-05-01T00:00:00Z
end = 2026-05-01T04:00:00+02:00

[[channel]]
name = "ops"
url_env = "OPS_URL"
tags = ["notify", "page"]

[heartbeat]
url_env = "HEARTBEAT_URL"
every = "1m"
"""
VARIABLES = {
    "HYDRO_URL": "postgresql://watch:sesame@db:5433/hydro",
    "API": "http://127.0.0.1:8000/api/v1",
    "HYDRO_SEED_URL": "postgresql://seed:sesame@db/hydro",
    "OPS_URL": "json://pager:8080/",
}


def test_every_key_arrives_where_it_is_used(config: Path) -> None:
    settings = read(config, EVERYTHING, **VARIABLES)
    assert settings.database_place == "hydro@db:5433"
    assert (settings.environment, settings.application_role, settings.lock_prefix) == (
        "staging",
        "hydro_app",
        "hydro",
    )
    assert settings.tables[0].columns == ("id", "name")
    expectation = settings.expectation()
    assert expectation.tables == (
        TableExpected('public."Station"', context=True, floor=5, expected=7),
        TableExpected("measurement", context=False, floor=0, expected=0),
    )
    assert expectation.revisions == {"12", "13"}
    assert (expectation.stations, expectation.ingestion_interval, expectation.health_watched) == (
        4,
        300.0,
        True,
    )
    assert (expectation.stale_after, expectation.environment) == (1200.0, "staging")
    assert [(found.url, found.expect) for found in settings.health] == [
        ("http://127.0.0.1:8000/api/v1/health", None),
        ("https://api.example/stations", 7),
    ]
    assert settings.core_policy() == Policy(
        mode=Mode.ON,
        healer="command",
        confirm_for=0,
        confirm_probes=1,
        quiet_for=1,
        page_after=2,
        shrink_fraction=0.25,
        accept_after=12,
        clear_for=13,
        flap_window=14,
        heal_budget=1,
        heal_window=7200,
        backoff_first=1,
        backoff_max=2,
        backoff_reset_after=3,
        circuit_after_failures=1,
        circuit_after_wipes=2,
        circuit_trial_after=15,
        reminder_every=240,
        escalate_after=300,
        proof_within=6,
        verify_grace=7,
        unreachable_after=8,
        unhealthy_after=9,
        settle_after=10,
        straggler_after=11,
        maintenance=(
            Window("the yearly move", datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, 2, tzinfo=UTC)),
        ),
    )
    assert settings.leader_lease == 3
    assert (settings.policy.interval, settings.policy.outside_interval, settings.policy.timeout) == (
        0.5,
        5,
        0.02,
    )
    assert settings.heal_command is not None
    assert settings.heal_command.after == (("ingest",), ("replay", "--all"))
    assert settings.heal_command.environment == {"RESEED_URL": "postgresql://seed:sesame@db/hydro"}
    assert settings.maintenance[0].start == datetime(2026, 5, 1, tzinfo=UTC)
    (channel,) = settings.channels
    assert (channel.name, channel.url.get_secret_value(), channel.tags) == (
        "ops",
        "json://pager:8080/",
        {Tag.NOTIFY, Tag.PAGE},
    )


def test_evidence_queries_arrive_by_their_names(config: Path) -> None:
    declared = """
[evidence.queries]
reload = "SELECT at, who FROM reload WHERE note <> ';' -- ; newest first\\nORDER BY at DESC"
audit = 'TABLE "odd;name"'
"""
    settings = read(config, TABLE + declared)
    assert dict(settings.evidence) == {
        "reload": "SELECT at, who FROM reload WHERE note <> ';' -- ; newest first\nORDER BY at DESC",
        "audit": 'TABLE "odd;name"',
    }


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("reload", "DELETE FROM reload"),
        ("reload", "SELECT 1; DELETE FROM reload"),
        ("reload", "SELECT 1;"),
        ("reload", "VALUES (1)"),
        ("reload", "SELECT '' ; -- '"),
        ("reload", "SELECT $a$;$a$ ; SELECT $$;$$"),
        ("reload", ""),
        ("Two words", "SELECT 1"),
    ],
)
def test_an_evidence_query_is_one_statement_that_selects(config: Path, name: str, query: str) -> None:
    declared = f'[evidence]\nqueries = {{ "{name}" = {json.dumps(query)} }}\n'
    with pytest.raises(SettingsError, match=r"\[evidence\.queries\]"):
        read(config, TABLE + declared)


def test_nothing_secret_shows_in_the_settings_themselves(config: Path) -> None:
    shown = repr(read(config, EVERYTHING, **VARIABLES))
    assert "sesame" not in shown
    assert "pager" not in shown


def test_every_number_of_deciding_can_be_declared(config: Path) -> None:
    names = {number.name for number in dataclasses.fields(Policy)} - {"mode", "healer", "maintenance"}
    section = type(read(config, TABLE).policy)
    assert names <= set(section.model_fields)
    assert {name: getattr(section(), name) for name in names} == {
        name: getattr(Policy(), name) for name in names
    }


def test_settings_cannot_be_changed(config: Path) -> None:
    settings: Any = read(config, TABLE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.environment = "production"
    with pytest.raises(ValueError, match="frozen"):
        settings.policy.heal_budget = 1000


def test_a_healer_that_is_declared_and_not_in_the_order_does_not_heal(config: Path) -> None:
    command = '[heal.command]\nplan = ["p"]\nrun = ["r"]\n'
    assert read(config, TABLE + command).core_policy().healer == "command"
    assert read(config, TABLE + command + "[healing]\norder = []\n").core_policy().healer is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            TABLE + '[policy]\nconfirm_fro = "1s"\n',
            "[policy] confirm_fro is not a key that is known; did you mean confirm_for?",
            id="a key misspelt",
        ),
        pytest.param(
            TABLE + "[polcy]\n", "[polcy] is not a key that is known; did you mean policy?", id="a section"
        ),
        pytest.param(
            TABLE + "[revision]\nquery = 'SELECT 1'\nallowed = ['1']\nxyzzy = 1\n",
            "[revision] xyzzy is not a key that is known; known here: allowed, query",
            id="a key like no other",
        ),
        pytest.param(
            TABLE + '[heal.command]\nplan = ["p"]\nrun = ["r"]\nenviroment = {}\n',
            "[heal.command.enviroment] is not a key that is known; did you mean environment?",
            id="a key in a section within a section",
        ),
        pytest.param(
            TABLE + "flor = 3\n",
            "[[table]] 'station' flor is not a key that is known; did you mean floor?",
            id="a key of one table of many",
        ),
        pytest.param("", "table is missing", id="no table"),
        pytest.param("table = []", "table is empty", id="an empty list of tables"),
        pytest.param("[[table]]\nexpected = 1\n", "[[table]] number 1 name is missing", id="no name"),
        pytest.param(
            '[[table]]\nname = "station"\n',
            "[[table]] 'station': a context table needs `expected`, the rows it has when healthy",
            id="nothing expected",
        ),
        pytest.param(
            TABLE + "floor = 8\n",
            "[[table]] 'station': `floor` is above `expected`: a healthy table would count as shrunk",
            id="a floor above the ceiling",
        ),
        pytest.param(
            TABLE.replace("7", '"7"'),
            "[[table]] 'station' expected: it has to be a valid integer",
            id="7 in quotes",
        ),
        pytest.param(
            TABLE.replace("7", "-1"),
            "[[table]] 'station' expected: it has to be greater than or equal to 0",
            id="less than nothing",
        ),
        pytest.param(
            TABLE.replace("station", "a b"),
            "[[table]] 'a b' name: not the name of a table; "
            'write it as station, public.station or public."Station"',
            id="no name of a table",
        ),
        pytest.param(TABLE * 2, "[[table]] 'station' is declared twice", id="twice"),
        pytest.param(
            TABLE.replace("7", "20000"),
            "[[table]] 'station' expects more rows than [policy] count_limit counts (10000); "
            "raise count_limit above 20000",
            id="more than is counted",
        ),
        pytest.param(
            TABLE + "[policy]\ninterval = 1\n",
            "[policy] interval: not a duration; "
            'write a number and its unit in quotes, such as "500ms", "10s" or "5m"',
            id="a duration without unit",
        ),
        pytest.param(
            TABLE + '[policy]\ninterval = "0s"\n',
            "[policy] interval: it has to be greater than or equal to 0.1",
            id="no pause at all",
        ),
        pytest.param(
            TABLE + "[policy]\nshrink_fraction = nan\n",
            "[policy] shrink_fraction: it has to be less than or equal to 1",
            id="not a number",
        ),
        pytest.param(
            TABLE + '[policy]\nbackoff_first = "1h"\n',
            "[policy]: `backoff_first` is longer than `backoff_max`",
            id="a back-off that shrinks",
        ),
        pytest.param(
            TABLE + '[healing]\nmode = "yes"\n',
            "[healing] mode: it has to be 'on', 'dry-run' or 'off'",
            id="a mode that is none",
        ),
        pytest.param(
            TABLE + '[healing]\norder = ["snapshot"]\n',
            "[healing] order number 1: it has to be 'command'",
            id="a healer that there is not",
        ),
        pytest.param(
            TABLE + '[heal.command]\nplan = []\nrun = ["r"]\n',
            "[heal.command] plan is empty",
            id="an empty argv",
        ),
        pytest.param(
            TABLE + '[heal.command]\nplan = "p"\nrun = ["r"]\n',
            "[heal.command] plan: it has to be a valid array",
            id="a shell line",
        ),
        pytest.param(
            TABLE + '[[health]]\nurl = "ftp://api"\n',
            "[[health]] number 1 url: not an address; write it as http://host:port/path",
            id="another scheme",
        ),
        pytest.param(
            TABLE + '[[health]]\nurl = "http://u:p@api"\n',
            "[[health]] number 1 url: an address with a password in it; "
            "it would be shown in logs and on the status page",
            id="a password in an address",
        ),
        pytest.param(
            TABLE + '[[health]]\nurl = "http://api"\nexpect = 7\n',
            "[[health]] number 1: `expect_json_path` and `expect` belong together",
            id="an expectation of nothing",
        ),
        pytest.param(
            TABLE + '[[health]]\nurl = "http://api"\nexpect = 7\nexpect_json_path = "a..b"\n',
            "[[health]] number 1 expect_json_path: not a path; "
            "write keys and positions such as ingestion.lastRun or data[0].name",
            id="no path",
        ),
        pytest.param(
            TABLE + '[ingestion]\nexpected = 4\nurl = "http://api"\n',
            "[ingestion]: give either `url` and `json_path`, or `query`",
            id="half an ingestion",
        ),
        pytest.param(
            TABLE + '[ingestion]\nexpected = 4\nquery = "DELETE FROM run"\n',
            "[ingestion] query: not a statement that only reads; "
            "it has to begin with SELECT, WITH, TABLE, VALUES or SHOW",
            id="a query that writes",
        ),
        pytest.param(
            TABLE + '[revision]\nquery = "SELECT 1"\nallowed = []\n',
            "[revision] allowed is empty",
            id="nothing allowed",
        ),
        pytest.param(
            TABLE + '[[channel]]\nname = "Ops!"\nurl_env = "OPS"\n',
            "[[channel]] 'Ops!' name: not a name for a channel; write lower-case letters, digits, - and _",
            id="a name with a bang",
        ),
        pytest.param(
            TABLE + '[[channel]]\nname = "ops"\nurl_env = "OPS"\ntags = ["pge"]\n',
            "[[channel]] 'ops' tags number 1: it has to be 'notify' or 'page'",
            id="a tag misspelt",
        ),
        pytest.param(
            TABLE
            + '[[maintenance]]\nreason = "x"\nstart = 2026-05-01T00:00:00\nend = 2026-05-02T00:00:00Z\n',
            "[[maintenance]] number 1 start: it has to have timezone info",
            id="a time without offset",
        ),
        pytest.param(
            TABLE
            + '[[maintenance]]\nreason = "x"\nstart = 2026-05-02T00:00:00Z\nend = 2026-05-01T00:00:00Z\n',
            "[[maintenance]] number 1: `end` is not after `start`",
            id="backwards",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_remedy(config: Path, text: str, says: str) -> None:
    assert refused(config, text) == [says]


def test_every_problem_is_said_at_once(config: Path) -> None:
    text = TABLE + 'flor = 1\n[policy]\ntimeout = "1h"\nheal_budget = "3"\n[healing]\nmode = 1\n'
    assert [line.split(":")[0].split(" is ")[0] for line in refused(config, text)] == [
        "[[table]] 'station' flor",
        "[policy] timeout",
        "[policy] heal_budget",
        "[healing] mode",
    ]


def test_a_secret_in_the_wrong_place_is_not_repeated(config: Path) -> None:
    text = TABLE + '[[channel]]\nname = "ops"\nurl_env = "slack://tokenA/tokenB"\n'
    (line,) = refused(config, text)
    assert "token" not in line
    assert "the value itself does not belong in this file" in line


def test_a_file_that_is_no_toml_is_said_with_the_line(config: Path) -> None:
    config.write_text("[[table]]\nname = station\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"watchdog\.toml is not TOML: .*line 2.*; see https://toml\.io"):
        load(ENVIRON, config)


def test_a_file_that_is_no_text_is_refused(config: Path) -> None:
    config.write_bytes(b"\xff\xfe[")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(ENVIRON, config)


def test_a_file_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read .*let WATCHDOG_CONFIG name"):
        load({**ENVIRON, "WATCHDOG_CONFIG": str(tmp_path / "nowhere.toml")})

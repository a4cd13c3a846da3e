"""Seeding a real database: what is written, what stays, what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from alpimonitor_api import ids
from alpimonitor_api.tables import SeedMode, SeedOutcome
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.apply import Limits, Request, Result, Seeding, Stop, Unreachable, seed
from alpimonitor_seed.fixtures import TABLES, Fixtures, load
from alpimonitor_seed.plan import Wish
from alpimonitor_seed.record import Client
from alpimonitor_seed.target import parse
from tests.databases import PostgresForTests, name_of, url_of

SHIPPED = load()
CLIENT = Client("0.0.0", "alpimonitor-seed 0.0.0 test 1")
CONVERGE = Wish(mode=SeedMode.CONVERGE)
BRIG = ids.station_id("2346")
CHANGE_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:change', 0))"


def seeding(url: str, wish: Wish | None = None, fixtures: Fixtures = SHIPPED, **request: Any) -> Seeding:
    """A seed that preflight has no objection to, wherever the tests' database is."""
    allowed = {"allowed": True, "confirmed": name_of(url), **request}
    return Seeding(
        parse(url, variable="SEED_DATABASE_URL"), fixtures, CLIENT, Request(wish=wish or Wish(), **allowed)
    )


def query(url: str, statement: str, *parameters: object) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def context(url: str) -> dict[str, list[dict[str, Any]]]:
    return {table: query(url, f"SELECT * FROM {table} ORDER BY id") for table in TABLES}


def runs(url: str) -> list[dict[str, Any]]:
    return query(url, "SELECT * FROM seed_run ORDER BY at")


def measure(url: str, code: str) -> None:
    query(
        url,
        "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)"
        " VALUES (%s, now(), 1, now())",
        ids.sensor_id(code, "DISCHARGE"),
    )


def without(*codes: str) -> Fixtures:
    """The shipped fixtures without some stations and all that hangs on them."""
    gone = {str(ids.station_id(code)) for code in codes}
    return Fixtures(
        {
            table: tuple(row for row in rows if not gone & {row["id"], row.get("station_id")})
            for table, rows in SHIPPED.rows.items()
        }
    )


@contextmanager
def held(url: str, statement: str) -> Iterator[psycopg.Connection]:
    """Somebody else's open transaction."""
    with psycopg.connect(url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
        yield connection


def waits_for_a_lock(url: str) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(query(url, waiting))


def test_an_empty_database_gets_every_fixture(database: str) -> None:
    result = seed(seeding(database))
    assert (result.outcome, result.counts.total) == (SeedOutcome.APPLIED, 39)
    for table, rows in context(database).items():
        written = {str(row["id"]): row for row in rows}
        assert len(written) == len(SHIPPED.rows[table])
        for row in SHIPPED.rows[table]:
            there = written[str(row["id"])]
            assert {name: str(there[name]) if name.endswith("id") else there[name] for name in row} == row


def test_a_run_is_recorded_with_who_where_and_how_much(database: str) -> None:
    seed(seeding(database, reason="after the incident"))
    (run,) = runs(database)
    connected = query(database, "SELECT session_user AS role, inet_client_addr() AS address")[0]
    assert {name: run[name] for name in ("mode", "outcome", "reason", "role", "client_addr")} == {
        "mode": "missing",
        "outcome": "applied",
        "reason": "after the incident",
        "role": connected["role"],
        "client_addr": connected["address"],
    }
    assert run["application_name"] == CLIENT.application_name
    assert (run["database"], run["version"]) == (name_of(database), "0.0.0")
    assert run["host"] == psycopg.conninfo.conninfo_to_dict(database)["host"]
    assert run["inserted"] == {table: len(rows) for table, rows in SHIPPED.rows.items()}
    assert (run["updated"], run["pruned"]) == ({}, {})


def test_the_server_sees_the_application_name(database: str) -> None:
    with held(database, CHANGE_LOCK), ThreadPoolExecutor(1) as pool:
        running = pool.submit(seed, seeding(database))
        names = "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        seen = wait_until("the seed waiting", lambda: query(database, names), deadline=10)
        query(database, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        running.result()
    assert seen == [{"application_name": CLIENT.application_name}]


def test_a_second_seed_has_nothing_to_do_and_says_so(seeded_database: str) -> None:
    before = context(seeded_database)
    assert seed(seeding(seeded_database)).outcome is SeedOutcome.NOTHING_TO_DO
    assert context(seeded_database) == before
    assert runs(seeded_database)[-1]["outcome"] == "nothing_to_do"


def test_lost_rows_come_back_with_the_identifiers_they_had(seeded_database: str) -> None:
    before = context(seeded_database)
    query(seeded_database, f"TRUNCATE {', '.join(TABLES)} CASCADE")
    seed(seeding(seeded_database))
    assert context(seeded_database) == before


def test_missing_touches_nothing_that_is_there(seeded_database: str) -> None:
    query(seeded_database, "UPDATE station SET name = 'Brigue' WHERE ofev_code = '2346'")
    query(seeded_database, "DELETE FROM withdrawal")
    result = seed(seeding(seeded_database))
    assert result.counts.inserted == {"withdrawal": 2}
    assert query(seeded_database, "SELECT name FROM station WHERE id = %s", BRIG) == [{"name": "Brigue"}]


def test_converge_restores_values_of_every_type_and_leaves_the_others(seeded_database: str) -> None:
    before = context(seeded_database)
    query(
        seeded_database,
        "UPDATE station SET name = 'x', latitude = 1.5, altitude_m = 7, is_active = false,"
        " flow_type = 'DOTATION' WHERE ofev_code IN ('2346', '2011')",
    )
    query(seeded_database, "UPDATE station SET river_name = 'y' WHERE ofev_code = '2630'")
    query(seeded_database, "UPDATE withdrawal SET annual_volume_m3 = 5")
    query(seeded_database, "UPDATE catchment SET description = NULL")
    result = seed(seeding(seeded_database, CONVERGE))
    assert result.counts.updated == {"catchment": 1, "station": 3, "withdrawal": 2}
    assert context(seeded_database) == before


def test_an_operators_threshold_survives_converge(seeded_database: str) -> None:
    tune = "UPDATE threshold SET alert_value = 300, tuned_at = now(), tuned_by = 'op' WHERE station_id = %s"
    query(seeded_database, tune, BRIG)
    before = context(seeded_database)
    result = seed(seeding(seeded_database, CONVERGE))
    assert result.outcome is SeedOutcome.NOTHING_TO_DO
    assert result.plan is not None
    assert len(result.plan.kept_tuned) == 1
    assert context(seeded_database) == before


def test_an_operators_threshold_is_overwritten_only_on_request(seeded_database: str) -> None:
    before = context(seeded_database)
    tune = "UPDATE threshold SET alert_value = 300, tuned_at = now(), tuned_by = 'op' WHERE station_id = %s"
    query(seeded_database, tune, BRIG)
    seed(seeding(seeded_database, Wish(SeedMode.CONVERGE, overwrite_tuned=True)))
    assert context(seeded_database) == before


def test_the_incidents_own_hypothesis_is_refused_changes_nothing_and_is_recorded(
    seeded_database: str,
) -> None:
    # An older image, whose list of stations differs, runs its seed with prune against a live database.
    for code in ("2346", "2011", "2630", "2009"):
        measure(seeded_database, code)
    before = context(seeded_database)
    older_list = without("2346", "2011", "2630", "2009", "TBD-BRAMOIS", "TBD-HAUDERES", "TBD-EVOLENE")
    wish = Wish(SeedMode.CONVERGE, prune=True, max_prune=1000)
    result = seed(seeding(seeded_database, wish, older_list))
    assert (result.outcome, result.stop) == (SeedOutcome.REFUSED, Stop.PRUNE_GUARD)
    assert result.why is not None
    assert "rows of measurement refer to station 2009, station 2011, station 2346" in result.why
    assert context(seeded_database) == before
    run = runs(seeded_database)[-1]
    assert (run["outcome"], run["pruned"], run["reason"]) == ("refused", {}, result.why)


def test_rows_are_pruned_children_first_when_that_is_allowed(seeded_database: str) -> None:
    fewer = without("2346", "TBD-HAUDERES")
    result = seed(seeding(seeded_database, Wish(prune=True, max_prune=12), fewer))
    assert result.counts.pruned == {
        "withdrawal": 2,
        "station_glacier": 2,
        "threshold": 2,
        "sensor": 4,
        "station": 2,
    }
    assert {row["ofev_code"] for row in context(seeded_database)["station"]} == {
        *("2011", "2630", "2009", "TBD-BRAMOIS", "TBD-EVOLENE")
    }


def test_a_prune_beyond_its_limit_changes_nothing(seeded_database: str) -> None:
    before = context(seeded_database)
    result = seed(seeding(seeded_database, Wish(prune=True, max_prune=3), without("2346")))
    assert result.stop is Stop.PRUNE_GUARD
    assert context(seeded_database) == before


def test_destructive_parts_state_their_reason_and_additions_do_not(seeded_database: str) -> None:
    query(seeded_database, "CREATE TABLE heard (operation text, reason text)")
    query(
        seeded_database,
        """
        CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO heard VALUES (TG_OP, current_setting('watchdog.reason', true)); RETURN NULL;
        END $$""",
    )
    query(
        seeded_database,
        "CREATE TRIGGER hear AFTER INSERT OR UPDATE OR DELETE ON station EXECUTE FUNCTION hear()",
    )
    query(seeded_database, "DELETE FROM withdrawal")
    wish = Wish(SeedMode.CONVERGE, prune=True, max_prune=4)
    seed(seeding(seeded_database, wish, without("2346"), reason="the station was closed"))
    query(seeded_database, "UPDATE station SET name = 'x' WHERE ofev_code = '2011'")
    seed(seeding(seeded_database, wish, without("2346")))
    seed(seeding(seeded_database))
    heard = [
        (row["operation"], row["reason"] or None) for row in query(seeded_database, "SELECT * FROM heard")
    ]
    assert heard == [
        ("DELETE", "the station was closed"),
        ("UPDATE", None),  # a person's own
        ("UPDATE", "alpimonitor seed --mode converge --prune"),
        ("INSERT", None),
    ]


def test_two_seeds_at_once_insert_each_row_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: seed(seeding(database)), range(4)))
    assert sorted(result.counts.total for result in results) == [0, 0, 0, 39]
    assert sorted(run["outcome"] for run in runs(database)) == ["applied", *["nothing_to_do"] * 3]


def test_a_seed_waits_for_whoever_holds_the_change_lock_and_then_sees_his_work(database: str) -> None:
    with ThreadPoolExecutor(1) as pool, held(database, CHANGE_LOCK) as healer:
        running = pool.submit(seed, seeding(database))
        wait_until("the seed waiting", lambda: waits_for_a_lock(database), deadline=10)
        row = SHIPPED.rows["catchment"][0]
        insert = "INSERT INTO catchment (id, name) VALUES (%s, %s)"
        healer.execute(insert, [row["id"], row["name"]])
        healer.commit()
        result = running.result()
    assert result.counts.inserted["station"] == 7
    assert "catchment" not in result.counts.inserted


def test_a_lock_that_is_never_given_back_ends_the_seed_with_the_remedy(database: str) -> None:
    impatient = replace(seeding(database), limits=Limits(lock=0.2))
    with held(database, CHANGE_LOCK):
        result = seed(impatient)
    assert (result.outcome, result.stop) == (SeedOutcome.FAILED, Stop.FAILED)
    assert result.why is not None
    assert "run this again when it has ended" in result.why
    assert runs(database)[-1]["outcome"] == "failed"


def test_ingestion_goes_on_while_a_seed_converges(seeded_database: str) -> None:
    query(seeded_database, "UPDATE station SET name = 'x'")
    slow = (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(42); "
    )
    query(seeded_database, slow + "PERFORM pg_advisory_unlock(42); RETURN NULL; END $$")
    query(seeded_database, "CREATE TRIGGER slow AFTER UPDATE ON station EXECUTE FUNCTION slow()")
    with ThreadPoolExecutor(1) as pool, held(seeded_database, "SELECT pg_advisory_xact_lock(42)") as brake:
        running = pool.submit(seed, seeding(seeded_database, CONVERGE))
        wait_until("the seed waiting", lambda: waits_for_a_lock(seeded_database), deadline=10)
        with psycopg.connect(seeded_database) as ingestion:
            ingestion.execute("SET lock_timeout = '2s'")
            ingestion.execute(
                "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)"
                " SELECT id, now(), 1, now() FROM sensor"
            )
        brake.rollback()
        assert running.result().counts.updated == {"station": 7}


@pytest.mark.parametrize("table", TABLES)
def test_a_failure_at_any_table_leaves_nothing_half_written(database: str, table: str) -> None:
    query(database, f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (id IS NULL) NOT VALID")
    result = seed(seeding(database))
    assert (result.outcome, result.stop) == (SeedOutcome.FAILED, Stop.FAILED)
    assert result.why is not None
    assert 'violates check constraint "never"' in result.why
    assert context(database) == {name: [] for name in TABLES}
    (run,) = runs(database)
    assert (run["outcome"], run["inserted"], run["reason"]) == ("failed", {}, result.why)


def test_a_session_that_is_killed_leaves_nothing_half_written_and_is_recorded(database: str) -> None:
    with held(database, "LOCK TABLE withdrawal"), ThreadPoolExecutor(1) as pool:
        running = pool.submit(seed, seeding(database))
        wait_until("the seed waiting", lambda: waits_for_a_lock(database), deadline=10)
        query(
            database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        result = running.result()
    assert result.stop is Stop.LOST
    assert result.why is not None
    assert "run this again when it is back" in result.why
    assert context(database) == {name: [] for name in TABLES}
    assert [run["outcome"] for run in runs(database)] == ["failed"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), psycopg.OperationalError("the connection is lost")])
def test_what_breaks_off_in_the_commit_is_not_said_to_be_unwritten(
    database: str, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    @contextmanager
    def cut_after_commit(connection: psycopg.Connection, _seeding: Seeding) -> Iterator[None]:
        with connection.transaction():
            yield
        raise failure

    monkeypatch.setattr("alpimonitor_seed.apply._in_transaction", cut_after_commit)
    if isinstance(failure, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            seed(seeding(database))
        assert [run["outcome"] for run in runs(database)] == ["applied"]
    else:
        assert "it may have been committed" in str(seed(seeding(database)).why)


def test_a_contradiction_is_refused_with_both_identifiers(database: str) -> None:
    stranger = "00000000-0000-0000-0000-000000000001"
    query(database, "INSERT INTO catchment (id, name) VALUES (%s, 'Bassin de la Borgne')", stranger)
    result = seed(seeding(database))
    assert (result.outcome, result.stop) == (SeedOutcome.REFUSED, Stop.CONTRADICTION)
    assert result.why is not None
    assert stranger in result.why
    assert str(ids.catchment_id("Bassin de la Borgne")) in result.why
    assert query(database, "SELECT count(*) AS stations FROM station") == [{"stations": 0}]


def test_a_dry_run_plans_and_writes_nothing_but_its_record(seeded_database: str) -> None:
    query(seeded_database, "DELETE FROM withdrawal")
    before = context(seeded_database)
    result = seed(seeding(seeded_database, dry_run=True))
    assert result.outcome is SeedOutcome.DRY_RUN
    assert result.plan is not None
    assert {table: len(rows) for table, rows in result.plan.inserts.items()} == {"withdrawal": 2}
    assert context(seeded_database) == before
    assert runs(seeded_database)[-1]["outcome"] == "dry_run"


def test_a_dry_run_does_not_wait_for_the_change_lock(database: str) -> None:
    with held(database, CHANGE_LOCK):
        assert seed(seeding(database, dry_run=True)).outcome is SeedOutcome.DRY_RUN


def test_a_dry_run_says_what_the_seed_would_be_refused_for(seeded_database: str) -> None:
    result = seed(seeding(seeded_database, Wish(prune=True), without("2346"), dry_run=True))
    assert (result.outcome, result.stop) == (SeedOutcome.DRY_RUN, Stop.PRUNE_GUARD)
    assert result.plan is not None
    assert len(result.plan.prunes["sensor"]) == 2
    assert result.why is not None
    assert result.why.startswith("it would be refused: the prune is refused: 4 rows")


@contextmanager
def a_role(url: str, *grants: str) -> Iterator[str]:
    """The URL of a role of its own with these rights only."""
    role = f"role_{name_of(url)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")  # type: ignore[call-overload]
        for grant in grants:
            admin.execute(f"GRANT {grant} TO {role}")  # type: ignore[call-overload]
        try:
            parts = psycopg.conninfo.conninfo_to_dict(url)
            yield f"postgresql://{role}:secret@{parts['host']}:{parts['port']}/{parts['dbname']}"
        finally:
            admin.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]
            admin.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]


def test_a_role_that_only_reads_can_plan(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with a_role(database, "SELECT ON ALL TABLES IN SCHEMA public") as url:
        result = seed(seeding(url, dry_run=True))
    assert result.plan is not None
    assert len(result.plan.inserts["station"]) == 7
    assert runs(database) == []
    assert "seed not recorded in seed_run" in caplog.text


def test_missing_needs_no_more_than_insert_on_the_context(database: str) -> None:
    rights = (f"SELECT, INSERT ON {', '.join(TABLES)}, seed_run", "SELECT ON deployment")
    with a_role(database, *rights) as url:
        assert seed(seeding(url)).outcome is SeedOutcome.APPLIED


def test_a_right_that_lacks_is_named_with_the_remedy(database: str) -> None:
    with a_role(database, "SELECT ON ALL TABLES IN SCHEMA public") as url:
        result = seed(seeding(url))
    assert result.stop is Stop.FAILED
    assert result.why is not None
    assert "permission denied" in result.why
    assert "SEED_DATABASE_URL" in result.why


def test_a_database_without_tables_is_told_to_migrate(empty_database: str) -> None:
    result = seed(seeding(empty_database))
    assert result.stop is Stop.FAILED
    assert result.why is not None
    assert "run alpimonitor db upgrade" in result.why


def test_a_read_only_database_is_refused_with_the_remedy(database: str) -> None:
    query(database, f"ALTER DATABASE {name_of(database)} SET default_transaction_read_only = on")
    result = seed(seeding(database))
    assert result.outcome is SeedOutcome.FAILED
    assert result.why is not None
    assert "read-only" in result.why


def test_an_unreachable_database_is_reported(postgres_server: PostgresForTests) -> None:
    with pytest.raises(Unreachable, match="no_such_database"):
        seed(seeding(url_of(postgres_server, "no_such_database")))


@pytest.mark.parametrize(
    ("environment", "request_", "why"),
    [
        ("production", {"allowed": False}, "says that it is production"),
        ("production", {"allowed": True, "confirmed": "other"}, "--confirm-database says other"),
    ],
)
def test_preflight_refuses_production_changes_nothing_and_is_recorded(
    seeded_database: str, environment: str, request_: dict[str, Any], why: str
) -> None:
    query(seeded_database, "UPDATE deployment SET environment = %s", environment)
    query(seeded_database, "DELETE FROM withdrawal")
    before = context(seeded_database)
    result: Result = seed(seeding(seeded_database, **{"confirmed": None, **request_}))
    assert (result.outcome, result.stop) == (SeedOutcome.REFUSED, Stop.PREFLIGHT)
    assert result.why is not None
    assert why in result.why
    assert context(seeded_database) == before
    assert runs(seeded_database)[-1]["reason"] == result.why


def test_thousands_of_rows_take_one_statement_a_table(database: str) -> None:
    stations = 2_000
    catchment, template = SHIPPED.rows["catchment"], SHIPPED.rows["station"][0]
    codes = [f"S{number:05}" for number in range(stations)]
    many = Fixtures(
        {
            **dict.fromkeys(TABLES, ()),
            "catchment": catchment,
            "station": tuple(
                {**template, "id": str(ids.station_id(code)), "ofev_code": code} for code in codes
            ),
            "sensor": tuple(
                {
                    "id": str(ids.sensor_id(code, parameter)),
                    "station_id": str(ids.station_id(code)),
                    "parameter": parameter,
                    "unit": "m",
                    "is_active": True,
                }
                for code in codes
                for parameter in ("DISCHARGE", "WATER_LEVEL", "TEMPERATURE", "TURBIDITY")
            ),
        }
    )
    query(database, "CREATE TABLE statements (name text)")
    query(
        database,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO statements VALUES (TG_TABLE_NAME); RETURN NULL; END $$",
    )
    for table in TABLES:
        query(database, f"CREATE TRIGGER note AFTER INSERT OR UPDATE ON {table} EXECUTE FUNCTION note()")
    assert seed(seeding(database, fixtures=many)).counts.total == 1 + 5 * stations
    query(database, "UPDATE sensor SET unit = 'x'")
    assert seed(seeding(database, CONVERGE, many)).counts.updated == {"sensor": 4 * stations}
    written = [row["name"] for row in query(database, "SELECT name FROM statements")]
    assert written == ["catchment", "station", "sensor", "sensor", "sensor"]  # the fourth is the test's own

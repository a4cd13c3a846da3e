"""PUT /stations/{station}/thresholds/{parameter} on a real database: who may, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from alpimonitor_api import ids
from alpimonitor_api.times import utc_text
from alpimonitor_api.token_file import Scope
from alpimonitor_api.tuning import OneTunedThreshold
from alpimonitor_rehearsal.waiting import wait_until
from tests.api_client import NOW, NOWHERE, Client, error_of, serving, shaped
from tests.bearers import Bearers

SION, TUNE = "2011", "/stations/2011/thresholds/DISCHARGE"
FIXTURE = {"vigilanceValue": 500, "alertValue": 800, "direction": "ABOVE"}
TUNED = {"vigilanceValue": 450.5, "alertValue": 750, "direction": "ABOVE"}
CHANGE_LOCK = "SELECT pg_advisory_lock(hashtextextended('alpimonitor:change', 0))"
DEADLINE = 20.0


@pytest.fixture
def bearers(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


@pytest.fixture
def marie(bearers: Bearers) -> dict[str, str]:
    return bearers.add("marie", Scope.OPERATOR)


@pytest.fixture
def client(seeded_database: str, bearers: Bearers) -> Iterator[Client]:
    with serving(seeded_database, api_tokens_file=bearers.file, clock=ticking()) as client:
        yield client


@pytest.fixture
def admin(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def ticking() -> Callable[[], datetime]:
    ticks = count()
    return lambda: NOW + timedelta(seconds=next(ticks))


def put(
    client: Client, bearer: dict[str, str], wish: object = TUNED, path: str = TUNE, **headers: str
) -> httpx.Response:
    content = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    given = {"Content-Type": "application/json", **bearer, **headers}
    return client.ask("PUT", path, content=content, headers=given)


def rows(url: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def threshold(url: str, parameter: str = "DISCHARGE") -> dict[str, Any]:
    (found,) = rows(
        url,
        f"SELECT * FROM threshold WHERE station_id = '{ids.station_id(SION)}' AND parameter = '{parameter}'",
    )
    return found


def audits(url: str) -> list[dict[str, Any]]:
    return rows(url, "SELECT * FROM threshold_audit ORDER BY changed_at")


@contextmanager
def nothing_written(url: str) -> Iterator[None]:
    query = "SELECT * FROM threshold ORDER BY id"
    before = rows(url, query), audits(url)
    yield
    assert (rows(url, query), audits(url)) == before


def test_an_operator_tunes_a_threshold_and_it_is_written_down(
    client: Client, seeded_database: str, marie: dict[str, str]
) -> None:
    answer = put(client, marie)
    assert answer.status_code == 200
    told = shaped(OneTunedThreshold, answer).data
    assert told.tuned_at is not None
    assert told.tuned_at >= NOW
    assert answer.json()["data"] == {
        "station": {"id": str(ids.station_id(SION)), "ofevCode": SION, "name": "Sion"},
        "parameter": "DISCHARGE",
        **TUNED,
        "tunedAt": utc_text(told.tuned_at),
        "tunedBy": "marie",
    }
    written = threshold(seeded_database)
    assert written["id"] == ids.threshold_id(SION, "DISCHARGE")
    assert (written["vigilance_value"], written["alert_value"], written["direction"]) == (450.5, 750, "ABOVE")
    assert (written["tuned_at"], written["tuned_by"]) == (told.tuned_at, "marie")
    (audit,) = audits(seeded_database)
    assert (audit["station_id"], audit["parameter"]) == (ids.station_id(SION), "DISCHARGE")
    assert (audit["before"], audit["after"]) == (FIXTURE, TUNED)
    assert (audit["changed_at"], audit["changed_by"]) == (told.tuned_at, "marie")
    (shown,) = client.get(f"/stations/{SION}").json()["data"]["thresholds"]
    assert shown == {"parameter": "DISCHARGE", **TUNED}


def test_a_station_is_known_by_its_identifier_too(client: Client, marie: dict[str, str]) -> None:
    assert (
        put(client, marie, path=f"/stations/{ids.station_id(SION)}/thresholds/DISCHARGE").status_code == 200
    )


def test_the_direction_can_be_turned(client: Client, seeded_database: str, marie: dict[str, str]) -> None:
    low = {"vigilanceValue": 20, "alertValue": 5, "direction": "BELOW"}
    assert put(client, marie, low).status_code == 200
    assert threshold(seeded_database)["direction"] == "BELOW"
    assert audits(seeded_database)[0]["after"] == low


def test_a_threshold_is_made_where_there_was_none(
    client: Client, seeded_database: str, marie: dict[str, str]
) -> None:
    answer = put(client, marie, path=f"/stations/{SION}/thresholds/WATER_LEVEL")
    assert answer.status_code == 200
    written = threshold(seeded_database, "WATER_LEVEL")
    assert written["id"] == ids.threshold_id(SION, "WATER_LEVEL")
    assert written["tuned_by"] == "marie"
    (audit,) = audits(seeded_database)
    assert (audit["before"], audit["after"]) == (None, TUNED)
    assert len(rows(seeded_database, "SELECT FROM threshold")) == 8


def test_the_same_values_again_change_nothing_and_are_not_written_down(
    client: Client, seeded_database: str, marie: dict[str, str], bearers: Bearers
) -> None:
    first = put(client, marie)
    with nothing_written(seeded_database):
        again = put(client, bearers.add("paul", Scope.OPERATOR))
    assert (again.status_code, again.json()) == (200, first.json())


def test_the_values_of_the_fixture_are_not_thereby_tuned(
    client: Client, seeded_database: str, marie: dict[str, str]
) -> None:
    with nothing_written(seeded_database):
        told = shaped(OneTunedThreshold, put(client, marie, FIXTURE)).data
    assert (told.tuned_at, told.tuned_by) == (None, None)


def test_without_a_known_token_nothing_is_even_looked_at(client: Client, marie: dict[str, str]) -> None:
    for bearer in ({}, {"Authorization": "Bearer x"}, {"Authorization": marie["Authorization"][:-1]}):
        for path in (TUNE, "/stations/none/thresholds/NOTHING"):
            answer = put(client, bearer, b"{", path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="alpimonitor"'
            assert "Authorization: Bearer TOKEN" in error_of(answer)["message"]
            assert error_of(answer)["code"] == "UNAUTHORIZED"


def test_an_expired_token_is_nobodys(client: Client, seeded_database: str, bearers: Bearers) -> None:
    with nothing_written(seeded_database):
        assert put(client, bearers.add("old", Scope.OPERATOR, expires_at=NOW)).status_code == 401


def test_another_scope_is_not_enough_and_the_one_needed_is_named(
    client: Client, seeded_database: str, bearers: Bearers
) -> None:
    with nothing_written(seeded_database):
        answer = put(client, bearers.add("ada", Scope.AUDITOR, Scope.WATCHDOG))
    assert answer.status_code == 403
    error = error_of(answer)
    assert error["code"] == "FORBIDDEN"
    assert (
        error["message"] == "This needs a token with the scope operator; that of ada has auditor or watchdog."
    )


def test_where_no_tokens_are_configured_it_is_said_so(marie: dict[str, str]) -> None:
    with serving(NOWHERE) as client:
        answer = put(client, marie)
    assert answer.status_code == 401
    assert "API_TOKENS_FILE" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("station", "parameter", "status", "said"),
    [
        ("nowhere", "DISCHARGE", 404, "There is no station"),
        ("%00", "DISCHARGE", 404, "There is no station"),
        (str(ids.station_id("none")), "DISCHARGE", 404, "There is no station"),
        (SION, "TURBIDITY", 404, "has no sensor of TURBIDITY"),
        (SION, "discharge", 400, "parameter: must be one of"),
    ],
)
def test_what_there_is_nothing_to_tune_of_is_refused(
    client: Client, seeded_database: str, marie: dict[str, str],
    station: str, parameter: str, status: int, said: str,
) -> None:  # fmt: skip
    with nothing_written(seeded_database):
        answer = put(client, marie, path=f"/stations/{station}/thresholds/{parameter}")
    assert answer.status_code == status
    assert said in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (json.dumps({**TUNED, "tunedBy": "paul"}).encode(), "tunedBy"),
        (json.dumps({**TUNED, "alertValue": 450.5}).encode(), "alertValue"),
        (json.dumps({**TUNED, "direction": "BELOW"}).encode(), "alertValue"),
    ],
)
def test_a_body_that_is_not_understood_is_a_400_that_names_the_member(
    client: Client, seeded_database: str, marie: dict[str, str], body: bytes, member: str
) -> None:
    with nothing_written(seeded_database):
        answer = put(client, marie, body)
    assert answer.status_code == 400
    assert [problem["parameter"] for problem in error_of(answer)["details"]] == [member]


def test_another_content_type_is_a_400(client: Client, marie: dict[str, str]) -> None:
    answer = put(client, marie, **{"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert error_of(answer)["details"][0]["parameter"] == "Content-Type"


def test_while_the_context_is_being_changed_it_is_a_409_that_says_so(
    seeded_database: str, admin: psycopg.Connection, marie: dict[str, str], bearers: Bearers
) -> None:
    admin.execute(CHANGE_LOCK)
    with (
        serving(seeded_database, api_tokens_file=bearers.file, database_timeout_seconds=0.4) as client,
        nothing_written(seeded_database),
    ):
        answer = put(client, marie)
    assert answer.status_code == 409
    assert int(answer.headers["retry-after"]) > 0
    assert error_of(answer)["code"] == "CONFLICT"
    assert "A seed, a heal" in error_of(answer)["message"]


def test_two_at_once_both_land_and_the_second_begins_where_the_first_ended(
    seeded_database: str, admin: psycopg.Connection, marie: dict[str, str], bearers: Bearers
) -> None:
    """Two replicas, both held back until both are waiting for their turn."""
    wishes = [{**TUNED, "alertValue": value} for value in (700, 900)]

    def replica(wish: object) -> int:
        with serving(seeded_database, api_tokens_file=bearers.file, database_timeout_seconds=30) as client:
            return put(client, marie, wish).status_code

    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted HAVING count(*) = 2"
    admin.execute(CHANGE_LOCK)
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(replica, wishes)
        wait_until("both wait", lambda: admin.execute(waiting.encode()).fetchone(), deadline=DEADLINE)
        admin.execute("SELECT pg_advisory_unlock_all()")
        assert list(answers) == [200, 200]
    written = rows(seeded_database, "SELECT * FROM threshold_audit ORDER BY xmin::text::bigint")
    assert written[0]["before"] == FIXTURE
    assert written[1]["before"] == written[0]["after"]
    assert {audit["after"]["alertValue"] for audit in written} == {700, 900}
    assert threshold(seeded_database)["alert_value"] == written[1]["after"]["alertValue"]


BREAKS = """
CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER breaks AFTER INSERT ON threshold_audit {when} FOR EACH ROW EXECUTE FUNCTION breaks()
"""
AT_THE_AUDIT, AT_THE_COMMIT = "", "DEFERRABLE INITIALLY DEFERRED"
REFUSED = "RAISE EXCEPTION 'the disk of sesame is full'"
KILLED = "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60)"


@pytest.mark.parametrize("path", [TUNE, f"/stations/{SION}/thresholds/WATER_LEVEL"])
@pytest.mark.parametrize(
    ("what", "when", "status", "said"),
    [
        (REFUSED, AT_THE_AUDIT, 500, "its log says why"),
        (REFUSED, AT_THE_COMMIT, 500, "its log says why"),
        (KILLED, AT_THE_AUDIT, 503, "cannot be reached now"),
        (KILLED, AT_THE_COMMIT, 503, "whether the change was written is not known"),
    ],
)
def test_what_breaks_half_way_leaves_nothing(
    client: Client, seeded_database: str, admin: psycopg.Connection, marie: dict[str, str],
    what: str, when: str, status: int, said: str, path: str,
) -> None:  # fmt: skip
    admin.execute(BREAKS.format(what=what, when=when).encode())
    with nothing_written(seeded_database):
        answer = put(client, marie, path=path)
    assert answer.status_code == status
    assert said in error_of(answer)["message"]
    assert "sesame" not in answer.text
    admin.execute("DROP TRIGGER breaks ON threshold_audit")
    assert put(client, marie, path=path).status_code == 200
    assert len(audits(seeded_database)) == 1


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (AT_THE_AUDIT, "did not answer in time"),
        (AT_THE_COMMIT, "whether the change was written is not known"),
    ],
)
def test_a_silence_is_a_refusal_before_the_commit_and_of_unknown_outcome_at_it(
    seeded_database: str, admin: psycopg.Connection, marie: dict[str, str], bearers: Bearers,
    when: str, said: str,
) -> None:  # fmt: skip
    waits = "SET LOCAL lock_timeout = 0; PERFORM pg_advisory_xact_lock(1)"
    admin.execute(BREAKS.format(what=waits, when=when).encode())
    admin.execute("SELECT pg_advisory_lock(1)")
    sessions = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'alpimonitor-api%'"
    ours = f"{sessions} AND datname = current_database()".encode()
    with nothing_written(seeded_database):
        with serving(seeded_database, api_tokens_file=bearers.file, database_timeout_seconds=1) as client:
            answer = put(client, marie)
        assert answer.status_code == 503
        assert said in error_of(answer)["message"]
        admin.execute("SELECT pg_advisory_unlock_all()")
        # Given up, it does not go on behind the answer: in both cases it was told to stop in time.
        wait_until("gone", lambda: admin.execute(ours).fetchone() is None, deadline=DEADLINE)


def test_a_row_that_somebody_else_holds_is_waited_for_no_longer_than_bounded(
    seeded_database: str, admin: psycopg.Connection, marie: dict[str, str], bearers: Bearers
) -> None:
    with (
        serving(seeded_database, api_tokens_file=bearers.file, database_timeout_seconds=0.4) as client,
        nothing_written(seeded_database),
        admin.transaction(),
    ):
        admin.execute("SELECT FROM threshold FOR UPDATE")
        assert put(client, marie).status_code == 503


def test_killed_connections_are_replaced_without_an_error(
    client: Client, seeded_database: str, admin: psycopg.Connection, marie: dict[str, str]
) -> None:
    assert put(client, marie).status_code == 200
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'alpimonitor-api%'"
    )
    assert put(client, marie, FIXTURE).status_code == 200
    assert len(audits(seeded_database)) == 2


def test_a_database_that_takes_no_changes_is_a_503_that_says_so(
    seeded_database: str, marie: dict[str, str], bearers: Bearers
) -> None:
    read_only = f"{seeded_database}?options=-c%20default_transaction_read_only%3Don"
    with serving(read_only, api_tokens_file=bearers.file) as client, nothing_written(seeded_database):
        answer = put(client, marie)
    assert answer.status_code == 503
    assert "takes no changes now" in error_of(answer)["message"]


def test_without_a_database_it_is_a_503(marie: dict[str, str], bearers: Bearers) -> None:
    with serving(NOWHERE, api_tokens_file=bearers.file) as client:
        answer = put(client, marie)
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "SERVICE_UNAVAILABLE"


def test_behind_a_transaction_pooler_nothing_stays_with_the_session(
    seeded_database: str, admin: psycopg.Connection, marie: dict[str, str], bearers: Bearers
) -> None:
    behind = {"database_transaction_pooler": True, "api_tokens_file": bearers.file}
    with serving(seeded_database, **behind) as client:
        assert put(client, marie).status_code == 200
        assert put(client, marie, FIXTURE).status_code == 200
        held = admin.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND application_name LIKE 'alpimonitor-api%'"
            " AND datname = current_database()"
        ).fetchone()
    assert held == (0,)
    assert [audit["after"] for audit in audits(seeded_database)] == [TUNED, FIXTURE]


def test_the_document_tells_body_token_and_errors(client: Client) -> None:
    document = client.get("//openapi.json").json()
    told = document["paths"]["/api/v1/stations/{station}/thresholds/{parameter}"]["put"]
    assert told["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert told["requestBody"]["required"] is True
    assert set(told["responses"]) >= {"200", "400", "401", "403", "404", "409", "413", "503"}
    assert "Retry-After" in told["responses"]["409"]["headers"]

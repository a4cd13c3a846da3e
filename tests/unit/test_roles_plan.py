"""The difference between the roles that are wanted and those that are there: pure."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from dataclasses import replace

import pytest

from alpimonitor_api.tables import CONTEXT_TABLES
from alpimonitor_cli.roles.facts import DefaultRight, Facts, Membership, RoleFound, Session
from alpimonitor_cli.roles.names import (
    API,
    DRILL,
    HEALER,
    NAMES,
    OWNER,
    READER,
    RECORDER,
    ROLES,
    SEEDER,
    WATCHDOG,
)
from alpimonitor_cli.roles.password import is_of
from alpimonitor_cli.roles.plan import Plan, plan
from alpimonitor_cli.roles.rights import (
    CONTEXT,
    EVIDENCE,
    LEDGER,
    OPERATIONAL,
    PUBLIC,
    Kind,
    Right,
    Thing,
    wanted,
)

DATABASE = Thing(Kind.DATABASE, "", "alpimonitor")
SCHEMAS = {Thing(Kind.SCHEMA, "", "public"): OWNER, Thing(Kind.SCHEMA, "", LEDGER): OWNER}
TABLES = {
    Thing(Kind.TABLE, "public", name): OWNER
    for name in (*CONTEXT, *OPERATIONAL, "deployment", "seed_run", "alembic_version")
} | {Thing(Kind.TABLE, LEDGER, "heal_attempt"): OWNER}
EVIDENCE_THINGS = {
    Thing(Kind.SCHEMA, "", EVIDENCE): RECORDER,
    **{Thing(Kind.TABLE, EVIDENCE, name): RECORDER for name in ("event", "guarded", "journal", "version")},
    Thing(Kind.FUNCTION, EVIDENCE, "record_drop"): RECORDER,
    Thing(Kind.FUNCTION, EVIDENCE, "record_ddl"): RECORDER,
}
OWNERS = {DATABASE: OWNER, **SCHEMAS, **TABLES, **EVIDENCE_THINGS}
THRESHOLD = Thing(Kind.TABLE, "public", "threshold")
STATION = Thing(Kind.TABLE, "public", "station")

SUPERUSER = Session(
    "alpimonitor", 18, "postgres", superuser=True, createrole=True, createdb=True, sees_passwords=True
)
AS_IT_SHOULD_BE = Facts(
    session=SUPERUSER,
    acts_as=NAMES | {"postgres"},
    administers=NAMES,
    roles=tuple(
        RoleFound(role.name, role.login, False, role.createdb, False, False, False) for role in ROLES
    ),
    verifiers=dict.fromkeys(NAMES, "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"),
    memberships=tuple(
        Membership(parent, role.name, "postgres") for role in ROLES for parent in role.member_of
    ),
    owners=OWNERS,
    rights=frozenset(wanted("alpimonitor", OWNERS)),
    defaults=(),
    event_triggers={"flight_recorder_drop": True, "flight_recorder_ddl": True},
)


def planned(facts: Facts, **passwords: str) -> Plan:
    return plan(facts, passwords, {role: f"verifier of {role}" for role in passwords})


def statements(facts: Facts) -> list[str]:
    return [step.sql for step in planned(facts).steps]


def test_what_is_as_it_should_be_needs_nothing() -> None:
    found = planned(AS_IT_SHOULD_BE)
    assert found.holds
    assert found == Plan((), (), ())


@pytest.mark.parametrize("right", sorted(AS_IT_SHOULD_BE.rights), ids=str)
def test_a_right_that_is_missing_is_granted_and_nothing_else_is(right: Right) -> None:
    facts = replace(AS_IT_SHOULD_BE, rights=AS_IT_SHOULD_BE.rights - {right})
    (statement,) = statements(facts)
    column = f' ("{right.column}")' if right.column else ""
    assert statement.startswith(f"GRANT {right.privilege}{column} ON {right.thing.kind.value} ")
    assert statement.endswith(
        f'"{right.thing.name}"{"()" if right.thing.kind is Kind.FUNCTION else ""} TO "{right.grantee}";'
    )


@pytest.mark.parametrize("grantee", [API, SEEDER, HEALER, WATCHDOG, READER, DRILL, PUBLIC])
@pytest.mark.parametrize("privilege", ["DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"])
def test_a_right_that_is_too_much_is_revoked(grantee: str, privilege: str) -> None:
    extra = Right(STATION, grantee, privilege)
    facts = replace(AS_IT_SHOULD_BE, rights=AS_IT_SHOULD_BE.rights | {extra})
    named = grantee if grantee == PUBLIC else f'"{grantee}"'
    assert statements(facts) == [f'REVOKE {privilege} ON TABLE "public"."station" FROM {named};']


def test_taking_a_whole_table_away_gives_the_columns_back_that_go_with_it() -> None:
    facts = replace(AS_IT_SHOULD_BE, rights=AS_IT_SHOULD_BE.rights | {Right(THRESHOLD, API, "UPDATE")})
    assert statements(facts) == [
        'REVOKE UPDATE ON TABLE "public"."threshold" FROM "alpimonitor_api";',
        'GRANT UPDATE ("alert_value", "direction", "tuned_at", "tuned_by", "vigilance_value") '
        'ON TABLE "public"."threshold" TO "alpimonitor_api";',
    ]


def test_a_table_that_is_not_ours_is_left_alone() -> None:
    other = Thing(Kind.TABLE, "public", "somebody_elses")
    facts = replace(
        AS_IT_SHOULD_BE,
        owners=OWNERS | {other: API},
        rights=AS_IT_SHOULD_BE.rights | {Right(other, SEEDER, "DELETE")},
    )
    assert planned(facts).holds


def test_a_table_of_the_api_is_given_to_the_owner_and_its_rights_are_not_looked_up_twice() -> None:
    its = {right for right in AS_IT_SHOULD_BE.rights if right.thing == STATION and right.grantee == API}
    facts = replace(
        AS_IT_SHOULD_BE,
        owners=OWNERS | {STATION: API},
        rights=AS_IT_SHOULD_BE.rights - its | {Right(STATION, API, "DELETE")},
    )
    assert statements(facts) == [
        'ALTER TABLE "public"."station" OWNER TO "alpimonitor_owner";',
        'GRANT SELECT ON TABLE "public"."station" TO "alpimonitor_api";',
    ]


def test_evidence_that_the_owner_has_is_taken_from_it() -> None:
    facts = replace(AS_IT_SHOULD_BE, owners=OWNERS | dict.fromkeys(EVIDENCE_THINGS, OWNER))
    first, *_ = found = statements(facts)
    assert first == 'ALTER SCHEMA "flight_recorder" OWNER TO "alpimonitor_recorder";'
    assert any(
        'ALTER TABLE "flight_recorder"."event" OWNER TO "alpimonitor_recorder"' in each for each in found
    )


@pytest.mark.parametrize("member", [API, SEEDER, WATCHDOG, HEALER, READER, DRILL, OWNER])
@pytest.mark.parametrize("role", [OWNER, RECORDER, "pg_write_all_data", "somebody"])
def test_no_role_can_become_another(member: str, role: str) -> None:
    extra = Membership(role, member, "postgres")
    facts = replace(AS_IT_SHOULD_BE, memberships=(*AS_IT_SHOULD_BE.memberships, extra))
    assert statements(facts) == [f'REVOKE "{role}" FROM "{member}" GRANTED BY "postgres";']
    old = replace(facts, session=replace(SUPERUSER, major=15))
    assert statements(old) == [f'REVOKE "{role}" FROM "{member}";']


@pytest.mark.parametrize("attribute", ["superuser", "createrole", "replication", "bypassrls", "createdb"])
@pytest.mark.parametrize("role", sorted(NAMES - {DRILL}))
def test_no_role_is_more_than_it_should_be(attribute: str, role: str) -> None:
    roles = tuple(
        replace(found, **{attribute: True}) if found.name == role else found
        for found in AS_IT_SHOULD_BE.roles
    )
    assert statements(replace(AS_IT_SHOULD_BE, roles=roles)) == [
        f'ALTER ROLE "{role}" NO{attribute.upper()};'
    ]


@pytest.mark.parametrize(
    ("default", "statement"),
    [
        (
            DefaultRight(OWNER, "public", "r", API),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "alpimonitor_owner" IN SCHEMA "public" '
            'REVOKE ALL ON TABLES FROM "alpimonitor_api";',
        ),
        (
            DefaultRight(OWNER, "", "S", PUBLIC),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "alpimonitor_owner" REVOKE ALL ON SEQUENCES FROM PUBLIC;',
        ),
        (DefaultRight(OWNER, "", "f", PUBLIC), None),  # PostgreSQL's own
        (DefaultRight(OWNER, "", "r", OWNER), None),
    ],
)
def test_nobody_gets_anything_of_what_will_be_made(default: DefaultRight, statement: str | None) -> None:
    found = statements(replace(AS_IT_SHOULD_BE, defaults=(default,)))
    assert found == ([] if statement is None else [statement])


def verifier_of(password: str) -> str:
    """RFC 5802, as PostgreSQL writes it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    said = [b64encode(part).decode() for part in (b"salt", stored, server)]
    return f"SCRAM-SHA-256$4096:{said[0]}${said[1]}:{said[2]}"


def test_a_password_is_set_only_where_it_is_another_and_is_never_in_a_statement() -> None:
    facts = replace(AS_IT_SHOULD_BE, verifiers=dict.fromkeys(NAMES, verifier_of("sesame")))
    assert is_of(verifier_of("sesame"), "sesame")
    assert not is_of(verifier_of("sesame"), "open")
    assert planned(facts, **{API: "sesame"}).holds
    (step,) = planned(facts, **{API: "another"}).steps
    assert step.sql == f"ALTER ROLE \"{API}\" PASSWORD 'verifier of {API}';"
    assert step.secret


def test_a_password_that_cannot_be_seen_is_left_and_said() -> None:
    facts = replace(AS_IT_SHOULD_BE, verifiers=None)
    found = planned(facts, **{API: "sesame"})
    assert found.holds
    assert found.notes == (
        f"API_DATABASE_PASSWORD was not used: whether {API} has that password cannot be seen by postgres. "
        f"Give ADMIN_DATABASE_URL a superuser, or set it with \\password {API}",
    )


def test_who_may_not_do_it_is_told_what_it_takes() -> None:
    reader = replace(SUPERUSER, role="somebody", superuser=False, createrole=False, createdb=False)
    missing = replace(
        AS_IT_SHOULD_BE,
        session=reader,
        acts_as=frozenset({"somebody"}),
        administers=frozenset(),
        roles=tuple(found for found in AS_IT_SHOULD_BE.roles if found.name != READER),
        rights=AS_IT_SHOULD_BE.rights - {Right(STATION, API, "SELECT")},
        event_triggers={},
    )
    found = planned(missing)
    assert found.steps == ()
    needs = {left.step.why.split(":")[0]: left.needs for left in found.left}
    assert needs[READER] == "a role that may make roles"
    assert needs["alpimonitor_api may SELECT on station"] == f"the rights of {OWNER}"
    assert needs["flight_recorder_drop"].startswith("a superuser")


def test_a_role_that_makes_roles_borrows_what_it_needs_and_gives_it_back() -> None:
    maker = replace(SUPERUSER, role="maker", superuser=False)
    facts = replace(
        AS_IT_SHOULD_BE,
        session=maker,
        acts_as=frozenset({"maker"}),
        administers=frozenset({OWNER}),
        rights=AS_IT_SHOULD_BE.rights - {Right(STATION, API, "SELECT")}
        | {Right(DATABASE, "maker", "CONNECT")},
    )
    assert statements(facts) == [
        f'GRANT "{OWNER}" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;',
        'GRANT SELECT ON TABLE "public"."station" TO "alpimonitor_api";',
        f'REVOKE "{OWNER}" FROM CURRENT_USER;',
    ]


def test_a_role_that_makes_roles_does_not_lock_itself_out() -> None:
    maker = replace(SUPERUSER, role="maker", superuser=False)
    facts = replace(AS_IT_SHOULD_BE, session=maker, acts_as=NAMES | {"maker"})
    assert statements(facts) == ['GRANT CONNECT ON DATABASE "alpimonitor" TO "maker";']
    more = {Right(DATABASE, "maker", privilege) for privilege in ("CONNECT", "CREATE")}
    assert planned(replace(facts, rights=facts.rights | more)).holds


def test_the_owner_gives_the_rights_on_its_tables_itself() -> None:
    owner = replace(SUPERUSER, role=OWNER, superuser=False, createrole=False, createdb=False)
    facts = replace(
        AS_IT_SHOULD_BE,
        session=owner,
        acts_as=frozenset({OWNER}),
        administers=frozenset(),
        rights=AS_IT_SHOULD_BE.rights - {Right(STATION, API, "SELECT")},
    )
    assert statements(facts) == ['GRANT SELECT ON TABLE "public"."station" TO "alpimonitor_api";']


def test_what_each_may_do_to_the_context_is_what_was_meant() -> None:
    may: dict[str, set[str]] = {}
    for right in wanted("alpimonitor", OWNERS):
        if right.thing.name in {table.name for table in CONTEXT_TABLES}:
            may.setdefault(right.grantee, set()).add(f"{right.privilege} {right.column}".strip())
    columns = {"vigilance_value", "alert_value", "direction", "tuned_at", "tuned_by"}
    assert may == {
        API: {"SELECT", "INSERT", *(f"UPDATE {column}" for column in columns)},
        SEEDER: {"SELECT", "INSERT", "UPDATE"},
        HEALER: {"SELECT", "INSERT"},
        WATCHDOG: {"SELECT"},
        READER: {"SELECT"},
        RECORDER: {"SELECT"},
    }
    inserted_by_the_api = {
        right.thing.name
        for right in wanted("alpimonitor", OWNERS)
        if right.grantee == API and right.privilege == "INSERT"
    }
    assert inserted_by_the_api & {table.name for table in CONTEXT_TABLES} == {"threshold"}
    columns_of_the_api = {
        right.thing.name for right in wanted("alpimonitor", OWNERS) if right.grantee == API and right.column
    }
    assert columns_of_the_api & {table.name for table in CONTEXT_TABLES} == {"threshold"}

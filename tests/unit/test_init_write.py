"""The text of watchdog.toml: whatever a database holds, the file loads and says the same."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_watchdog.core.words import Mode, Unseen
from alpimonitor_watchdog.init.found import Found, RevisionFound, SessionFound, TableFound
from alpimonitor_watchdog.init.propose import Proposal, propose
from alpimonitor_watchdog.init.selection import Selection
from alpimonitor_watchdog.init.spelling import declared, shown, sql_name, toml_string
from alpimonitor_watchdog.init.tell import as_json, told
from alpimonitor_watchdog.init.write import text
from alpimonitor_watchdog.probe import names
from alpimonitor_watchdog.settings import Settings, load

SESSION = SessionFound(datetime(2026, 5, 4, 10, 20, tzinfo=UTC), "app", "watch", False, "18.1")
STATION = TableFound(1, "public", "Station", rows=7)
QUERY = 'SELECT version_num FROM "public"."alembic_version"'
REVISION = RevisionFound(TableFound(9, "public", "alembic_version"), "Alembic", QUERY, "0001")

identifiers = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda name: len(name.encode()) <= 63
)


def proposal(*tables: TableFound, session: SessionFound = SESSION, **more: object) -> Proposal:
    return propose(Found("db:5432", 10_000, session, tables, **more), Selection())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("init") / "watchdog.toml"


def loaded(file: Path, written: str) -> Settings:
    file.write_text(written, encoding="utf-8")
    return load({"WATCHDOG_DATABASE_URL": "postgresql://watch@db/app"}, file)


def filled_in(written: str) -> str:
    return re.sub(r"(?m)^#(?=\S)", "", written)


@given(schema=identifiers, name=identifiers, rows=st.integers(0, 10_000))
def test_any_spelling_of_a_name_survives_into_the_file_and_back(
    file: Path, schema: str, name: str, rows: int
) -> None:
    table = TableFound(1, schema, name, rows=rows, moments=(name,), secured=True)
    revision = RevisionFound(table, "Alembic", f"SELECT x FROM {sql_name(schema, name)}", name)
    settings = loaded(file, text(proposal(table, revisions=(revision,))))
    (read,) = settings.tables
    parsed = names.parse(read.name)
    assert parsed.schema == names.Identifier(schema, schema)
    assert parsed.table == names.Identifier(name, name)
    assert settings.revision is not None
    assert settings.revision.allowed == (name,)
    assert settings.revision.query == revision.query


@given(name=identifiers, detail=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_nothing_that_is_found_can_break_out_of_a_remark_or_reach_a_terminal_unseen(
    file: Path, name: str, detail: str
) -> None:
    session = replace(SESSION, database=name, role=name)
    tables = (STATION, replace(STATION, oid=2, name=name, rows=None, unseen=Unseen.ERROR, detail=detail))
    proposed = proposal(*tables, session=session)
    written = text(proposed)
    assert all(char.isprintable() or char == "\n" for char in written)
    assert [table.name for table in loaded(file, written).tables] == ['public."Station"']
    for line in told(proposed, None):
        assert line.isprintable()


@given(identifiers)
def test_sql_shows_every_character_of_a_name(name: str) -> None:
    assert sql_name(name).isprintable()


@pytest.mark.parametrize(
    ("schema", "table", "spelled"),
    [
        ("public", "station", "public.station"),
        ("public", "StationGlacier", 'public."StationGlacier"'),
        ("Mixed", "a.b", '"Mixed"."a.b"'),
        ("public", 'say "hi"', 'public."say ""hi"""'),
        ("public", "1st", 'public."1st"'),
    ],
)
def test_a_name_is_quoted_only_where_it_has_to_be(schema: str, table: str, spelled: str) -> None:
    assert declared(schema, table) == spelled


@pytest.mark.parametrize(
    ("written", "string"),
    [
        ("plain", '"plain"'),
        ('a "b"', "'a \"b\"'"),
        ("it's", '"it\'s"'),
        ('it\'s "b" \\', '"it\'s \\"b\\" \\\\"'),
        ("line\nbreak", '"line\\nbreak"'),
        ("\x7f\u202e", '"\\u007F\\u202E"'),
    ],
)
def test_toml_strings(written: str, string: str) -> None:
    assert toml_string(written) == string


def test_what_cannot_be_seen_is_spelled_out_for_people_and_escaped_for_sql() -> None:
    assert shown("a\nb\x1b[31m") == "a\\nb\\u001B[31m"
    assert sql_name("a\nb", 'c"\\d\t', "e\\") == r"""U&"a\000Ab".U&"c""\\d\0009"."e\""""


def test_healing_is_dry_run_and_a_context_table_expects_what_it_has(file: Path) -> None:
    settings = loaded(file, text(proposal(STATION, replace(STATION, oid=2, name="Log", rows=3))))
    assert settings.healing.mode is Mode.DRY_RUN
    by_name = {table.name: table for table in settings.tables}
    station, log = by_name['public."Station"'], by_name['public."Log"']
    assert (station.kind, station.expected, station.floor) == ("context", 7, 7)
    assert (log.kind, log.expected, log.floor) == ("operational", None, None)
    assert settings.policy.count_limit == 10_000


def test_a_table_from_which_people_delete_may_shrink_to_a_half(file: Path) -> None:
    written = text(proposal(replace(STATION, deleted=2)))
    (station,) = loaded(file, written).tables
    assert (station.expected, station.floor) == (7, 4)
    assert "2 rows were deleted here since the statistics began" in " ".join(written.split("\n# "))


def test_every_setting_that_is_left_to_fill_in_is_valid(file: Path) -> None:
    written = text(
        proposal(STATION, replace(STATION, oid=2, name="Hidden", rows=None, unseen=Unseen.FORBIDDEN))
    )
    assert loaded(file, written).heal_command is None
    settings = loaded(file, filled_in(written))
    assert settings.heal_command is not None
    assert settings.heal_command.environment
    assert settings.ingestion is not None
    assert settings.health
    assert settings.revision is not None
    assert [table.name for table in settings.tables] == ['public."Station"', 'public."Hidden"']
    # Both channels are there, and left out only for want of their variables.
    assert [warning for warning in settings.warnings if "is left out" in warning] == [
        "channel 'notify' is left out: WATCHDOG_NOTIFY_URL is not set",
        "channel 'page' is left out: WATCHDOG_PAGE_URL is not set",
    ]


def test_the_schemas_revision_is_asked_for_and_the_present_one_allowed(file: Path) -> None:
    revision = loaded(file, text(proposal(STATION, revisions=(REVISION,)))).revision
    assert revision is not None
    assert (revision.query, revision.allowed) == (QUERY, ("0001",))


def test_a_revision_that_cannot_be_read_is_left_to_fill_in_and_warned_of(file: Path) -> None:
    unread = replace(REVISION, value=None, unseen=Unseen.FORBIDDEN, detail="this role has no SELECT on it")
    proposed = proposal(STATION, revisions=(unread,))
    written = text(proposed)
    assert loaded(file, written).revision is None
    revision = loaded(file, filled_in(written)).revision
    assert revision is not None
    assert revision.query == QUERY
    assert any("revision could not be read: Alembic (this role has no SELECT" in w for w in proposed.warnings)
    assert '"public"."alembic_version"' in " ".join(proposed.rungs[0].statements)


def test_of_two_migration_tools_the_first_that_says_something_is_taken(file: Path) -> None:
    silent = replace(REVISION, tool="Prisma", query="SELECT 'prisma'", value=None)
    written = text(proposal(STATION, revisions=(silent, REVISION)))
    revision = loaded(file, written).revision
    assert revision is not None
    assert revision.query == QUERY
    assert "# Not taken, Prisma: nothing is applied." in written


def test_an_empty_table_is_warned_of_in_the_file_and_to_people() -> None:
    proposed = proposal(STATION, replace(STATION, oid=2, name="Glacier", rows=0, deleted=2))
    (warning,) = proposed.warnings
    assert warning.startswith(
        'EMPTY NOW, and so expected to be empty: public."Glacier" (2 rows were deleted)'
    )
    assert "run init again with --force" in warning
    assert f"WARNING: {warning}" in list(told(proposed, Path("watchdog.toml")))
    assert "# WARNING: EMPTY NOW" in text(proposed)
    assert "# WARNING: empty now, so that its loss cannot be noticed." in text(proposed)


def test_a_database_of_empty_tables_only_is_taken_for_the_loss_it_may_be() -> None:
    (warning,) = proposal(replace(STATION, rows=0)).warnings
    assert warning.startswith('EVERY table is empty: public."Station". This may be the loss itself.')


@pytest.mark.parametrize(
    ("unseen", "remedy"),
    [
        (
            Unseen.FORBIDDEN,
            'GRANT USAGE ON SCHEMA "public" TO "watch"; GRANT SELECT ON TABLE "public"."Station" TO "watch";',
        ),
        (Unseen.ROW_SECURITY, 'ALTER ROLE "watch" BYPASSRLS;'),
        (Unseen.TIMEOUT, 'VACUUM "public"."Station"; and run init again'),
        (Unseen.LOCKED, "run init again when the session that locks it is done"),
        (Unseen.ERROR, "mend what the server says"),
    ],
)
def test_what_was_not_seen_stands_in_the_file_with_its_remedy(unseen: Unseen, remedy: str) -> None:
    proposed = proposal(
        replace(STATION, rows=None, unseen=unseen, detail="why"), replace(STATION, oid=2, name="x")
    )
    (blind,) = proposed.blind
    assert blind.remedy.startswith(remedy)
    assert f'# public."Station": why. Remedy:\n#   {blind.remedy}\n' in text(proposed)
    assert proposed.warnings[0].startswith('NOT SEEN, and so not guarded: public."Station" (why)')


def test_it_says_that_it_is_no_backup_wherever_it_speaks() -> None:
    proposed = proposal(STATION)
    assert "# This is not a backup:" in text(proposed)
    assert any(line.startswith("This is not a backup:") for line in told(proposed, None))
    assert as_json(proposed, None, "x")["note"].startswith("This is not a backup:")


def test_a_role_that_only_reads_is_kept_and_one_that_could_write_is_replaced() -> None:
    watch = proposal(STATION).rungs[0]
    assert watch.statements == (
        'GRANT CONNECT ON DATABASE "app" TO "watch";',
        'GRANT USAGE ON SCHEMA "public" TO "watch";',
        'GRANT SELECT ON TABLE "public"."Station" TO "watch";',
    )
    for strong in (
        proposal(replace(STATION, writable=True)),
        proposal(STATION, session=replace(SESSION, superuser=True)),
    ):
        assert strong.rungs[0].statements[0] == 'CREATE ROLE "alpimonitor_watch" LOGIN;'
        assert strong.warnings[0].startswith("watch ")


def test_the_rung_that_heals_inserts_into_context_tables_and_moves_their_sequences_only() -> None:
    station = replace(STATION, sequences=(("public", "Station_id_seq"),), secured=True)
    proposed = proposal(station, replace(STATION, oid=2, name="Log", sequences=(("public", "Log_id_seq"),)))
    heal = proposed.rungs[2]
    assert heal.statements[1:] == (
        'GRANT CONNECT, TEMPORARY ON DATABASE "app" TO "alpimonitor_heal";',
        'GRANT USAGE ON SCHEMA "public" TO "alpimonitor_heal";',
        'GRANT SELECT, INSERT ON TABLE "public"."Station" TO "alpimonitor_heal";',
        'GRANT USAGE, UPDATE ON SEQUENCE "public"."Station_id_seq" TO "alpimonitor_heal";',
        'ALTER ROLE "alpimonitor_heal" BYPASSRLS;',
    )


def test_programs_are_told_what_people_are() -> None:
    told_programs = as_json(proposal(STATION, revisions=(REVISION,)), Path("w.toml"), "text")
    assert told_programs["file"] == "w.toml"
    assert told_programs["toml"] is None
    assert told_programs["tables"] == [
        {
            "name": 'public."Station"',
            "kind": "context",
            "why": "small",
            "rows": 7,
            "capped": False,
            "expected": 7,
            "floor": 7,
        }
    ]
    assert told_programs["revision"] == {"tool": "Alembic", "value": "0001"}
    assert set(told_programs["rights"]) == {"watch", "name", "heal"}

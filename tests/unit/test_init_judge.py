"""Context or operational: each table of a found database is judged, and the reason is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alpimonitor_watchdog.init.bookkeeping import bookkeeping
from alpimonitor_watchdog.init.found import ForeignKey, Found, SessionFound, TableFound
from alpimonitor_watchdog.init.judge import Why, judged
from alpimonitor_watchdog.init.selection import Passed, Selection

SESSION = SessionFound(datetime(2026, 5, 4, 10, 20, tzinfo=UTC), "app", "watch", False, "18.1")


def table(oid: int, name: str = "Thing", rows: int | None = 5, **more: object) -> TableFound:
    return replace(TableFound(oid, "public", name, rows=rows), **more)  # type: ignore[arg-type]


def found(*tables: TableFound, keys: tuple[tuple[int, int], ...] = (), optional: bool = False) -> Found:
    foreign_keys = tuple(ForeignKey(child, parent, required=not optional) for child, parent in keys)
    return Found("db:5432", 10_000, SESSION, tables, foreign_keys)


@pytest.mark.parametrize(
    ("about", "one", "why", "kind"),
    [
        ("beyond the limit", table(1, rows=10_000, capped=True), Why.CAPPED, "operational"),
        ("a crash empties it", table(1, unlogged=True), Why.UNLOGGED, "operational"),
        ("nothing is in it", table(1, rows=0), Why.EMPTY, "operational"),
        ("a queue drains", table(1, rows=3, deleted=100), Why.CHURN, "operational"),
        ("one reload is no churn", table(1, rows=40, deleted=40), Why.SMALL, "context"),
        ("deletions of many rows are no churn", table(1, rows=900, deleted=1_800), Why.SMALL, "context"),
        ("a name of a log", table(1, "ThresholdAudit"), Why.LOG_NAME, "operational"),
        ("a name of a queue, in snake case", table(1, "mail_outbox"), Why.LOG_NAME, "operational"),
        ("a word within a word is no log", table(1, "Catalog"), Why.SMALL, "context"),
        ("each row has its moment", table(1, moments=("recordedAt",)), Why.TIME_SERIES, "operational"),
        ("when a row was written", table(1, moments=("createdAt", "dateUpdated")), Why.SMALL, "context"),
        ("very many rows", table(1, rows=1_001), Why.MANY, "operational"),
        ("few rows", table(1, rows=1_000), Why.SMALL, "context"),
    ],
)  # fmt: skip
def test_a_table_by_itself(about: str, one: TableFound, why: Why, kind: str) -> None:
    judgement = judged(found(one))[1]
    assert (judgement.why, judgement.kind) == (why, kind), about
    assert judgement.sentence


def test_what_others_refer_to_is_context_though_it_has_moments_and_many_rows() -> None:
    station = table(1, "Station", rows=5_000, moments=("installedAt",))
    judgement = judged(found(station, table(2, "Sensor"), keys=((2, 1),)))[1]
    assert (judgement.kind, judgement.why) == ("context", Why.REFERENCED)
    assert "1 table refers to it" in judgement.sentence


def test_an_empty_table_that_others_refer_to_is_context_so_that_it_is_noticed_as_such() -> None:
    judgement = judged(found(table(1, rows=0), table(2), keys=((2, 1),)))[1]
    assert (judgement.kind, judgement.why) == ("context", Why.EMPTY_REFERENCED)


def test_a_join_table_is_context() -> None:
    judgement = judged(found(table(1), table(2), table(3, "_AToB"), keys=((3, 1), (3, 2))))[3]
    assert (judgement.kind, judgement.why) == ("context", Why.JOINS)


def test_what_has_to_belong_to_operational_rows_is_operational_through_any_number_of_tables() -> None:
    order = table(1, "Order", rows=10_000, capped=True)
    line, note = table(2, "Line"), table(3, "Note")
    chain = found(order, line, note, keys=((3, 2), (2, 1)))
    assert {oid: judgement.why for oid, judgement in judged(chain).items()} == {
        1: Why.CAPPED,
        2: Why.BELONGS,
        3: Why.BELONGS,
    }


def test_what_may_belong_to_operational_rows_stays_context() -> None:
    order, line = table(1, "Order", rows=10_000, capped=True), table(2, "Line")
    assert judged(found(order, line, keys=((2, 1),), optional=True))[2].kind == "context"


def test_what_was_not_counted_is_not_judged() -> None:
    assert judged(found(table(1, rows=None))) == {}


@pytest.mark.parametrize(
    ("name", "columns", "query"),
    [
        ("alembic_version", "version_num", "revision_alembic"),
        ("_prisma_migrations", "id migration_name finished_at rolled_back_at", "revision_prisma"),
        ("django_migrations", "id app name applied", "revision_django"),
        ("flyway_schema_history", "installed_rank version success", "revision_flyway"),
        ("schema_migrations", "version dirty", "revision_golang"),
        ("schema_migrations", "version", "revision_newest_version"),
        ("__EFMigrationsHistory", "MigrationId ProductVersion", "revision_entity_framework"),
        ("knex_migrations", "id name batch migration_time", "revision_newest_name"),
        ("knex_migrations_lock", "index is_locked", None),
    ],
)
def test_a_migration_tools_table_is_known_by_name_and_columns(
    name: str, columns: str, query: str | None
) -> None:
    known = bookkeeping(name, columns.split())
    assert known is not None
    assert known.query == query
    one = table(1, name, columns=tuple(columns.split()))
    assert Selection().passes_over(one) is Passed.BOOKKEEPING


def test_a_table_that_only_has_such_a_name_is_guarded() -> None:
    birds = table(1, "migrations", columns=("id", "bird", "departure"))
    assert bookkeeping(birds.name, birds.columns) is None
    assert Selection().passes_over(birds) is None


@pytest.mark.parametrize(
    ("selection", "passed"),
    [
        (Selection(), None),
        (Selection(schemas=("public",)), None),
        (Selection(schemas=("Public",)), Passed.SCHEMA),
        (Selection(exclude=("Audit*",)), Passed.EXCLUDED),
        (Selection(exclude=("public.Audit?og",)), Passed.EXCLUDED),
        (Selection(exclude=('public."AuditLog"',)), Passed.EXCLUDED),
        (Selection(exclude=("audit*",)), None),
    ],
)
def test_what_is_asked_for(selection: Selection, passed: Passed | None) -> None:
    assert selection.passes_over(table(1, "AuditLog")) is passed


@pytest.mark.parametrize(
    ("one", "passed"),
    [
        (table(1, extension="postgis"), Passed.EXTENSION),
        (table(1, is_foreign=True), Passed.FOREIGN),
        (table(1, "ü" * 40), Passed.UNNAMEABLE),
    ],
)
def test_what_nobody_can_put_back_or_declare_is_passed_over(one: TableFound, passed: Passed) -> None:
    assert Selection().passes_over(one) is passed


def test_what_was_asked_for_and_matches_nothing_is_named_as_it_was_written() -> None:
    selection = Selection(schemas=("public", "pubic"), exclude=("Audit*", "audit*"))
    assert selection.without_effect([table(1, "AuditLog")]) == ("--schema pubic", "--exclude audit*")

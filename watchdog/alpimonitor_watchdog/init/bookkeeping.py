"""The tables in which migration tools keep what they applied: not guarded, asked for the revision. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Bookkeeping:
    """One such table. `query` names a statement of queries.sql; None: it tells no revision."""

    tool: str
    table: str
    columns: frozenset[str]  # by which it is told from a table of the same name
    query: str | None


def bookkeeping(table: str, columns: Collection[str]) -> Bookkeeping | None:
    """What a table of this name with these columns is for."""
    present = set(columns)
    return next((known for known in _KNOWN if known.table == table and known.columns <= present), None)


def _known(tool: str, table: str, columns: str, query: str | None) -> Bookkeeping:
    return Bookkeeping(tool, table, frozenset(columns.split()), query)


_KNOWN = (
    _known("Alembic", "alembic_version", "version_num", "revision_alembic"),
    _known("Prisma", "_prisma_migrations", "migration_name finished_at rolled_back_at", "revision_prisma"),
    _known("Django", "django_migrations", "id app name", "revision_django"),
    _known("Flyway", "flyway_schema_history", "installed_rank version success", "revision_flyway"),
    _known("golang-migrate", "schema_migrations", "version dirty", "revision_golang"),
    _known("Rails, Ecto or dbmate", "schema_migrations", "version", "revision_newest_version"),
    _known("Rails", "ar_internal_metadata", "key value", None),
    _known("Entity Framework", "__EFMigrationsHistory", "MigrationId", "revision_entity_framework"),
    _known("Knex", "knex_migrations", "id name batch", "revision_newest_name"),
    _known("Knex", "knex_migrations_lock", "is_locked", None),
    _known("TypeORM", "migrations", "id timestamp name", "revision_newest_name"),
    _known("MikroORM", "mikro_orm_migrations", "id name executed_at", "revision_newest_name"),
    _known("Sequelize", "SequelizeMeta", "name", "revision_sequelize"),
    _known("Liquibase", "databasechangelog", "id orderexecuted", "revision_liquibase"),
    _known("Liquibase", "databasechangeloglock", "id locked", None),
    _known("goose", "goose_db_version", "version_id is_applied", "revision_goose"),
    _known("sqlx", "_sqlx_migrations", "version success", "revision_sqlx"),
    _known("Drizzle", "__drizzle_migrations", "hash created_at", "revision_drizzle"),
)

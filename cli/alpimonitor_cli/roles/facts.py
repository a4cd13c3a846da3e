"""What is there of roles, owners and rights: gathered in one transaction, from the catalog alone."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from alpimonitor_cli.roles.names import NAMES
from alpimonitor_cli.roles.rights import DROPS, EVIDENCE, LEDGER, PUBLIC, Kind, Right, Thing

SCHEMAS = ["public", LEDGER, EVIDENCE]

SESSION = """
SELECT
    current_database()::text AS database,
    current_setting('server_version_num')::integer / 10000 AS major,
    r.rolname::text AS role,
    r.rolsuper AS superuser,
    r.rolcreaterole AS createrole,
    r.rolcreatedb AS createdb,
    has_table_privilege('pg_authid', 'SELECT') AS sees_passwords
FROM pg_roles AS r WHERE r.rolname = current_user
"""

# `acts`: whose things this session may give away; `administers`: whose members it may choose.
RELATIONS = """
SELECT
    r.rolname::text AS name,
    pg_has_role(r.oid, 'USAGE') AS acts,
    pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') AS administers
FROM pg_roles AS r
"""

ROLES = """
SELECT rolname::text AS name, rolcanlogin AS login, rolsuper AS superuser, rolcreatedb AS createdb,
       rolcreaterole AS createrole, rolreplication AS replication, rolbypassrls AS bypassrls
FROM pg_roles WHERE rolname = ANY (%s::name[])
"""

PASSWORDS = "SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = ANY (%s::name[])"

MEMBERSHIPS = """
SELECT r.rolname::text AS role, m.rolname::text AS member, g.rolname::text AS grantor
FROM pg_auth_members AS a
JOIN pg_roles AS r ON r.oid = a.roleid JOIN pg_roles AS m ON m.oid = a.member
LEFT JOIN pg_roles AS g ON g.oid = a.grantor
WHERE m.rolname = ANY (%s::name[])
"""

# A row a right, with the thing it is on; a thing without rights of anybody has one row. Sequences that belong
# to a column, and what belongs to an extension, go where that goes.
THINGS = """
WITH things AS (
    SELECT 'DATABASE' AS kind, '' AS schema, datname::text AS name, '' AS arguments, datdba AS owner,
           coalesce(datacl, acldefault('d', datdba)) AS acl
    FROM pg_database WHERE datname = current_database()
  UNION ALL
    SELECT 'SCHEMA', '', nspname, '', nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM pg_namespace WHERE nspname = ANY (%(schemas)s::name[])
  UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname, '', relowner,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = ANY (%(schemas)s::name[]) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                      AND (deptype = 'e' OR (relkind = 'S' AND deptype IN ('a', 'i'))))
  UNION ALL
    SELECT 'FUNCTION', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid), proowner,
           coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace WHERE nspname = %(evidence)s
), columns AS (
    SELECT 'TABLE' AS kind, nspname AS schema, relname AS name, attname, attacl
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = ANY (%(schemas)s::name[]) AND attacl IS NOT NULL AND NOT attisdropped
)
SELECT t.kind, t.schema, t.name, t.arguments, pg_get_userbyid(t.owner)::text AS owner,
       a.grantee, a.privilege, ''::text AS column_name
FROM things AS t LEFT JOIN LATERAL (
    SELECT CASE grantee WHEN 0 THEN %(public)s ELSE pg_get_userbyid(grantee)::text END AS grantee,
           privilege_type AS privilege
    FROM aclexplode(t.acl)
) AS a ON true
UNION ALL
SELECT c.kind, c.schema, c.name, '', NULL,
       CASE a.grantee WHEN 0 THEN %(public)s ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type,
       c.attname::text
FROM columns AS c, LATERAL aclexplode(c.attacl) AS a
"""

DEFAULTS = """
SELECT DISTINCT pg_get_userbyid(d.defaclrole)::text AS creator, coalesce(n.nspname, '')::text AS schema,
       d.defaclobjtype::text AS objects,
       CASE a.grantee WHEN 0 THEN %(public)s ELSE pg_get_userbyid(a.grantee)::text END AS grantee
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace,
     LATERAL aclexplode(d.defaclacl) AS a
WHERE pg_get_userbyid(d.defaclrole) = ANY (%(names)s::name[])
"""

EVENT_TRIGGERS = """
SELECT evtname::text, evtenabled = 'A' FROM pg_event_trigger WHERE evtname = ANY (%s::name[])
"""


@dataclass(frozen=True)
class Session:
    """Whoever looks, and may have to change something."""

    database: str
    major: int  # of the server's version
    role: str
    superuser: bool
    createrole: bool
    createdb: bool
    sees_passwords: bool


@dataclass(frozen=True)
class RoleFound:
    """The attributes of a role that is there."""

    name: str
    login: bool
    superuser: bool
    createdb: bool
    createrole: bool
    replication: bool
    bypassrls: bool


@dataclass(frozen=True)
class Membership:
    """One of our roles is a member of `role`."""

    role: str
    member: str
    grantor: str | None


@dataclass(frozen=True)
class DefaultRight:
    """What one of our roles gives away of everything that it will make. `schema` empty: wherever."""

    creator: str
    schema: str
    objects: str  # pg_default_acl's letter: r tables, S sequences, f functions, T types, n schemas
    grantee: str


@dataclass(frozen=True)
class Facts:
    """Everything that a plan is made from."""

    session: Session
    acts_as: frozenset[str]  # roles whose rights the session has
    administers: frozenset[str]  # roles of which it may make others a member
    roles: tuple[RoleFound, ...]
    verifiers: dict[str, str | None] | None  # of our roles; None: not for this session to see
    memberships: tuple[Membership, ...]
    owners: dict[Thing, str]
    rights: frozenset[Right]  # of our roles, of everybody and of the session's role
    defaults: tuple[DefaultRight, ...]
    event_triggers: dict[str, bool]  # the recorder's that are there, and whether each always fires


@dataclass(frozen=True)
class _Row:
    kind: str
    schema: str
    name: str
    arguments: str
    owner: str | None
    grantee: str | None
    privilege: str | None
    column_name: str


def gather(connection: psycopg.Connection) -> Facts:
    """Read the catalog. Raises psycopg.Error."""
    names = sorted(NAMES)
    with connection.cursor(row_factory=class_row(Session)) as cursor:
        session = cursor.execute(SESSION).fetchall()[0]
    relations = connection.execute(RELATIONS).fetchall()
    with connection.cursor(row_factory=class_row(RoleFound)) as cursor:
        roles = cursor.execute(ROLES, [names]).fetchall()
    verifiers: dict[str, str | None] | None = None
    if session.sees_passwords:
        verifiers = dict(connection.execute(PASSWORDS, [names]).fetchall())
    with connection.cursor(row_factory=class_row(Membership)) as cursor:
        memberships = cursor.execute(MEMBERSHIPS, [names]).fetchall()
    bound = {"schemas": SCHEMAS, "evidence": EVIDENCE, "public": PUBLIC, "names": names}
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(THINGS, bound).fetchall()
    with connection.cursor(row_factory=class_row(DefaultRight)) as cursor:
        defaults = cursor.execute(DEFAULTS, bound).fetchall()
    event_triggers = connection.execute(EVENT_TRIGGERS, [list(DROPS)]).fetchall()
    things = {row: Thing(Kind(row.kind), row.schema, row.name, row.arguments) for row in rows}
    return Facts(
        session=session,
        acts_as=frozenset(name for name, acts, _ in relations if acts),
        administers=frozenset(name for name, _, administers in relations if administers),
        roles=tuple(roles),
        verifiers=verifiers,
        memberships=tuple(memberships),
        owners={things[row]: row.owner for row in rows if row.owner is not None},
        rights=frozenset(
            Right(things[row], row.grantee, row.privilege, row.column_name)
            for row in rows
            if row.grantee is not None
            and row.privilege is not None
            and row.grantee in NAMES | {PUBLIC, session.role}
        ),
        defaults=tuple(defaults),
        event_triggers=dict(event_triggers),
    )

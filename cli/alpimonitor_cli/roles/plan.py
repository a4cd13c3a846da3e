"""The difference between the roles that are wanted and those that are there, as SQL. Pure.

Order of the steps: roles, memberships, owners, what is too much, what is missing. A role loses rights before
it gets others, so that nothing it was given is taken away again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from alpimonitor_cli.roles.facts import Facts, RoleFound
from alpimonitor_cli.roles.names import ADMIN_URL, NAMES, OWNER, ROLES, Role
from alpimonitor_cli.roles.password import is_of
from alpimonitor_cli.roles.rights import DROPS, EVIDENCE, PUBLIC, Kind, Right, Thing, owner_of, wanted

# From this version on a role that makes roles may give away only those it was given itself, and a membership
# says whether it inherits and may SET ROLE.
MEMBERSHIP_HAS_OPTIONS = 16
OBJECTS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS"}
ATTRIBUTES = ("superuser", "createdb", "createrole", "replication", "bypassrls")


@dataclass(frozen=True)
class Step:
    """One statement, and what it is for. `acts` are the roles whose rights it takes."""

    sql: str
    why: str
    acts: frozenset[str] = frozenset()
    secret: bool = False  # it holds a verifier: not for a screen


@dataclass(frozen=True)
class Left:
    """A step that whoever looks may not take, and what that would take."""

    step: Step
    needs: str


@dataclass(frozen=True)
class Plan:
    """What is to be done, what is left for somebody else, and what no statement here can do."""

    steps: tuple[Step, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return not self.steps and not self.left


def plan(facts: Facts, passwords: Mapping[str, str], verifiers: Mapping[str, str]) -> Plan:
    """`passwords` by role, as they were given, and the `verifiers` of the same."""
    steps: list[Step] = []
    left: list[Left] = []
    for step, needs in _judged(facts, passwords, verifiers):
        if needs:
            left.append(Left(step, needs))
        else:
            steps.append(step)
    borrowed = sorted(frozenset().union(*(step.acts for step in steps)) - facts.acts_as)
    if borrowed and not facts.session.superuser:
        names = _named(borrowed)
        options = " WITH INHERIT TRUE, SET TRUE" if facts.session.major >= MEMBERSHIP_HAS_OPTIONS else ""
        first = next(n for n, step in enumerate(steps) if step.acts - facts.acts_as)
        steps.insert(first, Step(f"GRANT {names} TO CURRENT_USER{options};", "to act for them, for now"))
        steps.append(Step(f"REVOKE {names} FROM CURRENT_USER;", "no longer to act for them"))
    return Plan(tuple(steps), tuple(left), tuple(_notes(facts, passwords)))


def _judged(
    facts: Facts, passwords: Mapping[str, str], verifiers: Mapping[str, str]
) -> Iterator[tuple[Step, str]]:
    """Every step, and what it needs that this session has not; "" where it has all."""
    session = facts.session
    may_make = session.superuser or session.createrole
    present = {role.name: role for role in facts.roles}
    will_be = set(present)
    for role in ROLES:
        if role.name not in present:
            needs = "" if may_make else "a role that may make roles"
            if not needs and role.createdb and not (session.superuser or session.createdb):
                needs = "a role that may make roles and databases"
            if not needs:
                will_be.add(role.name)
            yield _created(role), needs
    for role in ROLES:
        found = present.get(role.name)
        if found is not None:
            yield from _attributes(facts, role, found)
        if role.name in verifiers and not _known(facts, role.name, passwords[role.name]):
            step = Step(
                f"ALTER ROLE {_named([role.name])} PASSWORD {sql.Literal(verifiers[role.name]).as_string()};",
                f"{role.name} gets the password that {role.password_variable} says",
                secret=True,
            )
            yield step, "" if may_make else "a role that may make roles"
    yield from _memberships(facts, will_be)
    acting = _acting(facts, will_be)
    for step in (*_ownerships(facts, will_be), *_rights(facts, will_be)):
        missing = sorted(step.acts - acting)
        if (
            not missing
            and step.sql.startswith("ALTER DATABASE")
            and not (session.superuser or session.createdb)
        ):
            yield step, "a role that may make databases"
            continue
        yield step, f"the rights of {', '.join(missing)}" if missing else ""
    yield from _event_triggers(facts)


def _acting(facts: Facts, will_be: set[str]) -> frozenset[str]:
    """The roles for which this session may act, or may make itself able to."""
    session = facts.session
    if session.superuser:
        return facts.acts_as | will_be | set(facts.owners.values())
    made_now = will_be - {role.name for role in facts.roles}
    old_server = session.createrole and session.major < MEMBERSHIP_HAS_OPTIONS
    chosen = NAMES & will_be if old_server else (facts.administers | made_now) & NAMES
    return facts.acts_as | chosen


def _created(role: Role) -> Step:
    options = " LOGIN" if role.login else " NOLOGIN"
    return Step(
        f"CREATE ROLE {_named([role.name])}{options}{' CREATEDB' if role.createdb else ''};",
        f"{role.name}: {role.purpose}",
    )


def _attributes(facts: Facts, role: Role, found: RoleFound) -> Iterator[tuple[Step, str]]:
    wrong = [
        ("" if name == "createdb" and role.createdb else "NO") + name.upper()
        for name in ATTRIBUTES
        if getattr(found, name) != (name == "createdb" and role.createdb)
    ]
    if found.login != role.login:
        wrong.append("LOGIN" if role.login else "NOLOGIN")
    if not wrong:
        return
    step = Step(
        f"ALTER ROLE {_named([role.name])} {' '.join(wrong)};", f"{role.name} is {' '.join(wrong).lower()}"
    )
    needs_superuser = {"NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"} & set(wrong)
    if facts.session.superuser:
        yield step, ""
    elif needs_superuser:
        yield step, "a superuser"
    else:
        yield step, "" if facts.session.createrole else "a role that may make roles"


def _known(facts: Facts, role: str, password: str) -> bool:
    """Whether a role that is there has this password. What cannot be seen is left alone."""
    if role not in {found.name for found in facts.roles}:
        return False
    return facts.verifiers is None or is_of(facts.verifiers.get(role), password)


def _memberships(facts: Facts, will_be: set[str]) -> Iterator[tuple[Step, str]]:
    session = facts.session
    old_server = session.createrole and session.major < MEMBERSHIP_HAS_OPTIONS
    belongs = {(parent, role.name) for role in ROLES for parent in role.member_of}

    def needs(parent: str) -> str:
        if session.superuser or old_server or parent in facts.administers:
            return ""
        return f"a role that may make others a member of {parent}"

    for each in facts.memberships:
        if (each.role, each.member) not in belongs:
            by = session.major >= MEMBERSHIP_HAS_OPTIONS and each.grantor
            yield (
                Step(
                    f"REVOKE {_named([each.role])} FROM {_named([each.member])}"
                    f"{f' GRANTED BY {_named([by])}' if by else ''};",
                    f"{each.member} cannot become {each.role}",
                ),
                needs(each.role),
            )
    found = {(each.role, each.member) for each in facts.memberships}
    for parent, member in sorted(belongs - found):
        if member in will_be:
            yield (
                Step(
                    f"GRANT {_named([parent])} TO {_named([member])};", f"{member} may do what {parent} may"
                ),
                needs(parent),
            )


def _ownerships(facts: Facts, will_be: set[str]) -> Iterator[Step]:
    together: dict[tuple[bool, Kind, str, str], list[Thing]] = defaultdict(list)
    for thing, owner in sorted(facts.owners.items()):
        new = _new_owner(thing, owner, will_be)
        if new != owner:
            # A schema before what is in it: whoever is to own that has to be allowed to make it there.
            together[bool(thing.schema), thing.kind, owner, new].append(thing)
    for (_, kind, owner, new), things in sorted(together.items()):
        yield Step(
            "\n".join(f"ALTER {kind.value} {_spelled(thing)} OWNER TO {_named([new])};" for thing in things),
            f"{kind.value.lower()} {', '.join(thing.name for thing in things)}: {new} owns it, not {owner}",
            frozenset({owner, new}),
        )


def _new_owner(thing: Thing, owner: str, will_be: set[str]) -> str:
    allowed = owner_of(thing)
    return owner if not allowed or owner in allowed or allowed[0] not in will_be else allowed[0]


def _rights(facts: Facts, will_be: set[str]) -> Iterator[Step]:
    """First everything that is too much, then everything that is missing."""
    owners = {thing: _new_owner(thing, owner, will_be) for thing, owner in facts.owners.items()}
    needed = {
        right
        for right in wanted(facts.session.database, owners)
        if right.grantee in will_be and right.grantee != owners[right.thing]
    }
    session = facts.session
    if not session.superuser and session.role not in NAMES:
        # It may have been let in as everybody, or as the owner: it must not lock itself out.
        needed.add(Right(Thing(Kind.DATABASE, "", session.database), session.role, "CONNECT"))
    ours = {thing for thing in owners if owner_of(thing)}
    found = {
        right
        for right in facts.rights
        # An owner's rights go with its ownership.
        if right.thing in ours and right.grantee not in (owners[right.thing], facts.owners[right.thing])
    }
    too_much = {right for right in found - needed if right.grantee in NAMES | {PUBLIC}}
    # To take a privilege on a table away takes it from each of its columns, too.
    whole = {(right.thing, right.grantee, right.privilege) for right in too_much if not right.column}
    missing = needed - found
    missing |= {r for r in needed if r.column and (r.thing, r.grantee, r.privilege) in whole}
    for creator, schema, objects, grantee in _default_rights(facts):
        inside = f" IN SCHEMA {_named([schema])}" if schema else ""
        yield Step(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {_named([creator])}{inside} "
            f"REVOKE ALL ON {objects} FROM {_grantee(grantee)};",
            f"{grantee} gets nothing of its own accord of what {creator} will make",
            frozenset({creator}),
        )
    yield from _statements("REVOKE", too_much, owners)
    yield from _statements("GRANT", missing, owners)


def _default_rights(facts: Facts) -> Iterator[tuple[str, str, str, str]]:
    for each in facts.defaults:
        if each.grantee == each.creator:
            continue
        # Everybody may use types and functions by PostgreSQL's own default, which this is written upon.
        if each.grantee in NAMES or (each.grantee == PUBLIC and each.objects in "rS"):
            yield each.creator, each.schema, OBJECTS[each.objects], each.grantee


def _statements(verb: str, rights: Iterable[Right], owners: Mapping[Thing, str]) -> Iterator[Step]:
    """As few statements as say it: the things on which one role gets or loses the same are named together."""
    of_thing: dict[tuple[str, Thing], set[Right]] = defaultdict(set)
    for right in rights:
        of_thing[right.grantee, right.thing].add(right)
    together: dict[tuple[str, Kind, str, str], list[Thing]] = defaultdict(list)
    for (grantee, thing), its in of_thing.items():
        together[grantee, thing.kind, owners[thing], _privileges(its)].append(thing)
    preposition = "TO" if verb == "GRANT" else "FROM"
    loses = "may" if verb == "GRANT" else "may no longer"
    for (grantee, kind, owner, privileges), things in sorted(together.items()):
        yield Step(
            f"{verb} {privileges} ON {kind.value} {', '.join(_spelled(thing) for thing in sorted(things))} "
            f"{preposition} {_grantee(grantee)};",
            f"{grantee} {loses} {privileges} on {', '.join(thing.name for thing in sorted(things))}",
            frozenset({owner}),
        )


def _privileges(rights: Iterable[Right]) -> str:
    """`SELECT, UPDATE ("value", "payload_fetched_at")`."""
    columns: dict[str, list[str]] = defaultdict(list)
    for right in sorted(rights):
        columns[right.privilege] += [right.column] if right.column else []
    return ", ".join(
        f"{privilege} ({_named(names)})" if names else privilege for privilege, names in columns.items()
    )


def _event_triggers(facts: Facts) -> Iterator[tuple[Step, str]]:
    """DROP and disarming are recorded as soon as there is a recorder."""
    functions = {thing.name for thing in facts.owners if thing.schema == EVIDENCE}
    if not {"record_drop", "record_ddl"} <= functions:
        return
    needs = "" if facts.session.superuser else "a superuser, or what stands for one on a managed server"
    for name, does in DROPS.items():
        if name not in facts.event_triggers:
            yield (
                Step(f"CREATE EVENT TRIGGER {name} {does};", f"{name}: what DROP takes away is recorded"),
                needs,
            )
        if not facts.event_triggers.get(name):
            yield (
                Step(f"ALTER EVENT TRIGGER {name} ENABLE ALWAYS;", f"{name}: it always fires"),
                needs,
            )


def _notes(facts: Facts, passwords: Mapping[str, str]) -> Iterator[str]:
    known = {found.name for found in facts.roles}
    for role in ROLES:
        if not role.login:
            continue
        if facts.verifiers is None:
            if role.name in known and role.name in passwords:
                yield (
                    f"{role.password_variable} was not used: whether {role.name} has that password cannot be "
                    f"seen by {facts.session.role}. Give {ADMIN_URL} a superuser, or set it with "
                    f"\\password {role.name}"
                )
        elif role.name not in passwords and not facts.verifiers.get(role.name):
            yield (
                f"{role.name} has no password and cannot log in with one: set {role.password_variable}, or "
                f"\\password {role.name}"
            )
    if not any(thing.kind is Kind.TABLE and thing.schema == "public" for thing in facts.owners):
        yield f"there are no tables yet: migrate as {OWNER}, then apply this again (boot does both)"


def _spelled(thing: Thing) -> str:
    name = sql.Identifier(*([thing.schema] if thing.schema else []), thing.name).as_string()
    return f"{name}({thing.arguments})" if thing.kind is Kind.FUNCTION else name


def _grantee(name: str) -> str:
    return name if name == PUBLIC else _named([name])


def _named(names: Iterable[str]) -> str:
    return ", ".join(sql.Identifier(name).as_string() for name in names)

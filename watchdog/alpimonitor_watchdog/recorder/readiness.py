"""Attribution readiness: what could be said of who did it, if rows were lost now. Pure.

One item for each thing that naming a session rests on; a gap says what it costs and how to close it. None of
them stands in the way of a heal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..probe.rights import Right, Standing

_NAMED = ("pgbouncer", "pgpool", "pgcat", "odyssey", "supavisor", "rds-proxy")  # by their own sessions
_OURS = re.compile(r"alpimonitor-\S+ \S+ (?P<host>\S+) \d+")
_ESCAPE = re.compile(r"%-?\d*(?P<letter>[a-zA-Z%])")
_IN_THE_LOG = {"user": "u", "application": "a", "address": "hr", "pid": "pP", "session": "c"}
_WHOLE_LOGS = ("csvlog", "jsonlog")  # formats that have every field whatever the prefix
_CONNECTIONS = {"on", "true", "yes", "1", "all", "authorization"}


@dataclass(frozen=True)
class RecorderFacts:
    """The flight recorder. `unarmed` are declared names."""

    installed: bool = False
    readable: bool = False
    unarmed: tuple[str, ...] = ()
    drops: bool = False
    erasers: tuple[str, ...] = ()  # roles that could erase what it recorded


@dataclass(frozen=True)
class Client:
    """A session of the guarded database. `client_addr` None: a local socket."""

    role: str
    application_name: str
    client_addr: str | None
    own: bool  # the sidecar's
    listens: bool


@dataclass(frozen=True)
class Application:
    """A role that the application connects as."""

    role: str
    superuser: bool
    owns: tuple[str, ...]  # guarded tables
    becomes: tuple[str, ...]  # roles that own one, or are superusers


@dataclass(frozen=True)
class Server:
    """What the server is set to."""

    log_connections: str
    log_line_prefix: str
    log_destination: str
    log_statement: str
    max_prepared_transactions: int
    sees_sessions: bool  # whether the sidecar's role sees the sessions of others
    own_address: str | None = None  # of the sidecar, as the server sees it; None: a local socket


@dataclass(frozen=True)
class Facts:
    """All that readiness is judged by."""

    server: Server
    recorder: RecorderFacts
    clients: tuple[Client, ...] = ()
    applications: tuple[Application, ...] = ()
    declared_role: str | None = None  # [database] application_role
    listening: bool | None = None  # as the sidecar itself says; None: to be told by the sessions


@dataclass(frozen=True)
class Readiness:
    """The items, in the order of their weight for a person. `unseen`: why there are none."""

    items: tuple[Right, ...] = ()
    unseen: str = ""

    @property
    def held(self) -> int:
        return sum(item.standing is Standing.HOLDS for item in self.items)

    @property
    def ratio(self) -> float | None:
        """From 0 to 1; None: it could not be looked at."""
        return self.held / len(self.items) if self.items else None

    def __str__(self) -> str:
        return self.unseen or f"{self.held} of {len(self.items)} things hold that naming a session rests on"


def assess(facts: Facts) -> Readiness:
    """Never raises."""
    return Readiness(
        (
            _armed(facts.recorder),
            _drops(facts.recorder),
            _out_of_reach(facts.recorder),
            _application(facts),
            _named(facts.clients),
            _addresses(facts),
            _log(facts.server),
            _prepared(facts.server),
            _listening(facts),
        )
    )


def _armed(recorder: RecorderFacts) -> Right:
    subject, costs = "recorder", "nothing records who empties these tables: the cause stays undetermined"
    if not recorder.installed:
        return _gap(
            subject,
            "no flight recorder is installed",
            costs,
            "alpimonitor recorder install --tables NAME,…; for AlpiMonitor: alpimonitor db upgrade",
        )
    if not recorder.readable:
        return _gap(
            subject,
            "the sidecar's role may not read what is recorded",
            "it cannot say who it was, and does not copy the evidence out in time",
            "GRANT USAGE ON SCHEMA flight_recorder TO …; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA flight_recorder TO …; with the sidecar's role for …",
        )
    if recorder.unarmed:
        return _gap(
            subject,
            f"not every statement is recorded on {', '.join(recorder.unarmed)}",
            costs,
            f"alpimonitor recorder install --tables {','.join(recorder.unarmed)}",
        )
    return Right(subject, Standing.HOLDS, "armed on every guarded table")


def _drops(recorder: RecorderFacts) -> Right:
    if recorder.installed and recorder.drops:
        return Right("drops", Standing.HOLDS, "DROP and disarming are recorded")
    return _gap(
        "drops",
        "DROP, and disarming the recorder, are not recorded",
        "of a dropped table only its absence is known",
        "alpimonitor recorder install, as a superuser or as what stands for one on a managed server",
    )


def _out_of_reach(recorder: RecorderFacts) -> Right:
    subject = "evidence"
    if not recorder.installed:
        return _gap(
            subject, "there is none", "nothing can be read up afterwards", "alpimonitor recorder install"
        )
    if recorder.erasers:
        return _gap(
            subject,
            f"{', '.join(recorder.erasers)} could change or erase it",
            "whoever has that password can remove the trace, before or after the sidecar copied it",
            "give it to a NOLOGIN role: CREATE ROLE alpimonitor_recorder NOLOGIN, then install the recorder "
            "again as a superuser; for AlpiMonitor: alpimonitor roles apply",
        )
    return Right(subject, Standing.HOLDS, "out of reach of every role but superusers")


def _application(facts: Facts) -> Right:
    subject = "application"
    costs = "whoever has its password can drop tables, and disarm the recorder before and arm it again after"
    remedy = (
        "give the application a role of its own that owns nothing; for AlpiMonitor: alpimonitor roles apply"
    )
    if not facts.applications:
        said = (
            f"there is no role {facts.declared_role}"
            if facts.declared_role
            else "no session of it is there to see"
        )
        return _gap(
            subject,
            said,
            "whether it could disarm the recorder is not known",
            "name its role in watchdog.toml: [database] application_role",
        )
    for role in facts.applications:
        if role.superuser:
            return _gap(subject, f"{role.role} is a superuser", costs, remedy)
        if role.owns:
            return _gap(subject, f"{role.role} owns {', '.join(role.owns)}", costs, remedy)
        if role.becomes:
            return _gap(subject, f"{role.role} can become {', '.join(role.becomes)}", costs, remedy)
    names = ", ".join(role.role for role in facts.applications)
    return Right(subject, Standing.HOLDS, f"{names} owns no guarded table and cannot become who does")


def _named(clients: Sequence[Client]) -> Right:
    unnamed = [client for client in clients if not client.own and not client.application_name.strip()]
    if not unnamed:
        return Right("application_name", Standing.HOLDS, "no session is without one")
    roles = ", ".join(sorted({client.role for client in unnamed}))
    return _gap(
        "application_name",
        f"{len(unnamed)} {'session' if len(unnamed) == 1 else 'sessions'} without one: {roles}",
        "a role is named, and not which of the programs that share it",
        "add ?application_name=… to that program's database URL, with its host and process id if it can",
    )


def _addresses(facts: Facts) -> Right:
    """Whether an address says where a statement came from. None of these signs is certain."""
    subject, costs = "client address", "the address of whoever did it is that of something in between"
    if not facts.server.sees_sessions:
        return _gap(
            subject,
            "the sidecar's role does not see the addresses of other sessions",
            "whether they tell anything is not known",
            "GRANT pg_monitor TO the sidecar's role",
        )
    others = [client for client in facts.clients if not client.own]
    remedy = "connect to PostgreSQL directly, or let the pooler say on whose behalf: application_name"
    poolers = {
        client.application_name
        for client in others
        if client.application_name.strip().lower().startswith(_NAMED)
    }
    if poolers:
        return _gap(subject, f"sessions of {', '.join(sorted(poolers))}", costs, remedy)
    if others and all(client.client_addr is None for client in others):
        return _gap(
            subject,
            "every session comes through a local socket",
            "it is on the server's own host, or a pooler there: the address does not say",
            remedy,
        )
    addresses = {client.client_addr for client in others}
    hosts = {found["host"] for client in others if (found := _OURS.match(client.application_name))}
    if len(addresses) == 1 and len(hosts) > 1:
        return _gap(subject, f"sessions of {', '.join(sorted(hosts))} come from one address", costs, remedy)
    said = f"other sessions come from {', '.join(sorted(filter(None, addresses)))}"
    return Right(subject, Standing.HOLDS, said if others else "no other session now")


def _log(server: Server) -> Right:
    subject, costs = "server log", "a session that the recorder missed leaves no trace in the server's log"
    connections = {word.strip().lower() for word in server.log_connections.split(",")}
    wanting = [] if connections & _CONNECTIONS else ["log_connections is off"]
    letters = {found["letter"] for found in _ESCAPE.finditer(server.log_line_prefix)}
    whole = any(form in server.log_destination for form in _WHOLE_LOGS)
    missing = [name for name, any_of in _IN_THE_LOG.items() if not whole and not letters & set(any_of)]
    if missing:
        wanting.append(f"log_line_prefix has no {', '.join(missing)}")
    if not wanting:
        return Right(subject, Standing.HOLDS, f"says who connected; log_statement is {server.log_statement}")
    hint = "" if server.log_statement in ("ddl", "mod", "all") else " ALTER SYSTEM SET log_statement = 'ddl';"
    return _gap(
        subject,
        "; ".join(wanting),
        costs,
        "ALTER SYSTEM SET log_connections = on; "
        f"ALTER SYSTEM SET log_line_prefix = '%m [%p] %c user=%u db=%d app=%a client=%h ';{hint} "
        "SELECT pg_reload_conf();",
    )


def _prepared(server: Server) -> Right:
    subject = "prepared transactions"
    if server.max_prepared_transactions == 0:
        return Right(subject, Standing.HOLDS, "not in use, so that NOTIFY is in nobody's way")
    return _gap(
        subject,
        f"max_prepared_transactions is {server.max_prepared_transactions}",
        "the recorder's NOTIFY makes PREPARE TRANSACTION fail where a context table lost its rows",
        "if nothing uses two-phase commit: ALTER SYSTEM SET max_prepared_transactions = 0, and restart; else "
        "SET flight_recorder.notify = off in the sessions that do, whose losses are then noticed by looking",
    )


def _listening(facts: Facts) -> Right:
    subject = "listening"
    listening = facts.listening
    if listening is None:
        listening = any(client.listens for client in facts.clients)
    if listening:
        return Right(subject, Standing.HOLDS, "a sidecar hears of a recorded statement at once")
    return _gap(
        subject,
        "no sidecar listens for the recorder",
        "losses are noticed at the next look, and evidence may be erased before it is copied",
        "start it: alpimonitor watchdog run; it connects directly, not through a transaction pooler",
    )


def _gap(subject: str, said: str, costs: str, remedy: str) -> Right:
    return Right(subject, Standing.WARNING, said, costs, remedy)

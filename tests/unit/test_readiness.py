"""Attribution readiness: each thing it rests on is judged by itself, with cost and remedy."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.probe.rights import Right, Standing
from alpimonitor_watchdog.recorder.readiness import (
    Application,
    Client,
    Facts,
    Readiness,
    RecorderFacts,
    Server,
    assess,
)
from alpimonitor_watchdog.recorder.readiness_watch import ReadinessWatch

PREFIX = "%m [%p] %c user=%u db=%d app=%a client=%h "
SERVER = Server("on", PREFIX, "stderr", "ddl", 0, sees_sessions=True)
RECORDER = RecorderFacts(installed=True, readable=True, drops=True)
API = Application("api", superuser=False, owns=(), becomes=())


def client(
    name: str = "alpimonitor-api 1.0 web-1 7", address: str | None = "10.0.0.2", role: str = "api"
) -> Client:
    return Client(role, name, address, own=False, listens=False)


LISTENER = Client("watch", "alpimonitor-watchdog 1.0 db 9 listener", "10.0.0.9", own=True, listens=True)
READY = Facts(SERVER, RECORDER, (client(), LISTENER), (API,))
ITEMS = {
    "recorder",
    "drops",
    "evidence",
    "application",
    "application_name",
    "client address",
    "server log",
    "prepared transactions",
    "listening",
}


def gaps(facts: Facts) -> dict[str, Right]:
    items = assess(facts).items
    for item in items:
        assert bool(item.costs and item.remedy) == (item.standing is not Standing.HOLDS)
        # What is missing stands in the way of no heal.
        assert item.standing is not Standing.GAP
    return {item.subject: item for item in items if item.standing is not Standing.HOLDS}


def test_where_everything_holds_the_ratio_is_one() -> None:
    readiness = assess(READY)
    assert {item.subject for item in readiness.items} == ITEMS
    assert gaps(READY) == {}
    assert (readiness.held, readiness.ratio) == (9, 1.0)
    assert str(readiness) == "9 of 9 things hold that naming a session rests on"


def test_what_could_not_be_looked_at_has_no_ratio() -> None:
    readiness = Readiness(unseen="db:5432 did not answer in time")
    assert readiness.ratio is None
    assert str(readiness) == "db:5432 did not answer in time"


def server(**changed: object) -> Facts:
    return replace(READY, server=replace(SERVER, **changed))  # type: ignore[arg-type]


def recorder(**changed: object) -> Facts:
    return replace(READY, recorder=replace(RECORDER, **changed))  # type: ignore[arg-type]


def clients(*seen: Client) -> Facts:
    return replace(READY, clients=(*seen, LISTENER))


def application(**changed: object) -> Facts:
    return replace(READY, applications=(replace(API, **changed),))  # type: ignore[arg-type]


BROKEN = {
    "a table that is not recorded": (recorder(unarmed=("station",)), "recorder", "recorded on station"),
    "evidence that the sidecar may not read": (recorder(readable=False), "recorder", "may not read"),
    "no event triggers": (recorder(drops=False), "drops", "not recorded"),
    "an owner of the evidence who logs in": (recorder(erasers=("owner",)), "evidence", "owner could"),
    "an application that owns its tables": (application(owns=("t",)), "application", "api owns t"),
    "an application that is a superuser": (application(superuser=True), "application", "api is a superuser"),
    "an application that can become the owner": (application(becomes=("o",)), "application", "can become o"),
    "an application that nobody knows": (replace(READY, applications=()), "application", "no session"),
    "an application that is not there": (
        replace(READY, applications=(), declared_role="app"), "application", "there is no role app"
    ),
    "a session without a name": (clients(client(), client("")), "application_name", "1 session without"),
    "sessions without a name": (clients(client(" "), client("", role="b")), "application_name", "2 sessions"),
    "a pooler's own session": (clients(client("pgbouncer")), "client address", "pgbouncer"),
    "two hosts behind one address": (
        clients(client(), client("alpimonitor-api 1.0 web-2 7")), "client address", "web-1, web-2"
    ),
    "local sockets only": (clients(client(address=None)), "client address", "local socket"),
    "addresses that are hidden": (server(sees_sessions=False), "client address", "does not see"),
    "no log of connections": (server(log_connections="off"), "server log", "log_connections is off"),
    "no log of authorised sessions": (server(log_connections="receipt"), "server log", "log_connections"),
    "a prefix without a user": (
        server(log_line_prefix=PREFIX.replace("%u", "")), "server log", "has no user"
    ),
    "a prefix with an escaped letter": (
        server(log_line_prefix=PREFIX.replace("%a", "%%a")), "server log", "has no application"
    ),
    "two-phase commit": (server(max_prepared_transactions=5), "prepared transactions", "is 5"),
    "nobody who listens": (replace(READY, clients=(client(),)), "listening", "no sidecar listens"),
    "a sidecar that says so": (replace(READY, listening=False), "listening", "no sidecar listens"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_one_thing_that_is_missing_is_one_gap(name: str) -> None:
    facts, subject, said = BROKEN[name]
    found = gaps(facts)
    assert set(found) == {subject}
    assert said in found[subject].said
    assert assess(facts).ratio == pytest.approx(8 / 9)


def test_without_a_recorder_three_things_are_missing() -> None:
    assert set(gaps(replace(READY, recorder=RecorderFacts()))) == {"recorder", "drops", "evidence"}


@pytest.mark.parametrize(
    "facts",
    [
        server(log_connections="all"),
        server(log_connections="receipt,authorization"),
        server(log_line_prefix="%t %-5p %10u %a %r %c"),
        server(log_line_prefix="", log_destination="stderr,jsonlog"),
        server(log_statement="none"),
        clients(client(), client("psql", "10.0.0.3")),
        clients(client(), client("alpimonitor-api 1.0 web-2 7", "10.0.0.3")),
        clients(client(), client("alpimonitor-ingest 1.0 web-1 7")),  # one host, one address
        clients(),
        replace(READY, clients=(client(),), listening=True),
        # The sidecar's own session is the operator's affair.
        clients(client(), replace(LISTENER, application_name="", listens=False)),
    ],
)
def test_what_says_enough_is_no_gap(facts: Facts) -> None:
    assert gaps(facts) == {}


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_that_is_said_accuses_a_person(name: str) -> None:
    facts, _, _ = BROKEN[name]
    assert "culprit" not in repr(assess(facts)).lower()


READINESS = assess(READY)


def test_the_watch_measures_at_once_and_again() -> None:
    published: list[Readiness] = []
    watch = ReadinessWatch(lambda: READINESS, published.append, every=0.01)
    watch.start()
    wait_until("three measurements", lambda: len(published) >= 3, deadline=10)
    watch.stop(deadline=10)
    count = len(published)
    assert set(map(id, published)) == {id(READINESS)}
    assert len(published) == count


def test_a_measurement_that_fails_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    published = threading.Event()
    answers = iter([RuntimeError("broken"), READINESS])

    def measure() -> Readiness:
        answer = next(answers, READINESS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = ReadinessWatch(measure, lambda _: published.set(), every=0.01)
    watch.start()
    assert published.wait(10)
    watch.stop(deadline=10)
    assert "Readiness was not measured" in caplog.text


def test_the_watch_stops_while_it_waits_and_while_it_measures() -> None:
    began, go_on = threading.Event(), threading.Event()

    def measure() -> Readiness:
        began.set()
        go_on.wait(10)
        return READINESS

    published: list[Readiness] = []
    watch = ReadinessWatch(measure, published.append, every=3600)
    watch.start()
    assert began.wait(10)
    watch.stop(deadline=0)  # does not wait for what hangs
    go_on.set()
    watch.stop(deadline=10)
    assert published == [READINESS]


def test_a_watch_that_never_began_can_be_stopped() -> None:
    ReadinessWatch(lambda: READINESS, lambda _: None).stop()


def test_a_gap_is_logged_once_until_something_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    worse = assess(server(max_prepared_transactions=5))
    answers = iter([worse, worse, READINESS, READINESS])
    done = threading.Event()

    def measure() -> Readiness:
        try:
            return next(answers)
        except StopIteration:
            done.set()
            return READINESS

    watch = ReadinessWatch(measure, lambda _: None, every=0.01)
    watch.start()
    assert done.wait(10)
    watch.stop(deadline=10)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "Attribution readiness: 8 of 9 things hold that naming a session rests on; "
        "not: prepared transactions. See: alpimonitor watchdog check",
        "Attribution readiness: 9 of 9 things hold that naming a session rests on",
    ]

"""The sidecar's web surface over real HTTP."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alpimonitor_watchdog.core.acts import Act, ActKind, Answer
from alpimonitor_watchdog.core.brakes import Hold
from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import Decision, State
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import Kind, Tag
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.store import Outgoing, Store
from alpimonitor_watchdog.web.server import PortTaken, WebServer
from tests import views
from tests.operators import operators


@dataclass
class Clocks:
    """Both clocks, moved by hand."""

    seconds: float = 0.0

    def utc(self) -> datetime:
        return views.AT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Site:
    web: WebServer
    store: Store
    metrics: Metrics
    clocks: Clocks
    http: httpx.Client

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path)


def server(
    store: Store, metrics: Metrics, clocks: Clocks, port: int = 0, slowest_look: float = 0.0
) -> WebServer:
    return WebServer(
        "127.0.0.1", port, store=store, metrics=metrics, operators=operators(), interval=1.0, clock=clocks,
        slowest_look=slowest_look,
    )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clocks = Clocks()
    store = Store.open(tmp_path, views.AT, {"ops": frozenset({Tag.NOTIFY})})
    metrics = Metrics(channels=["ops"], healers=["command"], version="1")
    web = server(store, metrics, clocks)
    web.start()
    with httpx.Client(base_url=web.url, trust_env=False) as http:
        yield Site(web, store, metrics, clocks, http)
    web.stop()
    store.close()


def open_an_incident(site: Site, title: str = "7 tables empty") -> None:
    outgoing = Outgoing(views.INCIDENT.id, Kind.OPENED, frozenset({Tag.NOTIFY}), Message(title, "Nothing."))
    site.store.save(views.OPENING, views.AT, [outgoing])
    site.web.publish(views.OPEN)


def test_alive_means_that_the_loop_ticks_and_nothing_else(site: Site) -> None:
    assert site.get("/livez").status_code == 200, "a start takes its time"
    site.web.publish(replace(views.UNREACHABLE, store_error="disk full"))
    site.clocks.seconds = 10.0
    assert site.get("/livez").status_code == 200
    site.clocks.seconds = 10.5
    answer = site.get("/livez")
    assert (answer.status_code, answer.text) == (503, "the last tick is 10 s old\n")
    site.web.publish(views.HEALING)
    assert site.get("/livez").status_code == 200


def test_a_tick_that_waits_for_a_database_that_hangs_is_no_dead_loop(site: Site) -> None:
    patient = server(site.store, site.metrics, site.clocks, slowest_look=20.0)
    patient.start()
    patient.publish(views.UNREACHABLE)
    with httpx.Client(base_url=patient.url, trust_env=False) as http:
        site.clocks.seconds = 30.0
        assert http.get("/livez").status_code == 200
        site.clocks.seconds = 30.5
        assert http.get("/livez").status_code == 503
    patient.stop()


def test_a_sidecar_that_never_ticks_is_not_alive_for_long(site: Site) -> None:
    site.clocks.seconds = 11.0
    assert site.get("/livez").status_code == 503


def test_ready_means_that_the_database_was_seen_and_the_store_works(site: Site) -> None:
    def ready() -> tuple[int, str]:
        answer = site.get("/readyz")
        return answer.status_code, answer.text.strip()

    assert ready() == (503, "no tick yet")
    site.web.publish(views.UNREACHABLE)
    assert ready() == (503, "the guarded database has not been seen yet")
    site.web.publish(views.HEALTHY)
    assert ready() == (200, "ok")
    site.web.publish(views.UNREACHABLE)
    assert ready() == (200, "ok"), "an outage of the database is what it is there for"
    site.web.publish(replace(views.HEALTHY, store_error="The store cannot grow."))
    assert ready() == (503, "The store cannot grow.")


def test_the_state_is_what_the_loop_pinned_last(site: Site) -> None:
    answer = site.get("/api/state")
    assert (answer.status_code, answer.json()) == (503, {"error": "no tick yet"})
    site.web.publish(views.HEALTHY)
    assert site.get("/api/state").json()["phase"] == "healthy"
    site.web.publish(views.OPEN)
    site.clocks.seconds = 2.5
    state = site.get("/api/state").json()
    assert (state["phase"], state["age_seconds"], state["stale"]) == ("open", 2.5, False)
    assert state["incident"]["id"] == views.INCIDENT.id
    assert state["healing"]["refusal"] == "not_proven_yet"
    site.clocks.seconds = 60.0
    assert site.get("/api/state").json()["stale"] is True


def test_incidents_are_served_as_the_store_has_them(site: Site) -> None:
    assert site.get("/api/incidents").json() == {"incidents": []}
    open_an_incident(site)
    assert site.get("/api/incidents?limit=1").json() == {"incidents": site.store.incidents(1)}
    one = site.get(f"/api/incidents/{views.INCIDENT.id}").json()
    assert one == site.store.incident(views.INCIDENT.id)
    assert one["timeline"][0]["event"] == "open"
    assert one["notifications"][0]["status"] == "queued"


def test_what_operators_did_outside_any_incident_is_in_the_timeline(site: Site) -> None:
    act = Act("a1", ActKind.PAUSE, "moving the disk", "anna@ops1")
    paused = Decision(State(), Findings(), answers=(Answer(act, None, "Paused."),))
    site.store.save(paused, views.AT)
    open_an_incident(site)
    events = site.get("/api/timeline").json()["timeline"]
    assert {event["incident"] for event in events} >= {views.INCIDENT.id}
    (said,) = [event for event in events if event["source"] == "operator"]
    assert (said["event"], said["detail"]) == ("pause", "anna@ops1: moving the disk")
    assert len(site.get("/api/timeline?limit=1").json()["timeline"]) == 1
    assert site.get("/api/timeline?limit=0").status_code == 400


@pytest.mark.parametrize("limit", ["0", "-1", "501", "x", "", "1e3", "٣", "9" * 5000])
def test_a_limit_that_is_none_is_refused(site: Site, limit: str) -> None:
    answer = site.http.get("/api/incidents", params={"limit": limit})
    assert answer.status_code == 400
    assert answer.json() == {"error": "limit is a number from 1 to 500"}


@pytest.mark.parametrize(
    "path", ["/api/incidents/none", "/api/incidents/%00", "/api/incidents/..%2f..", "/x"]
)
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_nothing_can_be_changed(site: Site) -> None:
    for path in ("/", "/api/state", "/api/incidents", "/livez"):
        assert site.http.post(path).status_code == 405


def test_metrics_are_in_the_text_format(site: Site) -> None:
    answer = site.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nwatchdog_up 0.0\n" in answer.text


@pytest.mark.parametrize("path", ["/", "/livez", "/api/state", "/metrics", "/none"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    headers = site.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert "server" not in headers


def test_the_page_answers_in_every_phase(site: Site) -> None:
    assert "has not looked yet" in site.get("/").text
    open_an_incident(site)
    for name, view in vars(views).items():
        if isinstance(view, type(views.HEALTHY)):
            site.web.publish(view)
            answer = site.get("/")
            assert answer.status_code == 200, name
            assert "sesame" not in answer.text, name


def test_who_holds_or_pauses_healing_is_shown_with_the_command_that_ends_it(site: Site) -> None:
    open_an_incident(site)
    text = site.get("/").text
    assert 'alpimonitor watchdog hold --reason "…"' in text
    assert 'alpimonitor watchdog heal --now --reason "…"' in text
    assert 'alpimonitor watchdog accept --reason "…"' in text
    assert "alpimonitor watchdog resume" not in text
    assert "<button" not in text
    assert "<form" not in text
    site.web.publish(views.BRAKED)
    text = site.get("/").text
    assert "by anna@ops1 since 2026-04-21 12:10:00 UTC: looking first" in text
    assert "by ben@ops2 until 2026-04-21 13:10:00 UTC: loading by hand" in text
    assert "until 2026-04-21 14:10:00 UTC: new disks" in text
    assert "anna@ops1 is on it since 2026-04-21 12:10:00 UTC." in text
    assert "alpimonitor watchdog resume" in text
    state = site.get("/api/state").json()
    assert state["healing"]["hold"] == {
        "at": "2026-04-21T12:10:00.000Z",
        "by": "anna@ops1",
        "reason": "looking first",
    }
    assert state["healing"]["pause"]["until"] == "2026-04-21T13:10:00.000Z"
    assert state["healing"]["maintenance"] == {"until": "2026-04-21T14:10:00.000Z", "reason": "new disks"}
    assert state["incident"]["acknowledged"] == {"at": "2026-04-21T12:10:00.000Z", "by": "anna@ops1"}


def test_a_pause_that_is_over_is_not_shown(site: Site) -> None:
    over = replace(views.BRAKED, at=views.AT + timedelta(hours=2), lived=views.BRAKED.lived + 7200.0)
    site.web.publish(over)
    healing = site.get("/api/state").json()["healing"]
    assert (healing["pause"], healing["maintenance"]) == (None, None)
    assert healing["hold"] is not None


def test_the_commands_belong_to_the_open_incident(site: Site) -> None:
    open_an_incident(site)
    site.store.save(views.RESOLVING, views.AT + timedelta(seconds=20))
    site.web.publish(views.RESOLVED)
    assert "alpimonitor watchdog hold" not in site.get("/").text


def test_what_comes_from_outside_is_escaped(site: Site) -> None:
    open_an_incident(site, title="<script>alert(1)</script>")
    site.web.publish(replace(views.OPEN, database="<img src=x onerror=alert(2)>", warnings=("<b>loud</b>",)))
    text = site.get("/").text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "<b>loud" not in text
    loud = replace(views.BRAKED.state, hold=Hold("<i>anna</i>", "<i>why</i>", views.AT))
    site.web.publish(replace(views.BRAKED, state=loud))
    assert "<i>" not in site.get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_dead_loop_is_said_on_the_page(site: Site) -> None:
    site.web.publish(views.HEALTHY)
    site.clocks.seconds = 60.0
    text = site.get("/").text
    assert "The sidecar has stopped looking" in text
    assert "You must act" in text
    assert "All 7 context tables have their rows." not in text


def test_a_store_that_fails_is_said_and_the_rest_is_served(site: Site, tmp_path: Path) -> None:
    site.web.publish(views.HEALTHY)
    with sqlite3.connect(tmp_path / "watchdog.sqlite") as sqlite:
        sqlite.execute("ALTER TABLE incident RENAME TO elsewhere")
    sqlite.close()
    answer = site.get("/api/incidents")
    assert answer.status_code == 503
    assert "no such table" in answer.json()["error"]
    assert site.get("/api/incidents/x").status_code == 503
    page = site.get("/")
    assert page.status_code == 200
    assert "All 7 context tables have their rows." in page.text
    assert "no such table" in page.text


def test_a_port_that_is_taken_is_a_clear_error(site: Site) -> None:
    port = int(site.web.url.rstrip("/").rpartition(":")[2])
    second = server(site.store, site.metrics, site.clocks, port)
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port}: Address already in use.*WATCHDOG_LISTEN"):
        second.start()
    second.stop()


def test_a_stopped_server_gives_its_port_back(site: Site) -> None:
    url = site.web.url
    port = int(url.rstrip("/").rpartition(":")[2])
    site.web.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    again = server(site.store, site.metrics, site.clocks, port)
    again.start()
    assert httpx.get(f"{again.url}livez", trust_env=False).status_code == 200
    again.stop()


def test_a_request_that_never_ends_keeps_nobody_waiting(site: Site) -> None:
    port = int(site.web.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert site.get("/livez").status_code == 200

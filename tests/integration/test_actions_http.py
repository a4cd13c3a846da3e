"""Operators' actions over real HTTP: who may, what is understood, what came of it, what is never shown."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.acts import Act, ActKind, Answer
from alpimonitor_watchdog.core.seen import PlanSeen
from alpimonitor_watchdog.core.words import Reason
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.notify import Channel
from alpimonitor_watchdog.store import Store
from alpimonitor_watchdog.web.actions import Operators, Patience
from alpimonitor_watchdog.web.desk import Desk
from alpimonitor_watchdog.web.server import WebServer
from tests import views
from tests.operators import TOKEN, operators

DEADLINE = 10.0
UNTIL = "2026-04-21T14:00:00Z"
BODIES: dict[str, dict[str, Any]] = {
    **{kind.value: {"reason": "x"} for kind in ActKind},
    "pause": {"reason": "x", "until": UNTIL},
    "heal": {"reason": "x", "now": True},
    "test-notification": {"reason": "x"},
}


class Clocks:
    def utc(self) -> datetime:
        return views.AT

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Ticks:
    """What a loop does with acts: takes each and answers it, in a thread of its own."""

    decide: Callable[[Act], Answer] = lambda act: Answer(act, None, f"{act.kind}: {act.reason}")
    heard: list[Act] = field(default_factory=list)
    wake: threading.Event = field(default_factory=threading.Event)
    over: bool = False

    def __post_init__(self) -> None:
        self.desk = Desk(self.wake.set)

    def run(self) -> None:
        while not self.over:
            self.wake.wait(DEADLINE)
            self.wake.clear()
            acts = self.desk.take()
            self.heard += acts
            self.desk.answer([self.decide(act) for act in acts])

    @contextmanager
    def ticking(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.over = True
            self.wake.set()
            thread.join(DEADLINE)


@dataclass
class Site:
    web: WebServer
    http: httpx.Client

    def post(self, action: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is None:
            body = BODIES[action]
        headers = {"Content-Type": "application/json", **TOKEN.header, **more.pop("headers", {})}
        content = body if isinstance(body, bytes) else json.dumps(body)
        return self.http.post(f"/api/{action}", content=content, headers=headers, **more)

    @property
    def port(self) -> int:
        return int(self.web.url.rstrip("/").rpartition(":")[2])


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[[Operators], Site]]:
    store = Store.open(tmp_path, views.AT, {})
    started: list[Site] = []

    def serve(rests_on: Operators) -> Site:
        web = WebServer(
            "127.0.0.1", 0, store=store, metrics=Metrics(channels=[], healers=[], version="1"),
            operators=rests_on, interval=1.0, clock=Clocks(),
        )  # fmt: skip
        web.start()
        web.publish(views.OPEN)
        started.append(Site(web, httpx.Client(base_url=web.url, trust_env=False, timeout=DEADLINE)))
        return started[-1]

    yield serve
    for site in started:
        site.http.close()
        site.web.stop()
    store.close()


Serving = Callable[[Operators], Site]


def problem(answer: httpx.Response) -> dict[str, str]:
    """The error object; every answer that is one has all three parts."""
    said = answer.json()["error"]
    assert set(said) == {"code", "message", "remedy"}
    assert all(said.values())
    return dict(said)


def test_every_act_reaches_the_loop_as_it_was_said_and_its_answer_the_caller(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    with ticks.ticking():
        for kind in ActKind:
            answer = site.post(kind.value, {**BODIES[kind.value], "reason": f"for {kind}", "by": "anna@ops1"})
            assert (answer.status_code, answer.json()) == (
                200,
                {"done": True, "sentence": f"{kind}: for {kind}", "state": "open"},
            )
    assert [(act.kind, act.reason, act.by) for act in ticks.heard] == [
        (kind, f"for {kind}", "anna@ops1") for kind in ActKind
    ]
    assert len({act.id for act in ticks.heard}) == len(ActKind)
    (pause,) = (act for act in ticks.heard if act.kind is ActKind.PAUSE)
    assert pause.until == datetime.fromisoformat(UNTIL)


def test_a_refused_act_is_a_conflict_with_its_reason(serving: Serving) -> None:
    ticks = Ticks(lambda act: Answer(act, Reason.CIRCUIT_OPEN, "The circuit is open."))
    site = serving(operators(desk=ticks.desk))
    with ticks.ticking():
        answer = site.post("heal")
    assert (answer.status_code, answer.json()) == (
        409,
        {"refused": "circuit_open", "sentence": "The circuit is open."},
    )


def test_without_the_token_nothing_is_done(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    secret = TOKEN.secret
    shown = [None, "", "Bearer", "Bearer wrong", f"Basic {secret}", f"Bearer {secret}x", secret]
    for action in BODIES:
        for authorization in shown:
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = site.http.post(f"/api/{action}", json=BODIES[action], headers=headers)
            assert answer.status_code == 401, (action, authorization)
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert problem(answer)["code"] == "unauthorized"
    assert ticks.desk.take() == ()


def test_a_cookie_a_query_or_a_form_is_no_way_to_show_the_token(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    secret = TOKEN.secret
    for answer in (
        site.http.post(f"/api/hold?token={secret}&access_token={secret}", json=BODIES["hold"]),
        site.http.post("/api/hold", json=BODIES["hold"], headers={"Cookie": f"token={secret}"}),
        site.http.post("/api/hold", data={"access_token": secret, "reason": "x"}),
    ):
        assert answer.status_code == 401
    assert ticks.desk.take() == ()


def test_only_a_post_acts(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    for action in BODIES:
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = site.http.request(method, f"/api/{action}", headers=TOKEN.header)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), (method, action)
            assert "access-control-allow-origin" not in answer.headers
    assert ticks.desk.take() == ()


@pytest.mark.parametrize(
    ("action", "body", "headers", "status", "code"),
    [
        ("hold", b"{", {}, 400, "not_json"),
        ("hold", {"reason": "x", "force": True}, {}, 400, "unknown_key"),
        ("hold", {"reason": 1}, {}, 400, "reason_not_text"),
        ("pause", {"reason": "x", "until": "2026-04-21T12:00:00Z"}, {}, 400, "until_past"),
        ("heal", {"reason": "x"}, {}, 400, "now_or_dry_run"),
        ("test-notification", {}, {}, 400, "reason_missing"),
        ("hold", BODIES["hold"], {"Content-Type": "text/plain"}, 415, "not_declared_json"),
        ("hold", BODIES["hold"], {"Content-Type": ""}, 415, "not_declared_json"),
        (
            "hold",
            b"reason=x",
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "not_declared_json",
        ),
        ("hold", {"reason": "x" * 16384}, {}, 413, "too_large"),
        ("hold", b" " * 1_000_000, {}, 413, "too_large"),
    ],
)
def test_what_cannot_be_taken_is_said_and_never_reaches_the_loop(
    serving: Serving, action: str, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    answer = site.post(action, body, headers=headers)
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert ticks.desk.take() == ()
    assert site.http.get("/livez").status_code == 200


def test_a_body_of_the_largest_size_in_any_spelling_of_json_is_taken(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    body = b'{"reason": "x"}'
    with ticks.ticking():
        for kind in ("application/json", "Application/JSON; charset=utf-8"):
            answer = site.post("hold", body.ljust(16 * 1024), headers={"Content-Type": kind})
            assert answer.status_code == 200


def test_a_body_that_trickles_is_not_waited_for(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk, patience=Patience(body=0.2)))
    head = (
        f"POST /api/hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN.secret}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.port), DEADLINE) as slow:
        slow.sendall(head.encode() + b'{"reas')
        said = b""
        while part := slow.recv(4096):
            said += part
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in said
    assert ticks.desk.take() == ()


def test_a_caller_who_leaves_in_the_middle_of_the_body_asked_for_nothing(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    head = (
        f"POST /api/hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN.secret}\r\n"
        "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.port), DEADLINE) as leaving:
        leaving.sendall(head.encode() + b'{"reas')
    with ticks.ticking():
        assert site.post("hold").status_code == 200
    assert len(ticks.heard) == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_an_act_that_the_loop_does_not_confirm_in_time_stays_with_the_loop(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk, patience=Patience(answer=0.05)))
    answer = site.post("hold")
    assert answer.status_code == 504
    said = problem(answer)
    assert said["code"] == "not_confirmed"
    assert "timeline" in said["remedy"]
    (waiting,) = ticks.desk.take()
    assert waiting.kind is ActKind.HOLD
    ticks.desk.answer([Answer(waiting, None, "Held.")])


def test_a_caller_hears_at_once_that_the_sidecar_stopped_before_it_acted(serving: Serving) -> None:
    submitted = threading.Event()
    desk = Desk(submitted.set)
    site = serving(operators(desk=desk, patience=Patience(answer=60.0)))
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(site.post, "accept")
        assert submitted.wait(DEADLINE)
        site.web.stop()
        answer = asked.result(DEADLINE)
    assert answer.status_code == 503
    assert problem(answer)["code"] == "stopping"
    assert desk.take() == (), "what the caller was told is true"


def test_a_caller_is_not_told_that_nothing_happened_when_the_loop_had_taken_it(serving: Serving) -> None:
    submitted = threading.Event()
    desk = Desk(submitted.set)
    site = serving(operators(desk=desk, patience=Patience(answer=60.0)))
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(site.post, "accept")
        assert submitted.wait(DEADLINE)
        assert len(desk.take()) == 1
        site.web.stop()
        answer = asked.result(DEADLINE)
    assert (answer.status_code, problem(answer)["code"]) == (504, "not_confirmed")


def test_without_a_token_actions_are_off_and_say_why_while_all_else_is_served(serving: Serving) -> None:
    why = "The token /state/token cannot be written (No space left on device): make room."
    site = serving(operators(token=None, closed_because=why))
    for action in BODIES:
        answer = site.post(action)
        assert (answer.status_code, problem(answer)["code"]) == (503, "actions_off")
        assert problem(answer)["remedy"] == why
    assert site.http.get("/api/state").status_code == 200


def test_a_dry_run_answers_with_plan_and_guard_rails_and_gives_the_loop_nothing(serving: Serving) -> None:
    ticks = Ticks()
    planned: Future[PlanSeen] = Future()
    planned.set_result(views.PLAN)
    site = serving(operators(desk=ticks.desk, preview=lambda: planned))
    answer = site.post("heal", {"reason": "what would it do?", "dry_run": True})
    said = answer.json()
    assert answer.status_code == 200
    assert (said["dry_run"], said["state"]) == (True, "open")
    assert said["plan"]["inserts"] == views.CONTEXT
    assert {rail["guard"]: rail["reason"] for rail in said["guards"]}["proven"] == "not_proven_yet"
    assert ticks.desk.take() == ()
    site.web.publish(views.HEALTHY)
    nothing: Future[PlanSeen] = Future()
    nothing.set_result(PlanSeen())
    site = serving(operators(preview=lambda: nothing))
    site.web.publish(views.HEALTHY)
    said = site.post("heal", {"reason": "x", "dry_run": True}).json()
    assert said["sentence"] == "Nothing is missing: +0 rows."


def test_a_dry_run_without_a_healer_or_with_one_that_is_busy_says_so(serving: Serving) -> None:
    dry = {"reason": "x", "dry_run": True}
    site = serving(operators(preview=None))
    assert site.post("heal", dry).json()["sentence"] == "There is no plan: no healer is declared."
    never: Future[PlanSeen] = Future()
    site = serving(operators(preview=lambda: never, patience=Patience(plan=0.05)))
    said = site.post("heal", dry).json()
    assert "not made within 0.05 s; a heal or another plan may be running" in said["sentence"]
    assert never.cancelled(), "the healer is not asked for what nobody waits for"


def test_a_body_that_never_arrives_does_not_hold_up_the_end(serving: Serving) -> None:
    site = serving(operators(patience=Patience(body=60.0)))
    head = f"POST /api/hold HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN.header['Authorization']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as slow:
        slow.sendall(head.encode())
        assert b"100 Continue" in slow.recv(1000)  # the body is waited for
        site.web.stop()
        answered = slow.recv(10_000)
    assert b" 503 " in answered
    assert b"nothing was done" in answered


def test_a_dry_run_before_the_first_look_is_asked_to_wait(tmp_path: Path) -> None:
    store = Store.open(tmp_path, views.AT, {})
    web = WebServer(
        "127.0.0.1", 0, store=store, metrics=Metrics(channels=[], healers=[], version="1"),
        operators=operators(), interval=1.0, clock=Clocks(),
    )  # fmt: skip
    web.start()
    with httpx.Client(base_url=web.url, trust_env=False) as http:
        answer = Site(web, http).post("heal", {"reason": "x", "dry_run": True})
    web.stop()
    store.close()
    assert (answer.status_code, problem(answer)["code"]) == (503, "not_looked")


def test_a_test_notification_says_which_channel_took_it_and_shows_no_address(serving: Serving) -> None:
    with Pager() as good:
        secret = "s3cret-of-the-pager"
        urls = {
            "ops": f"{good.apprise_url}notify".replace("json://", f"json://user:{secret}@"),
            "dead": f"json://user:{secret}@127.0.0.1:1/page",
        }
        channels = [Channel(name, url) for name, url in urls.items()]
        site = serving(operators(channels=channels))
        answer = site.post("test-notification", {"reason": "new pager", "by": "anna@ops1"})
        (receipt,) = good.receipts
    said = answer.json()
    assert answer.status_code == 200
    assert (said["done"], said["sentence"]) == (False, "1 of 2 channels took the message.")
    assert said["channels"]["ops"] == {"error": None}
    assert "could not be reached" in said["channels"]["dead"]["error"]
    assert secret not in answer.text
    assert "drill" in receipt.title
    assert receipt.body.startswith("Nothing to do")
    assert "anna@ops1: new pager" in receipt.body


def test_a_test_notification_without_a_channel_says_that_nobody_hears_of_anything(serving: Serving) -> None:
    said = serving(operators()).post("test-notification").json()
    assert said["done"] is False
    assert "nobody is notified" in said["sentence"]


def test_the_token_is_in_no_answer_and_no_log(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk))
    said = []
    with ticks.ticking():
        for action in BODIES:
            said.append(site.post(action))
            said.append(site.post(action, headers={"Authorization": f"Bearer {TOKEN.secret}y"}))
            said.append(site.post(action, {"reason": "x", "nonsense": 1}))
        said += [site.http.get(path) for path in ("/", "/api/state", "/api/incidents", "/metrics")]
    for answer in said:
        assert TOKEN.secret not in answer.text
        assert TOKEN.secret not in str(answer.headers)
    logged = [str(vars(record)) for record in caplog.records if not record.name.startswith("http")]
    assert any("nothing was done" in text for text in logged), "what is looked through is there"
    assert not any(TOKEN.secret in text for text in logged)


def test_waiting_callers_keep_nobody_else_waiting(serving: Serving) -> None:
    ticks = Ticks()
    site = serving(operators(desk=ticks.desk, patience=Patience(answer=60.0)))
    with ThreadPoolExecutor(60) as callers:
        asked = [callers.submit(site.post, "hold") for _ in range(60)]
        taken: list[Act] = []

        def all_wait() -> bool:
            taken.extend(ticks.desk.take())
            return len(taken) == 60

        wait_until("sixty acts that wait", all_wait, deadline=DEADLINE)
        assert httpx.get(f"{site.web.url}livez", trust_env=False, timeout=DEADLINE).status_code == 200
        assert httpx.get(f"{site.web.url}", trust_env=False, timeout=DEADLINE).status_code == 200
        ticks.desk.answer([Answer(act, None, "Held.") for act in taken])
        assert {each.result(DEADLINE).status_code for each in asked} == {200}


def test_an_answer_has_the_security_headers_too(serving: Serving) -> None:
    headers = serving(operators()).post("hold", b"{").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"

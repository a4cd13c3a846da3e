"""The status page in a real browser: what a person reads at three in the morning, on a phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.words import Kind, Tag
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.store import Outgoing, Store
from alpimonitor_watchdog.web.server import WebServer
from tests import views
from tests.operators import operators

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason=f"no browser at {CHROMIUM}: apt-get install chromium libatomic1 fonts-dejavu",
    ),
]


class Clocks:
    """The wall clock stands still, shortly after the incident; the monotonic one is real."""

    def utc(self) -> datetime:
        return views.AT + timedelta(seconds=3)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Site:
    web: WebServer
    store: Store

    def open_an_incident(self) -> None:
        message = Message("hydro: 7 tables empty; heals in 9 s", "Nothing to do.\n\nRows: station 0/7")
        told = Outgoing(views.INCIDENT.id, Kind.OPENED, frozenset({Tag.NOTIFY}), message)
        self.store.save(views.OPENING, views.AT, [told])
        (ops,), (pager,) = self.store.outbox.pending("ops"), self.store.outbox.pending("pager")
        self.store.outbox.delivered(ops, views.AT + timedelta(seconds=1))
        self.store.outbox.failed(pager, views.AT + timedelta(seconds=1), "json://pager.example answered 500")
        self.web.publish(views.OPEN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield running
        running.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    notify = frozenset({Tag.NOTIFY})
    store = Store.open(tmp_path, views.AT, {"ops": notify, "pager": notify})
    metrics = Metrics(channels=["ops", "pager"], healers=["command"], version="1")
    web = WebServer(
        "127.0.0.1", 0, store=store, metrics=metrics, operators=operators(), interval=1.0, clock=Clocks()
    )
    web.start()
    yield Site(web, store)
    web.stop()
    store.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A phone. Fails the test when the page logs an error or asks another host for anything."""
    complaints: list[str] = []
    context = browser.new_context(viewport=PHONE, color_scheme="dark")  # type: ignore[arg-type]
    opened = context.new_page()

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def asked(url: str) -> None:
        if not url.startswith((site.web.url, "data:")):
            complaints.append(f"asked {url}")

    opened.on("console", listen)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked(request.url))
    yield opened
    context.close()
    assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text] == []


def test_it_says_how_it_stands_and_what_to_do_before_anything_else(page: Page, site: Site) -> None:
    site.open_an_incident()
    page.goto(site.web.url)
    expect(page).to_have_title("open – hydro@db.example:5432 (production)")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "7 tables empty (catchment 0/1, station 0/7, …)."
    )
    expect(page.locator(".todo")).to_have_text(
        "Nothing to do: the sidecar puts the rows back and says when it is done."
    )
    box = page.locator(".todo").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= PHONE["height"], "read without scrolling"


def test_it_shows_tables_timeline_and_what_became_of_each_notification(page: Page, site: Site) -> None:
    site.open_an_incident()
    page.goto(site.web.url)
    station = page.get_by_role("row", name="station 0 of 7 empty", exact=True)
    expect(station).to_be_visible()
    expect(page.locator(".timeline li").last).to_contain_text("loss confirmed: 7 context tables are empty")
    notifications = page.locator(".notifications li")
    expect(notifications.nth(0)).to_contain_text(
        "opened to pager: not delivered yet, 1 attempt: json://pager.example answered 500"
    )
    expect(notifications.nth(1)).to_contain_text("opened to ops: delivered 12:10:01")
    notifications.nth(1).locator("summary").click()
    expect(notifications.nth(1).locator("pre")).to_be_visible()
    expect(page.locator("footer")).to_contain_text("Looked 3 s ago, in 2.1 ms")


def test_a_refusal_tells_the_person_to_act(page: Page, site: Site) -> None:
    site.open_an_incident()
    site.web.publish(views.REFUSED)
    page.goto(site.web.url)
    expect(page.locator(".todo")).to_contain_text("You must act: the tables are emptied again and again")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_can_be_read_at_any_width_and_in_any_light(
    browser: Browser, site: Site, scheme: str, width: int
) -> None:
    site.open_an_incident()
    site.web.publish(replace(views.REFUSED, warnings=("No channel carries the tag page.",)))
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(site.web.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling"
    for selector in (
        "h1",
        ".todo",
        ".warning",
        "td.condition >> nth=0",
        "time >> nth=0",
        "footer p >> nth=0",
    ):
        assert contrast(page, selector) >= 4.5, selector
    context.close()


def contrast(page: Page, selector: str) -> float:
    """The contrast ratio (WCAG 2) of a text against the first opaque ground behind it."""
    colours: list[list[float]] = page.locator(selector).first.evaluate(
        """element => {
            const read = value => value.match(/[\\d.]+/g).map(Number);
            let ground = element;
            const back = () => read(getComputedStyle(ground).backgroundColor);
            while ((back()[3] ?? 1) === 0) ground = ground.parentElement;
            return [read(getComputedStyle(element).color), back()];
        }"""
    )

    def luminance(colour: list[float]) -> float:
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour[:3])
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(colour) for colour in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_it_keeps_itself_fresh_without_touching_what_did_not_change(page: Page, site: Site) -> None:
    site.open_an_incident()
    page.goto(site.web.url)
    page.locator(".notifications summary").first.click()
    page.evaluate("document.querySelector('#tables table').marked = true")
    site.web.publish(views.REFUSED)
    expect(page.locator(".todo")).to_contain_text("You must act", timeout=10_000)
    assert page.evaluate("document.querySelector('#tables table').marked") is True, "redrawn though unchanged"
    expect(page.locator(".notifications details").first).to_have_attribute("open", "")
    site.store.save(views.RESTORING, views.AT + timedelta(seconds=12))
    site.web.publish(views.VERIFYING)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "The rows are back; before: 7 tables empty (catchment 0/1, station 0/7, …).", timeout=10_000
    )
    expect(page).to_have_title("verifying – hydro@db.example:5432 (production)")
    expect(page.get_by_role("row", name="station 7 of 7 ok", exact=True)).to_be_visible()
    expect(page.locator(".timeline li").first).to_contain_text("context restored")
    expect(page.locator(".notifications details").first).to_have_attribute("open", "")


def test_a_sidecar_that_no_longer_answers_is_said_over_what_is_shown(page: Page, site: Site) -> None:
    site.web.publish(views.HEALTHY)
    page.goto(site.web.url)
    expect(page.locator("#offline")).to_be_hidden()

    def refuse(route: Route) -> None:
        route.abort("connectionrefused")

    page.route("**/*", refuse)
    expect(page.locator("#offline")).to_be_visible(timeout=10_000)
    expect(page.locator("#offline")).to_contain_text("The sidecar has not answered since")
    assert page.title().startswith("no answer – ")
    page.unroute("**/*", refuse)
    expect(page.locator("#offline")).to_be_hidden(timeout=10_000)
    expect(page).to_have_title("healthy – hydro@db.example:5432 (production)")


def test_without_scripts_it_reloads_itself(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    site.web.publish(views.HEALTHY)
    page.goto(site.web.url)
    site.web.publish(views.OPEN)
    expect(page.locator("h1")).to_contain_text("7 tables empty", timeout=15_000)
    context.close()


def test_every_phase_is_drawn_without_a_complaint(page: Page, site: Site) -> None:
    drawn: dict[str, Any] = {}
    site.open_an_incident()
    for name, view in vars(views).items():
        if isinstance(view, type(views.HEALTHY)):
            site.web.publish(view)
            page.goto(site.web.url)
            drawn[name] = page.locator("h1").text_content()
    assert {"HEALTHY", "OPEN", "REFUSED", "HEALING", "VERIFYING", "UNREACHABLE"} <= drawn.keys()
    assert all(drawn.values())

"""The page on diagnosing has every verdict, in the order in which they are tried."""

from __future__ import annotations

import re
from pathlib import Path

from alpimonitor_watchdog.core.verdict import Circumstance, Confidence, What
from alpimonitor_watchdog.diagnose.tell import TO_DO

PAGE = Path(__file__).resolve().parents[2] / "runbooks" / "diagnose.md"


def test_every_verdict_is_explained_in_order() -> None:
    assert re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE) == [what.value for what in What]


def test_every_verdict_says_on_the_terminal_what_to_do() -> None:
    assert set(TO_DO) == set(What)


def test_every_confidence_and_circumstance_is_explained() -> None:
    text = PAGE.read_text()
    assert all(f"- {confidence.value}: " in text for confidence in Confidence)
    assert all(f"`{circumstance.value}`" in text for circumstance in Circumstance)

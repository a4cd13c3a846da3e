"""What an observation's findings say about the context as a whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alpimonitor_watchdog.core.seen import Finding, Findings, Loss
from alpimonitor_watchdog.core.words import Symptom

LOSS = Finding(Symptom.CONTEXT_EMPTY, "", (Loss("station", 0, 7),))
BLIND = Finding(Symptom.INGESTION_BLIND, "")
_SHRUNK_UNSEEN = frozenset({Symptom.CONTEXT_SHRUNK})


@pytest.mark.parametrize(
    ("holds", "findings", "answer"),
    [
        pytest.param(lambda f: f.context_lost, Findings((BLIND,)), False, id="blindness loses no context"),
        pytest.param(lambda f: f.context_lost, Findings((BLIND, LOSS)), True, id="one loss is enough"),
        pytest.param(lambda f: f.context_whole, Findings((BLIND,)), True, id="blindness leaves it whole"),
        pytest.param(lambda f: f.context_whole, Findings((LOSS,)), False, id="a loss does not"),
        pytest.param(
            lambda f: f.context_whole, Findings((), _SHRUNK_UNSEEN), False, id="nor does a table out of sight"
        ),
        pytest.param(
            lambda f: f.context_whole,
            Findings((), frozenset({Symptom.API_UNHEALTHY})),
            True,
            id="an API out of sight does not matter to it",
        ),
        pytest.param(
            lambda f: f.clear_of(_SHRUNK_UNSEEN),
            Findings((), _SHRUNK_UNSEEN),
            False,
            id="it was not looked at",
        ),
        pytest.param(
            lambda f: f.clear_of(frozenset({Symptom.API_UNHEALTHY})),
            Findings((), _SHRUNK_UNSEEN),
            True,
            id="what was asked for was looked at",
        ),
        pytest.param(lambda f: f.clear_of(frozenset()), Findings((BLIND,)), False, id="something is wrong"),
    ],
)
def test_findings_answer_for_what_was_seen(
    holds: Callable[[Findings], bool], findings: Findings, answer: bool
) -> None:
    assert holds(findings) is answer

"""What an operator tells a running sidecar to do, and what it answers: an input of deciding, like a probe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .words import Reason


class ActKind(StrEnum):
    """The actions there are."""

    ACCEPT = "accept"  # the present state is intended: it becomes the last good state
    ADOPT = "adopt"  # the database that answers now is the one to guard
    HOLD = "hold"  # no heal until `resume`, or until the open incident ends
    PAUSE = "pause"  # no heal until a time
    RESUME = "resume"  # hold and pause end; an open circuit gets its trial now
    HEAL = "heal"  # heal now: without the waits, with every guard rail that keeps from harm
    ACKNOWLEDGE = "acknowledge"  # a person is on it: no page and no reminder unless it gets worse


@dataclass(frozen=True)
class Act:
    """One action. `reason` is the operator's own sentence; it lands in the timeline."""

    id: str
    kind: ActKind
    reason: str
    by: str  # who said so, as far as the caller tells: "anna@ops1"
    until: datetime | None = None  # of a pause: aware


@dataclass(frozen=True)
class Answer:
    """What became of an act. `refused` None: done. `sentence` says what holds now, or why not."""

    act: Act
    refused: Reason | None
    sentence: str

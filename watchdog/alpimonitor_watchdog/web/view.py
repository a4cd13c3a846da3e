"""What the loop publishes after each tick, and what the web surface reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..core.advice import Situation
from ..core.model import Policy, State
from ..core.seen import Expectation, Findings, Observation
from ..core.words import Reason


@dataclass(frozen=True)
class View:
    """One tick, immutable. No part of it holds a credential."""

    at: datetime
    lived: float  # seconds this state has been watched
    state: State
    observation: Observation | None
    findings: Findings
    refusal: Reason | None  # why no heal runs now, while context is lost or cannot be seen
    expectation: Expectation
    policy: Policy
    database: str  # "hydro@127.0.0.1:5432"
    obstacle: Reason | None = None  # what will refuse the heal in the end
    warnings: tuple[str, ...] = ()  # sentences for people
    store_error: str = ""  # why the last save failed

    @property
    def situation(self) -> Situation | None:
        """The open incident as it stands; None when none is open."""
        if self.state.incident is None:
            return None
        return Situation(
            self.state.incident,
            self.state,
            self.findings,
            self.refusal,
            self.obstacle,
            self.policy,
            self.expectation,
        )

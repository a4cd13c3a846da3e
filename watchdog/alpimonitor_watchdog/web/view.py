"""What the loop publishes after each tick, and what the web surface reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
    refusal: Reason | None  # why no heal runs now, while context is lost
    expectation: Expectation
    policy: Policy
    database: str  # "hydro@127.0.0.1:5432"
    warnings: tuple[str, ...] = ()  # sentences for people
    store_error: str = ""  # why the last save failed

"""What keeps healing from running for a while: an operator's hold or pause, planned work, the circuit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Hold:
    """An operator holds healing: until `resume`, or until the incident ends."""

    by: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Pause:
    """An operator pauses healing. It is over when both clocks say so: a step of one ends nothing early."""

    by: str
    reason: str
    until: datetime
    until_lived: float

    def holds(self, at: datetime, lived: float) -> bool:
        return at < self.until or lived < self.until_lived


@dataclass(frozen=True)
class Window:
    """Planned work: from `start` to before `end` nothing is healed and nobody is paged. Aware times."""

    reason: str
    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True)
class Circuit:
    """Healing has stopped itself. After a while one heal may try again; when it lasts, the circuit closes."""

    opened_lived: float
    times: int = 1  # opened in a row
    trial_now: bool = False  # an operator allows the trial at once
    tried: bool = False  # the trial was made: no other heal before its outcome is known

    def lets_try(self, lived: float, trial_after: float) -> bool:
        """Half-open: one heal may run."""
        if self.tried:
            return False
        return self.trial_now or lived - self.opened_lived >= trial_after * 2.0 ** min(self.times - 1, 10)

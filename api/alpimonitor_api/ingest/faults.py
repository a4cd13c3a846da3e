"""Why no payload was to be had, and which of these reasons another try may change. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

TRIES = 3
"""Of one pass, the first included."""

LONGEST_RETRY_AFTER = 20.0
"""Seconds: a service that asks for a longer pause gets it, and is asked again by the next pass."""

LONGEST_PAUSES = 30.0
"""Seconds that a pass may spend between its tries."""


class SourceFault(Enum):
    UNREACHABLE = "unreachable"  # no connection: name, network, TLS, or nobody listening
    TIMED_OUT = "timed_out"  # the whole request, connecting included
    INTERRUPTED = "interrupted"  # the connection broke, or the body is cut short or damaged
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 5xx
    REFUSED = "refused"  # any other status but 200: asking again would get the same answer
    TOO_LARGE = "too_large"
    FILE_UNREADABLE = "file_unreadable"


@dataclass(frozen=True)
class Again:
    """Before each further try a pause drawn from 0 to `pause` seconds, twice as many each time.

    From 0: replicas, and everybody else whom the same fault met at the same moment, must not come in step.
    """

    pause: float

    def longest(self, failed: int) -> float:
        """Seconds, after so many failed tries (1 and up)."""
        return float(self.pause * 2 ** (failed - 1))


RETRIES: Mapping[SourceFault, Again | None] = {
    SourceFault.UNREACHABLE: Again(pause=1.0),
    SourceFault.TIMED_OUT: Again(pause=0.5),  # the time-out was a pause already
    SourceFault.INTERRUPTED: Again(pause=0.5),
    SourceFault.RATE_LIMITED: Again(pause=4.0),  # on top of what it asks for
    SourceFault.SERVER_ERROR: Again(pause=1.0),
    SourceFault.REFUSED: None,
    SourceFault.TOO_LARGE: None,  # it would be as large again, and costs the service as much
    SourceFault.FILE_UNREADABLE: None,
}
"""How a fault is met: tried again after a pause, or not at all."""


class SourceError(Exception):
    """No payload was to be had. The text says from where, and carries no credentials."""

    def __init__(
        self,
        fault: SourceFault,
        detail: str,
        http_status: int | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        """`retry_after`: the seconds that the service asks for before another try."""
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.http_status = http_status
        self.retry_after = retry_after

    @property
    def worth_a_retry(self) -> bool:
        return RETRIES[self.fault] is not None and (self.retry_after or 0) <= LONGEST_RETRY_AFTER

    def pause(self, failed: int) -> tuple[float, float]:
        """From how many to how many seconds to wait, after so many failed tries (1 and up)."""
        least = self.retry_after or 0.0
        again = RETRIES[self.fault]
        return least, least + (again.longest(failed) if again is not None else 0.0)


def pause_asked_for(retry_after: str, now: datetime) -> float | None:
    """The seconds of a header Retry-After, which holds their number or a date; None when it is neither."""
    written = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,18}", written):
        return float(written)
    try:
        until = parsedate_to_datetime(written)
        # A date of HTTP is in GMT; one that says "-0000" comes without a time zone.
        aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return max(0.0, (aware - now).total_seconds())
    except (ValueError, OverflowError):  # no date, or one with a number that no date can hold
        return None

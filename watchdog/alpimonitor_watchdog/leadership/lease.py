"""How long an answer of the database entitles to lead, and when the database gives the lock to another.

Invariant: the leader has given up before the database frees the lock of a leader that fell silent.

    sent ≤ received ≤ answered            of one and the same question, on any clock
    ours ends     = sent + seconds        counted from before the question left, by our monotonic clock
    theirs begins ≥ answered + silence    the server ends a session that asked nothing for that long
    silence       = seconds + MARGIN

So ours ends at least MARGIN before theirs begins, however long question and answer were on their way: a late
question only makes the server wait longer, and an answer that never arrives extends nothing of ours. TCP on
the server's side may not be quicker: `tcp_user_timeout` counts from an answer that nobody acknowledged, sent
after the question that our lease counts from, and keepalives from the last thing heard of us; both are at
least as long. MARGIN covers what the argument leaves out: killing a running heal, rounding, and two clocks
that do not run at quite the same rate.

What frees the lock sooner ends the connection as well (somebody ends the session, the server stops): that is
seen at once, as the end of the connection. And no heal begins by this clock alone: its reservation is a
statement of the session that holds the lock, so for a session that is gone there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MARGIN = 0.5  # seconds
_KEEPALIVES = 2  # one a second


@dataclass(frozen=True)
class Lease:
    """`seconds` that a leader leads after it has asked, if it was answered. Raises ValueError below 0.1."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds >= 0.1:
            raise ValueError(f"a lease of {self.seconds} s: it has to be at least 0.1")

    @property
    def ask_every(self) -> float:
        """Seconds between questions: three may fail before the lease ends."""
        return self.seconds / 4

    @property
    def silence(self) -> float:
        """Seconds after which the server ends a session that asks nothing."""
        return math.ceil((self.seconds + MARGIN) * 1000) / 1000

    @property
    def lock_wait(self) -> float:
        """Seconds that a statement waits for a locked table: no reason to lose the lease."""
        return self.seconds / 8

    def ends(self, sent: float) -> float:
        """When the right ends that the answer to a question sent then gives, on the clock of `sent`."""
        return sent + self.seconds

    def session_settings(self) -> dict[str, str]:
        """What the session is set to, as `set_config` takes it; PostgreSQL's own units."""
        return {
            "idle_session_timeout": str(round(self.silence * 1000)),
            "tcp_user_timeout": str(round(self.silence * 1000)),
            "tcp_keepalives_idle": str(math.ceil(self.seconds)),
            "tcp_keepalives_interval": "1",
            "tcp_keepalives_count": str(_KEEPALIVES),
            "lock_timeout": str(max(1, round(self.lock_wait * 1000))),
            # A reservation has to survive a crash of this server, and not to wait for a standby that is away.
            "synchronous_commit": "local",
        }

"""Leadership: of several sidecars on one database one heals, and everybody knows who, and under what number.

One thread owns everything: it converses with the database in a bounded way, decides what the answer means,
and says so. Others read what was said last, or hand it a wish and wait. It never waits beyond the end of the
lease: then it first has the running heal ended, and only then cuts the connection by which the server might
free the lock. Why no two lead at once: lease.py.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import psycopg

from ..core.seen import Attempt, LeaderSeen
from ..core.words import HealOutcome
from ..probe.bounded import Bounded, Late
from ..probe.link import CONNECT_SECONDS, Unseeable, unseen
from .bell import Bell
from .lease import Lease
from .ledger import Kept
from .session import Answer, Ending, NotBound, Reply, Reservation, Session, Wish, end_apart

log = logging.getLogger(__name__)
_STOPS_WITHIN = 0.1  # seconds; twice, when it has to be cut short
_LARGEST_EPISODE = 2**31 - 1
_DOES_NOT_LEAD = "This sidecar does not lead, and heals nothing: {}."


@dataclass(frozen=True)
class _Standing:
    """What the last conversation said. `until`: when the lease ends, by our clock; None: it does not lead."""

    until: float | None = None
    other: int | None = None
    episode: int | None = None
    attempts: tuple[Attempt, ...] | None = None
    at: float = 0.0


_UNKNOWN = _Standing()


@dataclass(frozen=True, eq=False)
class _Asked:
    """A wish that waits for its conversation."""

    wish: Wish
    reply: Future[Reply]


@dataclass(frozen=True)
class _Turn:
    """What a conversation is to bring, and how often connections had been cut before it."""

    asked: tuple[_Asked, ...] = ()
    cuts: int = 0


@dataclass(frozen=True)
class _Said:
    """An answer, and the turn that it belongs to."""

    answer: Answer
    turn: _Turn


class Leadership:
    """`start` and `stop` belong to one thread; everything else may be called from any."""

    def __init__(
        self,
        url: str,
        *,
        lock_prefix: str,
        sidecar: str,
        application_name: str,
        lease: float,
        window: float,
        on_lost: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lease` and `window` (of the budget) in seconds; `sidecar` tells this one's heals from others'.

        `on_lost` is called once for each leadership that ends by itself, and not at `stop`: in a thread of
        ours, which waits for it. It has to end a running heal at once.
        """
        self._url = url
        self._application_name = application_name
        self._sidecar = sidecar
        self._lease = Lease(lease)
        self._on_lost = on_lost
        self._monotonic = monotonic
        self._session = Session(
            url,
            lock_prefix=lock_prefix,
            sidecar=sidecar,
            application_name=application_name,
            lease=self._lease,
            window=window,
            monotonic=monotonic,
        )
        self._conversing = Bounded(self._talk, self._give_up, within=0.0, name="leader-session")
        self._cuts = 0  # connections that were cut
        self._turn = _Turn()
        self._window = window
        self._seen = _UNKNOWN
        self._leading = False
        self._episode: int | None = None
        self._waiting: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._asked: tuple[_Asked, ...] = ()
        self._recorded: set[str] = set()  # heals with a row of ours; only the heal worker's thread touches it
        self._said = ""
        self._ledger_said = ""
        self._gate = threading.Lock()  # nothing is handed over once `_stopping` is set under it
        self._stopping = False
        self._bell: Bell | None = None  # while it runs
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask for the lock."""
        self._bell = Bell()
        self._thread = threading.Thread(target=self._run, args=(self._bell,), name="leadership", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the lock back at once. Whoever ran a heal has ended it before."""
        with self._gate:
            self._stopping = True
        if self._thread is None or self._bell is None:
            return
        self._bell.ring()
        self._thread.join(_STOPS_WITHIN)
        if self._thread.is_alive():
            self._conversing.abandon()
            self._thread.join(_STOPS_WITHIN)
        if not self._thread.is_alive():
            self._bell.close()

    def standing(self) -> LeaderSeen:
        """Who leads, as far as is known now. Never blocks, never raises."""
        seen, now = self._seen, self._monotonic()
        attempts = seen.attempts
        if attempts is not None:
            aged = (_older(attempt, max(0.0, now - seen.at)) for attempt in attempts)
            attempts = tuple(attempt for attempt in aged if attempt.age < self._window)
        leads = seen.until is not None and now < seen.until
        return LeaderSeen(leads, seen.other, seen.episode, attempts)

    def announce(self, episode: int) -> None:
        """Show others this number while leading: from 0 to 2³¹ - 1, else ValueError.

        A follower may announce, too: its number is seen from the moment in which it leads.
        """
        if not 0 <= episode <= _LARGEST_EPISODE:
            raise ValueError(f"episode {episode} is not a number of 31 bits")
        if episode != self._episode:
            self._episode = episode
            self._wake()

    def reserve(self, heal_id: str, incident_key: str, healer: str, budget: int) -> str:
        """Record a heal before it begins: "" when it may, else a sentence. At most `lease` seconds.

        The session that holds the lock records it: so it is proven that this sidecar leads at that instant.
        Where the database has no ledger, that alone is proven.
        """
        reply = self._ask(Reservation(heal_id, incident_key, healer, budget))
        if reply.recorded:
            self._recorded.add(heal_id)
        if reply.recorded and reply.refused:
            self.finish(heal_id, HealOutcome.INTERRUPTED)
        return reply.refused

    def finish(self, heal_id: str, outcome: HealOutcome) -> None:
        """Record how a heal ended, if its beginning was recorded. Never raises.

        Through the session, else through a connection of its own; failing both the attempt stays without an
        outcome, and counts.
        """
        if heal_id not in self._recorded:
            return
        self._recorded.discard(heal_id)
        if not self._ask(Ending(heal_id, outcome)).refused:
            return
        why = end_apart(
            self._url, heal_id, outcome, sidecar=self._sidecar, application_name=self._application_name
        )
        if why:
            log.warning(
                "The end of heal %s (%s) could not be recorded in the database: %s",
                heal_id,
                outcome.value,
                why,
                extra={"action": "ledger_failed"},
            )

    # ---- from here on: the thread of heals ---------------------------------------------------------------

    def _ask(self, wish: Wish) -> Reply:
        asked = _Asked(wish, Future())
        with self._gate:
            if self._stopping or self._thread is None or not self._thread.is_alive():
                return Reply("the sidecar is not running, or stopping")
            self._waiting.put(asked)
        self._wake()
        try:
            return asked.reply.result(self._lease.seconds)
        except TimeoutError:
            asked.reply.cancel()
            return Reply(f"{self._session.place} did not answer in time")

    # ---- from here on: the thread of leadership, but for `_talk` -----------------------------------------

    def _run(self, bell: Bell) -> None:
        while not self._stopping:
            fileno = None
            try:
                fileno = self._converse()
            except Exception as error:
                log.exception("A question for the leader failed", extra={"action": "leader_failed"})
                self._end(f"{type(error).__name__}: {error}")
            # Nobody reads from the connection now: what arrives is its end, or belongs to the next answer.
            bell.wait(self._lease.ask_every, fileno)
        self._seen = _UNKNOWN
        self._conversing.stop()
        if not self._conversing.busy:
            self._session.close()
        self._asked = self._taken()
        self._refuse("the sidecar is stopping")

    def _converse(self) -> int | None:
        """One conversation and what follows from it; the connection's descriptor while there is one."""
        self._asked = self._taken()
        if not self._conversing.busy:
            self._turn = _Turn(self._asked, self._cuts)
            self._session.allow()
        until = self._seen.until
        if until is None:
            self._conversing.within = CONNECT_SECONDS + self._lease.seconds
        else:
            self._conversing.within = max(0.0, until - self._monotonic())
        try:
            said = self._conversing.run()
        except Late:
            self._end(f"{self._session.place} did not answer in time")
        except Unseeable as error:
            self._end(error.detail)
        except psycopg.Error as error:
            self._end(f"{self._session.place}: {unseen(error)[1]}")
        except NotBound as error:
            self._end(str(error))
        else:
            if said.turn.cuts == self._cuts:
                self._take(said)
                return said.answer.fileno
            self._refuse("the connection was cut")  # what it said, it said before
        return None

    def _talk(self) -> _Said:
        """In a thread that may hang: one conversation. A connection that was cut meanwhile ends with it."""
        turn = self._turn
        try:
            return _Said(self._session.converse(self._episode, [one.wish for one in turn.asked]), turn)
        finally:
            if self._cuts != turn.cuts:
                self._session.close()

    def _take(self, said: _Said) -> None:
        """What an answer means. Only when it is known here that this one leads may a heal begin."""
        answer = said.answer
        until = self._lease.ends(answer.sent)
        in_time = self._monotonic() < until
        leads = answer.leads and in_time
        holder = f"the session {answer.held_by}" if answer.held_by else "another session"
        why = f"{holder} holds the lock" if in_time else "the answer came when the lease was over"
        if self._leading and not leads:
            self._lose(why)
        self._seen = _Standing(
            until=until if leads else None,
            other=answer.held_by,
            episode=answer.episode,
            attempts=answer.kept.attempts,
            at=answer.sent,
        )
        self._leading = leads
        self._say("This sidecar leads: it heals." if leads else _DOES_NOT_LEAD.format(why))
        self._say_of_ledger(answer.kept)
        replies = dict(zip(said.turn.asked, answer.replies, strict=True))
        for asked in self._asked:
            reply = replies.get(asked, Reply(f"{self._session.place} did not answer in time"))
            if not (in_time or reply.refused):
                reply = replace(reply, refused="the database answered when the lease was over")
            asked.reply.set_result(reply)
        self._asked = ()

    def _give_up(self) -> None:
        """The time for an answer is over, or nobody wants one any more."""
        # Before the connection is cut: a server that hears of the cut frees the lock.
        self._lose(f"{self._session.place} did not answer in time")
        self._cuts += 1
        self._session.sever()

    def _end(self, why: str) -> None:
        """The session is over: first for our heal, then for the server."""
        self._lose(why)
        if not self._conversing.busy:
            self._session.close()
        self._refuse(why)

    def _lose(self, why: str) -> None:
        """It is not known that this one leads: if it did, its heal ends now."""
        self._seen = _UNKNOWN
        led, self._leading = self._leading, False
        if self._stopping:
            return
        if led:
            try:
                self._on_lost()
            except Exception:
                log.exception("A heal may still run that was to end", extra={"action": "on_lost_failed"})
        self._say(_DOES_NOT_LEAD.format(why))

    def _taken(self) -> tuple[_Asked, ...]:
        """The wishes that wait, without those that nobody waits for any more."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                asked = self._waiting.get_nowait()
                if asked.reply.set_running_or_notify_cancel():
                    taken.append(asked)
        return tuple(taken)

    def _refuse(self, why: str) -> None:
        for asked in self._asked:
            asked.reply.set_result(Reply(why))
        self._asked = ()

    def _wake(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            log.info("%s", sentence, extra={"action": "leader"})

    def _say_of_ledger(self, kept: Kept) -> None:
        said = kept.failed
        if kept.gap is not None:
            said = f"{kept.gap.said}; each sidecar counts only its own heals. Remedy: {kept.gap.remedy}"
        if said and said != self._ledger_said:
            log.warning("The ledger of heals is not kept: %s", said, extra={"action": "ledger"})
        self._ledger_said = said


def _older(attempt: Attempt, seconds: float) -> Attempt:
    ended = None if attempt.ended is None else attempt.ended + seconds
    return replace(attempt, age=attempt.age + seconds, ended=ended)

"""The session of one sidecar that holds the leader lock, or asks for it: statements, and nothing decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from ..core.words import HealOutcome, Unseen
from ..probe.bounded import Bounded, Late
from ..probe.link import CONNECT_SECONDS, Link, Unseeable, is_lost, unseen
from . import ledger
from .lease import Lease
from .ledger import Kept
from .statements import queries

_APART_SECONDS = 1.0  # for one statement


class NotBound(Exception):
    """The server did not take over the session's bounds, without which nobody may lead."""


@dataclass(frozen=True)
class Reservation:
    """A heal that wants to begin."""

    id: str
    incident: str
    healer: str
    budget: int


@dataclass(frozen=True)
class Ending:
    """How a heal that was recorded ended."""

    id: str
    outcome: HealOutcome


Wish = Reservation | Ending


@dataclass(frozen=True)
class Reply:
    """What became of a wish. `refused` is a sentence, or empty; `recorded`: there is a row of it."""

    refused: str = ""
    recorded: bool = False


@dataclass(frozen=True)
class Answer:
    """What one conversation with the database brought. `sent`: when it was asked, by our clock."""

    sent: float
    leads: bool
    held_by: int | None  # backend pid of another session that has the lock
    episode: int | None  # that the leader shows
    kept: Kept
    fileno: int  # of the connection: readable when it ends
    replies: tuple[Reply, ...] = ()  # one for each wish, in their order


@dataclass(frozen=True)
class _Claim:
    """The row of the statement `claim`."""

    pid: int
    held_by: int | None
    leads: bool
    episode: int | None


class Session:
    """`converse` and `close` belong to one thread at a time; `allow` and `sever` to another."""

    def __init__(
        self,
        url: str,
        *,
        lock_prefix: str,
        sidecar: str,
        application_name: str,
        lease: Lease,
        window: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects at the first conversation only. `window`, in seconds, is that of the budget."""
        # No statement is given up before the lease is: until then its answer is still of use.
        self._link = Link(url, timeout=lease.seconds, application_name=application_name)
        self._lock_prefix = lock_prefix
        self._sidecar = sidecar
        self._lease = lease
        self._window = window
        self._monotonic = monotonic
        self._bound: psycopg.Connection | None = None
        self._shown: int | None = None
        self._severed = False
        self.place = self._link.place

    def allow(self) -> None:
        """Before a conversation: what severed the last one no longer counts."""
        self._severed = False
        self._link.allow()

    def sever(self) -> None:
        """End whatever a conversation waits for; it claims nothing any more, even if it only now connects."""
        self._severed = True
        self._link.sever()

    def converse(self, episode: int | None, wishes: Sequence[Wish]) -> Answer:
        """Claim the lock, show the episode, read the ledger, fulfil the wishes.

        Raises Unseeable, NotBound or psycopg.Error: then whoever asked closes the session, once its heal has
        ended, and with that gives the lock back.
        """
        connection = self._open()
        self._show(connection, episode)
        sent = self._monotonic()
        claim = self._claim(connection)
        kept = ledger.read(connection, sidecar=self._sidecar, window=self._window)
        replies = tuple(self._fulfil(connection, wish, claim, kept, sent) for wish in wishes)
        if replies:
            kept = ledger.read(connection, sidecar=self._sidecar, window=self._window)
        return Answer(
            sent=sent,
            leads=claim.leads,
            held_by=claim.held_by if claim.held_by != claim.pid else None,
            episode=self._shown if claim.leads else claim.episode,
            kept=kept,
            fileno=connection.fileno(),
            replies=replies,
        )

    def close(self) -> None:
        """End the session, if there is one; the server then frees its locks at once."""
        self._bound = self._shown = None
        self._link.drop()

    def _open(self) -> psycopg.Connection:
        connection = self._link.open()
        if self._severed:
            raise Unseeable(Unseen.UNREACHABLE, f"{self.place} did not answer in time")
        if connection is not self._bound:
            self._shown = None
            row = connection.execute(queries()["bind"].text, self._lease.session_settings()).fetchone()
            if row is None or abs(row[0] - self._lease.silence) > 0.0005:
                raise NotBound(f"{self.place} does not let a session set idle_session_timeout")
            self._bound = connection
        return connection

    def _claim(self, connection: psycopg.Connection) -> _Claim:
        with connection.cursor(row_factory=class_row(_Claim)) as cursor:
            return cursor.execute(
                queries()["claim"].text, {"lock_prefix": self._lock_prefix}, prepare=True
            ).fetchall()[0]

    def _show(self, connection: psycopg.Connection, episode: int | None) -> None:
        """Before the claim, so that whoever sees a new leader sees its episode, too."""
        if episode is None or episode == self._shown:
            return
        row = connection.execute(
            queries()["show"].text,
            {"lock_prefix": self._lock_prefix, "episode": episode, "before": self._shown},
        ).fetchone()
        self._shown = episode if row is not None and row[0] else None

    def _fulfil(
        self, connection: psycopg.Connection, wish: Wish, claim: _Claim, kept: Kept, sent: float
    ) -> Reply:
        try:
            if isinstance(wish, Ending):
                end(connection, wish.id, wish.outcome, sidecar=self._sidecar)
                return Reply(recorded=True)
            return self._reserve(connection, wish, claim, kept, sent)
        except psycopg.Error as error:
            if is_lost(connection):
                raise
            return Reply(f"the ledger of heals could not be written: {unseen(error)[1]}")

    def _reserve(
        self, connection: psycopg.Connection, wish: Reservation, claim: _Claim, kept: Kept, sent: float
    ) -> Reply:
        if not claim.leads:
            other = f"the session {claim.held_by} leads" if claim.held_by else "nobody leads yet"
            return Reply(f"this sidecar does not lead: {other}")
        if kept.gap is not None:
            return Reply()  # nobody keeps a ledger here; the claim has proven the lock
        row = connection.execute(
            queries()["reserve"].text,
            {
                "id": f"{wish.id}@{self._sidecar}",
                "incident": wish.incident,
                "healer": wish.healer,
                "sidecar": self._sidecar,
                "budget": wish.budget,
                "window": self._window,
                "lock_prefix": self._lock_prefix,
            },
        ).fetchall()[0]
        leads, spent, reserved = row
        if reserved and self._monotonic() < self._lease.ends(sent):
            return Reply(recorded=True)
        if reserved:
            return Reply("the database answered when the lease was over", recorded=True)
        if not leads:
            return Reply("the leader lock is not held any more")
        if spent >= wish.budget:
            return Reply(f"{spent} heals within the window, by all sidecars, of {wish.budget} allowed")
        return Reply(f"the ledger has a heal {wish.id} already")


def end(connection: psycopg.Connection, heal_id: str, outcome: HealOutcome, *, sidecar: str) -> None:
    """Record how a heal ended, unless that is recorded. Raises psycopg.Error."""
    connection.execute(queries()["finish"].text, {"id": f"{heal_id}@{sidecar}", "outcome": outcome.value})


def end_apart(url: str, heal_id: str, outcome: HealOutcome, *, sidecar: str, application_name: str) -> str:
    """Record how a heal ended through a connection of its own: "" or why not. Bounded, never raises."""
    link = Link(url, timeout=_APART_SECONDS, application_name=application_name)
    recording = Bounded(
        lambda: end(link.open(), heal_id, outcome, sidecar=sidecar),
        link.sever,
        within=CONNECT_SECONDS + _APART_SECONDS,
        name="ledger-end",
    )
    try:
        recording.run()
    except Late:
        return f"{link.place} did not answer in time"
    except Unseeable as error:
        return error.detail
    except psycopg.Error as error:
        return unseen(error)[1]
    finally:
        recording.stop()
        if not recording.busy:
            link.drop()
    return ""

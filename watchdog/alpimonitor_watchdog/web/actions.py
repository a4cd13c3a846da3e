"""The actions of operators over HTTP: who may, what is asked, what came of it.

done             200  {"done": true, "sentence", "state": phase}
heal, dry run    200  {"dry_run": true, "sentence", "would_heal", "plan", "guards", "state"}
test-notification 200 {"done": whether all arrived, "sentence", "channels": {name: {"error"}}, "state"}
refused          409  {"refused": reason, "sentence"}
anything else    4xx, 5xx  {"error": {"code", "message", "remedy"}}
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..core.acts import Act, ActKind
from ..core.seen import Observation, PlanSeen
from ..notify import Channel, drill, send_now
from .access_token import Token
from .asked import BODY_AT_MOST, TEST_NOTIFICATION, Asked, Problem, understood
from .board import Board
from .desk import Desk
from .preview import previewed
from .view import View

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Seconds that a request waits."""

    body: float = 5.0  # for its body to arrive
    answer: float = 10.0  # for the loop
    plan: float = 30.0  # for the healer
    delivery: float = 15.0  # for the channels; each attempt has a limit of its own below that


@dataclass(frozen=True)
class Operators:
    """What the actions rest on."""

    desk: Desk
    token: Token | None
    closed_because: str  # why there is no token: then nobody can act over HTTP
    preview: Callable[[], Future[PlanSeen]] | None  # None: no healer is declared
    channels: Sequence[Channel]
    database: str  # as drills name it
    patience: Patience = Patience()


class Actions:
    """A route for each action. Nothing is carried out for a request that does not show the token."""

    def __init__(
        self, board: Board, operators: Operators, *, now: Callable[[], datetime], stopping: asyncio.Event
    ) -> None:
        """`stopping`, set in the server's event loop, ends every wait."""
        self._board = board
        self._operators = operators
        self._patience = operators.patience
        self._now = now
        self._stopping = stopping

    def routes(self) -> list[Route]:
        acts = [self._route(kind.value, partial(self._act, kind)) for kind in ActKind]
        return [*acts, self._route(TEST_NOTIFICATION, self._test_notification)]

    def _route(self, action: str, carry_out: Callable[[Asked], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                self._admit(action, request)
                return await carry_out(understood(action, await self._read(request), self._now()))
            except Problem as problem:
                return _told(problem)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it

        return Route(f"/api/{action}", endpoint, methods=["POST"], name=action)

    def _admit(self, action: str, request: Request) -> None:
        token = self._operators.token
        if token is None:
            raise Problem(503, "actions_off", "Actions over HTTP are off.", self._operators.closed_because)
        if not token.shown_in(request.headers.get("authorization", "")):
            caller = request.client.host if request.client else "an unknown address"
            log.warning(
                "%s was asked by %s without the token; nothing was done", action, caller,
                extra={"action": "unauthorized"},
            )  # fmt: skip
            raise Problem(
                401,
                "unauthorized",
                "The request does not show the sidecar's token.",
                "Use `alpimonitor watchdog`, or send Authorization: Bearer with the content of "
                "the file token in the sidecar's WATCHDOG_STATE_DIR.",
            )

    async def _act(self, kind: ActKind, asked: Asked) -> Response:
        if asked.dry_run:
            return await self._dry_run()
        act = Act(uuid.uuid4().hex, kind, asked.reason, asked.by, asked.until)
        answered = asyncio.wrap_future(self._operators.desk.submit(act))
        if not await self._ended(answered, self._patience.answer):
            if self._stopping.is_set() and self._operators.desk.withdraw(act):
                raise Problem(
                    503, "stopping", "The sidecar stopped before it did this.", "Ask again when it runs."
                )
            raise Problem(
                504,
                "not_confirmed",
                "The sidecar did not confirm this in time; it may do it yet, or have done it.",
                "Look at the incident's timeline before you ask again.",
            )
        answer = answered.result()
        if answer.refused is not None:
            return JSONResponse({"refused": answer.refused.value, "sentence": answer.sentence}, 409)
        return JSONResponse({"done": True, "sentence": answer.sentence, "state": self._phase()})

    async def _dry_run(self) -> Response:
        self._looked()
        plan = await self._plan()
        view, seen = self._looked()
        return JSONResponse(previewed(view, seen, plan))

    async def _plan(self) -> PlanSeen:
        if self._operators.preview is None:
            return PlanSeen(failed="no healer is declared")
        planned = asyncio.wrap_future(self._operators.preview())
        if await self._ended(planned, self._patience.plan):
            return planned.result()
        planned.cancel()
        return PlanSeen(
            failed=f"it was not made within {self._patience.plan:g} s; a heal or another plan may be running"
        )

    async def _test_notification(self, asked: Asked) -> Response:
        channels = self._operators.channels
        message = drill(self._operators.database, f"{asked.by}: {asked.reason}")
        log.info("A drill asked by %s: %s", asked.by, asked.reason, extra={"action": "drill"})
        sent = [asyncio.wrap_future(_begun(partial(send_now, each, message))) for each in channels]
        everything = asyncio.gather(*sent)
        await self._ended(everything, self._patience.delivery)
        errors = [each.result() if each.done() else "not known: the sidecar stops" for each in sent]
        failed = sum(error is not None for error in errors)
        sentence = f"{len(channels) - failed} of {len(channels)} channels took the message."
        if not channels:
            sentence = "No channel is declared and set: nobody is notified of anything."
        return JSONResponse(
            {
                "done": bool(channels) and not failed,
                "sentence": sentence,
                "channels": {
                    channel.name: {"error": error} for channel, error in zip(channels, errors, strict=True)
                },
                "state": self._phase(),
            }
        )

    async def _read(self, request: Request) -> bytes:
        """The body. Raises Problem, also when the server stops before it is there; ClientDisconnect."""
        arriving = asyncio.ensure_future(_body(request, self._patience.body))
        if not await self._ended(arriving, 2 * self._patience.body):
            arriving.cancel()
            raise Problem(503, "stopping", "The sidecar stops; nothing was done.", "Ask again when it runs.")
        return arriving.result()

    async def _ended(self, awaited: asyncio.Future[Any], within: float) -> bool:
        """Wait for it, at most `within` seconds and not while the server stops."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({awaited, stopping}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        return awaited.done()

    def _looked(self) -> tuple[View, Observation]:
        view, _ = self._board.read()
        if view is None or view.observation is None:
            raise Problem(503, "not_looked", "The sidecar has not looked yet.", "Ask again in a second.")
        return view, view.observation

    def _phase(self) -> str | None:
        view, _ = self._board.read()
        return view.state.phase.value if view else None


async def _body(request: Request, within: float) -> bytes:
    """The body, as JSON has to be sent. Raises Problem, and ClientDisconnect when the caller goes away."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            415, "not_declared_json", "The Content-Type is not application/json.", "Send JSON, and say so."
        )
    body = b""
    try:
        async with asyncio.timeout(within):
            async for part in request.stream():
                body += part
                if len(body) > BODY_AT_MOST:
                    raise Problem(
                        413,
                        "too_large",
                        f"The body has more than {BODY_AT_MOST} bytes.",
                        "Send a reason, not a file.",
                    )
    except TimeoutError:
        raise Problem(
            408, "too_slow", f"The body did not arrive within {within:g} s.", "Send it at once."
        ) from None
    return body


def _told(problem: Problem) -> Response:
    said = {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="alpimonitor watchdog"'
    if problem.status in (408, 413) or problem.code == "stopping":
        headers["Connection"] = "close"  # the rest of the body is not waited for
    return JSONResponse({"error": said}, problem.status, headers=headers)


def _begun(call: Callable[[], T]) -> Future[T]:
    """`call` in a thread that keeps no process from ending. What it raises is in the future."""
    ended: Future[T] = Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            ended.set_result(call())
        except Exception as error:
            ended.set_exception(error)

    threading.Thread(target=run, name="drill", daemon=True).start()
    return ended

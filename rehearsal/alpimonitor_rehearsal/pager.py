"""A pager over real HTTP: it records every notification it receives, and can be as bad as a real service.

    python -m alpimonitor_rehearsal.pager --port 0
    {"url": "http://127.0.0.1:40417", "control": "http://127.0.0.1:40417/control"}

apprise sends to it by `json://127.0.0.1:40417/any/path`. GET /receipts shows what was received, GET /attempts
also what was refused; POST {"fault": "500", "times": 2} to `control` makes the next two notifications fail.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Self

from alpimonitor_rehearsal.clock import utc_now
from alpimonitor_rehearsal.loopback import (
    Exchange,
    LoopbackServer,
    arguments_of_a_server,
    serve_as_process,
    wanted_fault,
)


class Fault(Enum):
    NONE = "none"
    REFUSE = "refuse"  # the connection is reset, without an answer
    ERROR_500 = "500"
    TOO_MANY_429 = "429"
    REDIRECT_302 = "302"
    NO_CONTENT_204 = "204"  # a success without a body
    SLOW = "slow"  # received, answered late
    TRICKLE = "trickle"  # received, answered a byte at a time
    HANG = "hang"  # received, never answered


NOT_RECEIVED = frozenset({Fault.REFUSE, Fault.ERROR_500, Fault.TOO_MANY_429, Fault.REDIRECT_302})
"""After these the pager has no notification; after the others it has one, whatever the sender thinks."""


@dataclass(frozen=True)
class Receipt:
    """A notification as it arrived. `received_at` is ISO-8601 UTC, `monotonic` seconds of this machine."""

    number: int
    received_at: str
    monotonic: float
    path: str
    title: str
    body: str
    type: str
    headers: dict[str, str]
    idempotency_key: str
    fault: str
    accepted: bool


class Pager:
    """As a context manager it serves between enter and exit; methods may be called from any thread."""

    def __init__(
        self,
        *,
        port: int = 0,
        file: Path | None = None,
        clock: Callable[[], datetime] = utc_now,
        slow_seconds: float = 30,
        trickle_seconds: float = 0.2,
    ) -> None:
        """Each attempt is also appended to `file`, an object a line."""
        self._file = file
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._trickle_seconds = trickle_seconds
        self._changed = threading.Condition()
        self._attempts: list[Receipt] = []
        self._fault = Fault.NONE
        self._times: int | None = None
        self.server = LoopbackServer(self._respond, port=port)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def apprise_url(self) -> str:
        """What a channel takes; add a path to tell channels apart."""
        return f"json://127.0.0.1:{self.server.port}/"

    @property
    def attempts(self) -> list[Receipt]:
        """Every notification that arrived, in order, those refused included."""
        with self._changed:
            return list(self._attempts)

    @property
    def receipts(self) -> list[Receipt]:
        """Every notification that the pager has, in order."""
        return [attempt for attempt in self.attempts if attempt.accepted]

    def fault(self, fault: Fault, *, times: int | None = None) -> None:
        """Misbehave for the next `times` notifications, or until told otherwise."""
        with self._changed:
            self._fault, self._times = fault, times

    def wait_for(
        self, wanted: Callable[[list[Receipt]], bool], *, deadline: float = 10, attempts: bool = False
    ) -> list[Receipt]:
        """The receipts (or attempts) once `wanted` holds of them; TimeoutError after `deadline` seconds."""

        def seen() -> list[Receipt]:
            return [attempt for attempt in self._attempts if attempts or attempt.accepted]

        with self._changed:
            if not self._changed.wait_for(lambda: wanted(seen()), timeout=deadline):
                titles = [receipt.title for receipt in seen()]
                raise TimeoutError(
                    f"the pager did not get what was awaited in {deadline:g} s; it has {titles}"
                )
            return seen()

    def _respond(self, exchange: Exchange) -> None:
        if exchange.path == "/control":
            self._control(exchange)
        elif exchange.method == "POST":
            self._notification(exchange)
        elif exchange.path == "/receipts":
            exchange.answer_json(200, {"receipts": [asdict(receipt) for receipt in self.receipts]})
        elif exchange.path == "/attempts":
            exchange.answer_json(200, {"attempts": [asdict(attempt) for attempt in self.attempts]})
        else:
            exchange.answer_json(404, {"error": "GET /receipts or /attempts; POST a notification elsewhere"})

    def _control(self, exchange: Exchange) -> None:
        if exchange.method == "POST":
            try:
                fault, times = wanted_fault(exchange.body)
                self.fault(Fault(fault), times=times)
            except ValueError as error:
                faults = ", ".join(fault.value for fault in Fault)
                exchange.answer_json(400, {"error": str(error), "faults": faults})
                return
        with self._changed:
            state = {"fault": self._fault.value, "times": self._times}
        exchange.answer_json(200, state)

    def _notification(self, exchange: Exchange) -> None:
        fault = self._record(exchange)
        received = b"received\n"
        match fault:
            case Fault.NONE:
                exchange.answer(200, received)
            case Fault.REFUSE:
                exchange.reset()
            case Fault.ERROR_500:
                exchange.answer(500, b"Internal Server Error\n")
            case Fault.TOO_MANY_429:
                exchange.answer(429, b"Too Many Requests\n", Retry_After="1")
            case Fault.REDIRECT_302:
                exchange.answer(302, Location=f"{self.url}/receipts")
            case Fault.NO_CONTENT_204:
                exchange.answer(204)
            case Fault.SLOW:
                exchange.pause(self._slow_seconds)
                exchange.answer(200, received)
            case Fault.TRICKLE:
                exchange.trickle(200, b"received" + b"." * 10_000, self._trickle_seconds)
            case Fault.HANG:
                exchange.pause(None)

    def _record(self, exchange: Exchange) -> Fault:
        """Keep what arrived, and say how to answer it. The moment is taken first: it is what is measured."""
        monotonic = time.monotonic()
        received_at = self._clock().isoformat(timespec="microseconds").replace("+00:00", "Z")
        title, body, type_ = _read(exchange.body)
        with self._changed:
            if self._times is not None and self._times <= 0:
                self._fault, self._times = Fault.NONE, None
            if self._times is not None:
                self._times -= 1
            fault = self._fault
            receipt = Receipt(
                number=len(self._attempts) + 1,
                received_at=received_at,
                monotonic=monotonic,
                path=exchange.path,
                title=title,
                body=body,
                type=type_,
                headers=exchange.headers,
                idempotency_key=exchange.header("Idempotency-Key"),
                fault=fault.value,
                accepted=fault not in NOT_RECEIVED,
            )
            self._attempts.append(receipt)
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(asdict(receipt), ensure_ascii=False) + "\n")
            self._changed.notify_all()
        return fault


def _read(body: bytes) -> tuple[str, str, str]:
    """(title, body, type) as apprise's json:// sends them; anything else is all body."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return "", body.decode("utf-8", "replace"), ""
    return str(document.get("title", "")), str(document.get("message", "")), str(document.get("type", ""))


def main() -> None:
    """Serve as a process of its own."""
    parser = arguments_of_a_server("A pager that records the notifications it receives.")
    parser.add_argument("--file", type=Path, help="also append each notification to this file, one a line")
    options = parser.parse_args()
    pager = Pager(port=options.port, file=options.file)
    announcement = {"url": pager.url, "control": f"{pager.url}/control"}
    serve_as_process(pager.server, announcement, parent=options.die_with_parent)


if __name__ == "__main__":
    main()

"""One attempt to send, with a hard limit on how long anybody waits for it."""

from __future__ import annotations

import threading
import uuid

from ..core.messages import Message
from ..store import Severity
from .channel import Parcel, Sends

DEADLINE = 10.0  # seconds; services count their own limits from one read to the next


class Attempt:
    """One send in a thread of its own, which a hanging service may keep: it never keeps the process."""

    def __init__(self, channel: Sends, parcel: Parcel, began: float) -> None:
        self.began = began
        self._channel = channel
        self._parcel = parcel
        self._ended = threading.Event()
        self.error = ""
        threading.Thread(target=self._run, name="send", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended; then `error` says how ("" when the message arrived)."""
        return self._ended.wait(seconds)

    @property
    def hangs(self) -> bool:
        return not self._ended.is_set()

    def _run(self) -> None:
        try:
            self.error = self._channel.send(self._parcel)
        except Exception as error:  # the text may hold the URL
            self.error = f"the channel failed with {type(error).__name__}"
        finally:
            self._ended.set()


def send_now(channel: Sends, message: Message, deadline: float = DEADLINE) -> str | None:
    """Send past the outbox and once, to test a channel; None when it arrived, else why not."""
    attempt = Attempt(channel, Parcel(message, Severity.INFO, uuid.uuid4().hex), began=0.0)
    if not attempt.wait(deadline):
        return late(deadline)
    return attempt.error or None


def late(deadline: float) -> str:
    return f"no answer within {deadline:g} s; whether the message arrived is unknown"

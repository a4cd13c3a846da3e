"""The message that tests a channel, from the command line and over HTTP alike."""

from __future__ import annotations

from ..core.messages import Message


def drill(database: str, sender: str) -> Message:
    """A message marked as a drill; `sender` says what sent it, and why."""
    return Message(
        f"{database}: this is a drill; nothing is wrong",
        f"Nothing to do: this message tests the channel.\nSent by {sender}.",
    )

"""Telling people: apprise channels, and the workers that drain the outbox into them."""

from .attempt import send_now
from .channel import Channel, ChannelError
from .drill import drill
from .notifier import Meter, Notifier, Persistence

__all__ = ["Channel", "ChannelError", "Meter", "Notifier", "Persistence", "drill", "send_now"]

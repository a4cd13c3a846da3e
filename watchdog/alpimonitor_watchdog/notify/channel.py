"""One channel: an apprise URL, and what became of a message sent to it.

apprise's manners, measured with 2.2.0, decide how it is called here: a service's own deadline runs the send
in a shared pool whose threads keep the process from ending, so it is switched off and the caller's thread is
used; `retry`, `optional` and `redirect` in a URL would hide a failure, so they are overruled; its loggers
print URLs, so they are silenced and only the kind of failure is passed on.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from apprise import Apprise, AppriseAsset, AppriseResultStatus, NotifyFormat, NotifyType, OverflowMode
from apprise.plugins import NotifyBase

from ..core.messages import Message
from ..store import Severity

_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.SUCCESS: NotifyType.SUCCESS,
    Severity.WARNING: NotifyType.WARNING,
    Severity.FAILURE: NotifyType.FAILURE,
}
_TAKES_HEADERS = {"json", "jsons", "form", "forms", "xml", "xmls", "mailto", "mailtos"}
_SHOWS_HOST = _TAKES_HEADERS | {"gotify", "gotifys"}  # elsewhere the host's place holds a token or a topic
_NOWHERE = logging.NullHandler()
_STATUS_CODE = re.compile(r"error=(\d{3})")


class ChannelError(Exception):
    """A declared channel cannot be used as it is."""


@dataclass(frozen=True)
class Parcel:
    """A message on one attempt. A receiver can tell a repeated attempt by its `key`."""

    message: Message
    severity: Severity
    key: str


class Sends(Protocol):
    """Takes a parcel to people. Returns "" when it arrived, else what stood in the way; may take long."""

    def send(self, parcel: Parcel) -> str: ...


class Channel:
    """An apprise URL under the name it was declared with; it tells nobody more of it than the host."""

    def __init__(self, name: str, url: str) -> None:
        """Raises ChannelError, naming the channel and never the URL, when apprise cannot use it."""
        _silence_vendors()
        self.name = name
        self._url = url.strip()
        self._asset = AppriseAsset(http_redirects=False, service_timeout=0)
        self._service()

    @property
    def address(self) -> str:
        """Scheme and host, as far as they are no secret: "json://127.0.0.1:9000", "slack://…"."""
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2] if parts.scheme in _SHOWS_HOST else "…"
        return f"{parts.scheme}://{host}"

    def send(self, parcel: Parcel) -> str:
        """One attempt, with no limit in time but the service's own; "" or why it did not arrive."""
        service: Any = self._service()
        if service.schema in _TAKES_HEADERS:
            service.headers["Idempotency-Key"] = parcel.key
        target = Apprise(asset=self._asset)
        target.add(service)
        result = target.notify(
            title=parcel.message.title,
            body=parcel.message.body,
            notify_type=_TYPES[parcel.severity],
            body_format=NotifyFormat.TEXT,
        )
        if result.status is AppriseResultStatus.SUCCESS:
            return ""
        logged = [entry.message for each in result.results for attempt in each for entry in attempt]
        return f"{self.address} {_what_happened(result.status, ' '.join(logged))}"

    def _service(self) -> NotifyBase:
        """A fresh one for each attempt: they keep state, and a hanging one must not be shared."""
        scheme, separator, _ = self._url.partition("://")
        if any(character.isspace() for character in self._url):
            raise ChannelError(f"Channel {self.name}: its URL holds white space. Declare one URL a channel.")
        service = Apprise.instantiate(self._url, asset=self._asset)
        if service is None:
            raise ChannelError(
                f"Channel {self.name}: its URL is not one that apprise can use "
                f"({f'scheme {scheme}' if separator else 'it has no scheme'}). "
                "The expected shape is scheme://…, such as json://host:port/path or mailto://user:password@host."
            )
        service.retry = 0
        service.optional = False
        service.redirects = False
        if "overflow=" not in self._url:
            service.overflow_mode = OverflowMode.TRUNCATE  # the verdict is in the first lines
        return service


def _what_happened(status: AppriseResultStatus, logged: str) -> str:
    """The kind of failure, out of what apprise logged; none of its words, which may hold a credential."""
    code = _STATUS_CODE.search(logged)
    if code is not None:
        moved = ": a redirect is not followed, it would lose the message" if code[1].startswith("3") else ""
        return f"answered {code[1]}{moved}"
    if status is AppriseResultStatus.TIMEOUT:
        return "did not answer in time; whether the message arrived is unknown"
    if "onnection error" in logged or "ocket" in logged:
        return "could not be reached, or ended the connection"
    return "did not take the message"


def _silence_vendors() -> None:
    """apprise logs invalid URLs, urllib3 request paths: both may hold a credential."""
    for name, level in (("apprise", logging.WARNING), ("urllib3", logging.ERROR)):
        vendor = logging.getLogger(name)
        vendor.setLevel(level)
        vendor.propagate = False
        vendor.addHandler(_NOWHERE)


@dataclass(frozen=True)
class Undeclared:
    """The channel of notifications that wait for a channel which the settings no longer name."""

    name: str

    def send(self, parcel: Parcel) -> str:  # noqa: ARG002 - the protocol
        return f"no channel {self.name} is declared any more"

"""Where a payload comes from: the SPARQL endpoint, within bounds of time and size, or a file."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_when_event_set
from tenacity.wait import wait_base

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.lindas import QUERY

TIMEOUT_SECONDS = 10.0
TRIES = 3
BACK_OFF = wait_exponential(multiplier=0.5, max=5) + wait_random(0, 0.5)
"""Before the second and the third try, in seconds: 0.5 to 1, then 1 to 1.5."""

LONGEST_RETRY_AFTER = 20
"""Seconds: a service that asks for a longer pause gets it, and is asked again by the next pass."""

logger = logging.getLogger(__name__)


class SourceFault(Enum):
    UNREACHABLE = "unreachable"  # no connection: name, network, TLS, or nobody listening
    TIMED_OUT = "timed_out"  # the whole request, connecting included
    INTERRUPTED = "interrupted"  # the connection broke, or the body is shorter than announced
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 5xx
    REFUSED = "refused"  # any other status but 200: asking again would get the same answer
    TOO_LARGE = "too_large"
    FILE_UNREADABLE = "file_unreadable"


WORTH_A_RETRY = frozenset(
    {
        SourceFault.UNREACHABLE,
        SourceFault.TIMED_OUT,
        SourceFault.INTERRUPTED,
        SourceFault.RATE_LIMITED,
        SourceFault.SERVER_ERROR,
    }
)


class SourceError(Exception):
    """No payload was to be had. The text says from where, and carries no credentials."""

    def __init__(
        self,
        fault: SourceFault,
        detail: str,
        http_status: int | None = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        """`retry_after`: the seconds that the service asks for before another try."""
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.http_status = http_status
        self.retry_after = retry_after

    @property
    def worth_a_retry(self) -> bool:
        return self.fault in WORTH_A_RETRY and (self.retry_after or 0) <= LONGEST_RETRY_AFTER


@dataclass(frozen=True)
class Payload:
    """The body as it came, when it was fetched (aware UTC), and where it lies if it is archived already."""

    body: bytes
    fetched_at: datetime
    http_status: int | None = None
    archived: Path | None = None


class Source(Protocol):
    """fetch() returns a payload or raises SourceError."""

    def fetch(self, clock: Callable[[], datetime]) -> Payload: ...


class HttpSource:
    """The SPARQL endpoint. `stopping`, when set, ends the tries. Not for a thread with an event loop."""

    def __init__(
        self,
        endpoint: str,
        *,
        stopping: threading.Event | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        back_off: wait_base = BACK_OFF,
    ) -> None:
        self._endpoint = endpoint
        self._shown = shown(endpoint)
        self._stopping = stopping or threading.Event()
        self._timeout_seconds = timeout_seconds
        self._back_off = back_off

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        """Up to three tries, as long as another one may help."""
        tries = Retrying(
            stop=stop_after_attempt(TRIES) | stop_when_event_set(self._stopping),
            wait=self._wait,
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.worth_a_retry),
            before_sleep=self._say_retry,
            sleep=self._pause,
            reraise=True,
        )
        # A loop of its own: only a cancelled task ends a request whose server sends a byte now and then.
        body = tries(lambda: asyncio.run(self._request()))
        return Payload(body, fetched_at=clock(), http_status=200)

    async def _request(self) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post()
        except (TimeoutError, httpx.TimeoutException):
            raise SourceError(
                SourceFault.TIMED_OUT, f"{self._shown} did not answer within {self._timeout_seconds:g} s"
            ) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise SourceError(
                SourceFault.UNREACHABLE, f"no connection to {self._shown} ({error}); see LINDAS_ENDPOINT"
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise SourceError(
                SourceFault.REFUSED, f"{self._shown} is no usable address ({error}); see LINDAS_ENDPOINT"
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise SourceError(
                SourceFault.INTERRUPTED, f"{self._shown}: {error or type(error).__name__}"
            ) from error

    async def _post(self) -> bytes:
        async with (
            httpx.AsyncClient(timeout=self._timeout_seconds, follow_redirects=False) as client,
            client.stream(
                "POST",
                self._endpoint,
                data={"query": QUERY},
                headers={
                    "Accept": "application/sparql-results+json",
                    "Accept-Encoding": "gzip",
                    "User-Agent": f"alpimonitor/{version('alpimonitor')}",
                },
            ) as response,
        ):
            self._check(response)
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > archive.LARGEST_PAYLOAD:
                    raise SourceError(
                        SourceFault.TOO_LARGE,
                        f"{self._shown} sent more than {archive.LARGEST_PAYLOAD} bytes; the rest is unread",
                        response.status_code,
                    )
            return bytes(body)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            # Gzip in gzip unpacks kilobytes to gigabytes in one piece, before its size can be looked at.
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ("gzip", "identity"):
                detail = f"{self._shown} sent the encoding {encoding[:40]!r}, and only gzip was asked for"
                raise SourceError(SourceFault.REFUSED, detail, status)
            return
        detail = f"{self._shown} answered {status} {response.reason_phrase}".rstrip()
        asked = response.headers.get("retry-after", "").strip()
        retry_after = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else None  # a date is left aside
        if retry_after is not None:
            detail += f" and asks for a pause of {retry_after} s"
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise SourceError(SourceFault.RATE_LIMITED, detail, status, retry_after=retry_after)
        if response.is_server_error:
            raise SourceError(SourceFault.SERVER_ERROR, detail, status, retry_after=retry_after)
        if response.has_redirect_location:
            detail += (
                f" to {shown(response.headers['location'])}: if that is right, set LINDAS_ENDPOINT to it"
            )
        raise SourceError(SourceFault.REFUSED, detail, status)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, SourceError) else None
        return max(self._back_off(state), asked or 0)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _say_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        logger.info(
            "LINDAS gave no payload (%s); try %d of %d follows",
            error,
            state.attempt_number + 1,
            TRIES,
            extra={"action": "ingestion_retry"},
        )


class FileSource:
    """A payload in a file, plain or gzip.

    One of the archive has the time of its fetch in its name; any other counts as fetched now, since somebody
    says now that it is to be ingested.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        try:
            body = archive.read(self._path)
        except archive.ArchiveError as error:
            raise SourceError(SourceFault.FILE_UNREADABLE, str(error)) from error
        path = self._path.resolve()
        fetched_at = archive.fetched_at(path)
        return Payload(body, fetched_at or clock(), archived=path if fetched_at is not None else None)


def shown(url: str) -> str:
    """A URL for messages: without user, password, query and fragment, any of which may hold a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "an unreadable address"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

"""Where a payload comes from: the SPARQL endpoint, within bounds of time and size, or a file."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.stop import stop_base, stop_when_event_set

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.body import Body, Damaged, TooLarge
from alpimonitor_api.ingest.faults import LONGEST_PAUSES, TRIES, SourceError, SourceFault, pause_asked_for
from alpimonitor_api.ingest.query import QUERY

TIMEOUT_SECONDS = 10.0
"""Of one request, from looking up the name to the last byte."""

logger = logging.getLogger(__name__)


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
    """The SPARQL endpoint. `stopping`, when set, ends the tries. Not for a thread with an event loop.

    One fetch takes at most TRIES requests of TIMEOUT_SECONDS and LONGEST_PAUSES between them: a minute.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        stopping: threading.Event | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`jitter` draws a pause between two numbers of seconds."""
        self._endpoint = endpoint
        self._shown = shown(endpoint)
        self._stopping = stopping or threading.Event()
        self._timeout_seconds = timeout_seconds
        self._jitter = jitter

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        """Ask as often as TRIES, as long as another try may help: faults.RETRIES says when."""
        tries = Retrying(
            stop=stop_after_attempt(TRIES) | stop_when_event_set(self._stopping) | _PausedEnough(),
            wait=self._wait,
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.worth_a_retry),
            before_sleep=self._say_retry,
            sleep=self._pause,
            reraise=True,
        )
        body = tries(lambda: _alone(lambda: self._request(clock)))
        return Payload(body, fetched_at=clock(), http_status=200)

    async def _request(self, clock: Callable[[], datetime]) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(clock)
        except (TimeoutError, httpx.TimeoutException):
            raise SourceError(
                SourceFault.TIMED_OUT, f"{self._shown} did not answer within {self._timeout_seconds:g} s"
            ) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise SourceError(
                SourceFault.UNREACHABLE, f"no connection to {self._shown} ({error}); see LINDAS_ENDPOINT"
            ) from error
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            # The last two are of a proxy: httpx reads them in the environment and takes only some kinds.
            detail = f"{self._shown} is no usable address, or its proxy is not ({error})"
            raise SourceError(
                SourceFault.REFUSED, f"{detail}; see LINDAS_ENDPOINT, and HTTPS_PROXY or ALL_PROXY if set"
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise SourceError(
                SourceFault.INTERRUPTED, f"{self._shown}: {error or type(error).__name__}"
            ) from error

    async def _post(self, clock: Callable[[], datetime]) -> bytes:
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
            status = response.status_code
            body = Body(gzipped=self._gzipped(response, clock), largest=archive.LARGEST_PAYLOAD)
            try:
                async for piece in response.aiter_raw():
                    body.take(piece)
                return body.whole()
            except TooLarge:
                detail = f"{self._shown} sent more than {archive.LARGEST_PAYLOAD} bytes; the rest is unread"
                raise SourceError(SourceFault.TOO_LARGE, detail, status) from None
            except Damaged as error:
                raise SourceError(SourceFault.INTERRUPTED, f"{self._shown}: {error}", status) from None

    def _gzipped(self, response: httpx.Response, clock: Callable[[], datetime]) -> bool:
        """Whether the body of a good answer is packed. Raises SourceError for any other answer."""
        status = response.status_code
        if status == httpx.codes.OK:
            encoding: str = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ("gzip", "identity"):
                detail = f"{self._shown} sent the encoding {encoding[:40]!r}, and only gzip was asked for"
                raise SourceError(SourceFault.REFUSED, detail, status)
            return encoding == "gzip"
        detail = f"{self._shown} answered {status} {response.reason_phrase}".rstrip()
        retry_after = pause_asked_for(response.headers.get("retry-after", ""), clock())
        if retry_after is not None:
            detail += f" and asks for a pause of {retry_after:.0f} s"
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
        return self._jitter(*error.pause(state.attempt_number)) if isinstance(error, SourceError) else 0.0

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


class _PausedEnough(stop_base):
    def __call__(self, retry_state: RetryCallState) -> bool:
        seconds: float = retry_state.idle_for + retry_state.upcoming_sleep
        return seconds > LONGEST_PAUSES


def _alone(request: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
    """The outcome of a request on a loop of its own.

    Only a cancelled task ends a request whose server sends a byte now and then. And not asyncio.run: that one
    waits for the thread that looks up the name, which no time-out ends and which may take half a minute.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(request())
    try:
        return loop.run_until_complete(task)
    finally:
        if task.cancel():  # interrupted from outside: its connection is closed all the same
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


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

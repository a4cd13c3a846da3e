"""How often one address may ask."""

from __future__ import annotations

import time
from math import floor

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.auth import Scope as TokenScope
from alpimonitor_api.auth import Tokens
from alpimonitor_api.errors import Code, envelope
from alpimonitor_api.metrics import Metrics
from alpimonitor_api.middleware.clients import Clients, customer
from alpimonitor_api.settings import Networks

FREE = frozenset({"/api/v1/health", "/api/v1/status", "/metrics"})
"""What has to answer when somebody asks too often; /metrics has a door of its own."""

MOST_ADDRESSES = 50_000
"""Counts that are kept, some 15 MB: whoever has more addresses is held back by none of them."""


MINUTE = 60  # seconds


class AddressCounts(MemoryStorage):
    """The library's counts, without its thread.

    MemoryStorage starts a thread 10 ms after each request that walks over all counts: with ten thousand
    addresses that is a third of the process. Here every count lives equally long, so the oldest stand first,
    and each new one makes the expired ones before it go.

    Invariant: `storage` and `expirations` have the same keys, at most MOST_ADDRESSES.
    """

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a count, which expires `expiry` seconds after it began."""
        now = time.time()  # noqa: TID251 - the library's clock, by which it counts windows
        if self.expirations.get(key, 0.0) > now:
            self.storage[key] += amount
            return self.storage[key]
        self._forget(key)
        # Two for each one that comes, so that what piled up in a rush goes, too.
        for oldest in [oldest for oldest, _ in zip(self.expirations, range(2), strict=False)]:
            if self.expirations[oldest] <= now or len(self.expirations) >= MOST_ADDRESSES:
                self._forget(oldest)
        self.storage[key] = amount
        self.expirations[key] = now + expiry
        return amount

    def get(self, key: str) -> int:
        """A count; 0 when it has expired."""
        return self.storage[key] if self.expirations.get(key, 0.0) > time.time() else 0  # noqa: TID251

    def _forget(self, key: str) -> None:
        self.storage.pop(key, None)
        self.expirations.pop(key, None)


class RateLimit:
    """429 beyond RATE_LIMIT requests a minute and address, counted by each process for itself.

    The window slides: what was asked in the minute of the clock before this one counts by the part of it
    that lies within the last sixty seconds, so that nobody gets two minutes' worth around a full minute. A
    request that is refused does not count. The sidecar, which shows a token with the scope watchdog, may ask
    as often as it has to.
    """

    def __init__(
        self, app: ASGIApp, *, limit: int, trusted_proxies: Networks, tokens: Tokens, metrics: Metrics
    ) -> None:
        self._app = app
        self._limit = RateLimitItemPerMinute(limit)
        self._counts = AddressCounts()
        self._limiter = SlidingWindowCounterRateLimiter(self._counts)
        self._clients = Clients(trusted_proxies)
        self._tokens = tokens
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in FREE or self._is_exempt(scope):
            await self._app(scope, receive, send)
            return
        who = customer(self._clients.address(scope))
        allowed = self._limiter.hit(self._limit, who)
        remaining = self._limiter.get_window_stats(self._limit, who).remaining if allowed else 0
        header = (b"ratelimit-remaining", b"%d" % remaining)

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        if allowed:
            await self._app(scope, receive, send_counted)
            return
        self._metrics.rate_limited()
        seconds = self._seconds_until_free(who)
        message = (
            f"One address may ask {self._limit.amount} times a minute, and this one did; "
            f"ask again in {seconds} s. /health and /status are free."
        )
        refusal = envelope(429, Code.RATE_LIMITED, message, headers={"Retry-After": str(seconds)})
        await refusal(scope, receive, send_counted)

    def _seconds_until_free(self, who: str) -> int:
        """Whole seconds after which one request of a refused address is let through.

        The library's own figure is 0 in the moment in which a minute begins.
        """
        previous, _, current, lives = self._counts.get_sliding_window(self._limit.key_for(who), MINUTE)
        wait = lives - MINUTE  # until the minute of the clock ends, and what was asked in it begins to fade
        if current < self._limit.amount:
            wait -= (self._limit.amount - current) * MINUTE / previous
        # In the moment itself the window is still full, and the moment is known but roughly.
        return floor(wait + 0.001) + 1

    def _is_exempt(self, scope: Scope) -> bool:
        authorization = dict(scope["headers"]).get(b"authorization")
        if authorization is None:
            return False
        principal = self._tokens.bearer(authorization.decode("latin-1"))
        return principal is not None and TokenScope.WATCHDOG in principal.scopes

"""Who asks: bearer tokens, hashed at rest (`token_file`), each with its scopes."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from alpimonitor_api.errors import forbidden, unauthorized
from alpimonitor_api.settings import SettingsError
from alpimonitor_api.token_file import Scope, Stamp, TokenFileError, digest, read, stamp_of

__all__ = ["Principal", "Scope", "Tokens", "bearer_of", "require"]

logger = logging.getLogger(__name__)

ANSWERS = {
    401: "No token, or one that is not known or has expired.",
    403: "The token lacks the scope.",
}
"""What the document says of the errors of a route that needs a token."""

SCHEME = HTTPBearer(
    scheme_name="token",
    description="A token that `alpimonitor token create` made, with the scope that the route needs.",
    auto_error=False,
)


@dataclass(frozen=True)
class Principal:
    """The bearer of a token: its name stands in the audit."""

    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True)
class _Known:
    digest: bytes  # of the token
    principal: Principal
    expires_at: datetime | None  # aware UTC; from then on it is nobody's


class Tokens:
    """The tokens of API_TOKENS_FILE, read again when the file changes.

    A file that breaks later leaves the tokens as they last were, and the log says so once: an operator at
    work must not be locked out by a slip of the editor. To take tokens away, revoke them.
    """

    def __init__(self, file: Path | None, clock: Callable[[], datetime]) -> None:
        """Without a file nobody is known. Raises SettingsError for one that cannot be used."""
        self._file = file
        self._clock = clock
        self._known: tuple[_Known, ...] = ()
        self._stamp: Stamp | None = None
        self._failure: str | None = None
        if file is not None:
            try:
                stamp_of(file)
                self._read(file)
            except TokenFileError as error:
                raise SettingsError(f"API_TOKENS_FILE: {error}; or unset API_TOKENS_FILE") from None

    @property
    def configured(self) -> bool:
        return self._file is not None

    def bearer(self, authorization: str | None) -> Principal | None:
        """Who an `Authorization` header names; None when nobody that is known.

        Costs a look at the file's times and one comparison a token, and takes as long for any wrong token.
        """
        if authorization is None or self._file is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        self._refresh(self._file)
        shown, now, found = digest(token.strip()), self._clock(), None
        for known in self._known:
            if hmac.compare_digest(shown, known.digest) and (
                known.expires_at is None or now < known.expires_at
            ):
                found = known.principal  # and on to the last: how long it takes says nothing of which it was
        return found

    def _refresh(self, file: Path) -> None:
        try:
            if stamp_of(file) != self._stamp:
                self._read(file)
        except TokenFileError as error:
            self._stamp = None  # looked at again the next time: a disk may be in trouble, not the file
            if str(error) != self._failure:
                self._failure = str(error)
                told = {"action": "tokens_unusable"}
                logger.error("API_TOKENS_FILE is of no use; tokens stay as they were: %s", error, extra=told)

    def _read(self, file: Path) -> None:
        found = read(file)
        self._known = tuple(
            _Known(
                bytes.fromhex(entry.sha256), Principal(entry.name, frozenset(entry.scopes)), entry.expires_at
            )
            for entry in found.entries.tokens
        )
        self._stamp = found.stamp
        self._failure = None
        told = {"action": "tokens_read", "tokens": len(self._known)}
        logger.info("%s tokens are known, of %s", len(self._known), file, extra=told)
        if found.exposed:
            told = {"action": "tokens_exposed"}
            logger.warning(
                "%s can be read by everybody on this machine: chmod o-r %s", file, file, extra=told
            )


def require(request: Request, *scopes: Scope) -> Principal:
    """Who asks, with at least one of these scopes. Raises ApiError: 401 for nobody known, 403 for another."""
    tokens = cast(Tokens, request.app.state.services.tokens)
    if not tokens.configured:
        raise unauthorized(
            "Tokens are not configured here, so nobody may do this: an operator has to set API_TOKENS_FILE."
        )
    shown = request.headers.get("authorization")
    if shown is None:
        raise unauthorized("This needs a token: send it as the header `Authorization: Bearer TOKEN`.")
    principal = tokens.bearer(shown)
    if principal is None:
        raise unauthorized(
            "The token is not known, or has expired: send one that `alpimonitor token create` made, as the "
            "header `Authorization: Bearer TOKEN`."
        )
    if principal.scopes.isdisjoint(scopes):
        needed, given = (" or ".join(sorted(some)) for some in (scopes, principal.scopes))
        raise forbidden(f"This needs a token with the scope {needed}; that of {principal.name} has {given}.")
    return principal


def bearer_of(*scopes: Scope) -> Any:
    """The parameter of a route that needs a token: `Annotated[Principal, bearer_of(Scope.OPERATOR)]`.

    Asked before anything else of the request is looked at, and documented.
    """

    async def principal(
        request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(SCHEME)]
    ) -> Principal:
        return require(request, *scopes)

    return Depends(principal)

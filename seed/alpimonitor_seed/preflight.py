"""Refuses a seed against a database that it was not clearly meant for. Pure.

A database is free to seed if it is on this machine (loopback or a socket) and its `deployment` row names an
environment other than production. A database without that row does not say what it is, and a loopback address
may be a tunnel: so the row is asked for as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alpimonitor_api.tables import SeedMode
from alpimonitor_seed.plan import Wish

PRODUCTION = "production"


class Reason(Enum):
    """Why a seed is refused before it begins."""

    NOT_ALLOWED = "not_allowed"  # not a local test database, and ALLOW_PROD_SEED is not 1
    NOT_CONFIRMED = "not_confirmed"  # allowed, but it would change or delete, and no database was confirmed
    OTHER_DATABASE = "other_database"  # the database is not the one that was confirmed


@dataclass(frozen=True)
class Refusal:
    """A refusal and its sentence for people."""

    reason: Reason
    text: str


@dataclass(frozen=True)
class Circumstances:
    """What preflight looks at, gathered by the caller."""

    local: bool  # every address is this machine's
    environment: str | None  # of the `deployment` row; None: there is no row
    host: str
    database: str
    allowed: bool  # ALLOW_PROD_SEED=1, for this command
    confirmed: str | None  # --confirm-database


def refusal(seen: Circumstances, wish: Wish) -> Refusal | None:
    """Say why this seed must not run, or None when it may."""
    if seen.confirmed is not None and seen.confirmed != seen.database:
        return Refusal(
            Reason.OTHER_DATABASE,
            f"--confirm-database says {seen.confirmed}, but this database is {seen.database} on {seen.host}",
        )
    doubt = _doubt(seen)
    if doubt is None:
        return None
    if not seen.allowed:
        return Refusal(
            Reason.NOT_ALLOWED,
            f"{doubt}. If it is the one you mean, set ALLOW_PROD_SEED=1 for this one command: "
            "ALLOW_PROD_SEED=1 alpimonitor seed …",
        )
    if seen.confirmed is None and not wish.only_adds:
        asked = "--mode converge" if wish.mode is SeedMode.CONVERGE else "--prune"
        return Refusal(
            Reason.NOT_CONFIRMED,
            f"{doubt}, and {asked} may change or delete rows. If it is the one you mean, "
            f"add --confirm-database {seen.database}",
        )
    return None


def _doubt(seen: Circumstances) -> str | None:
    """What makes this database one that nobody seeds in passing; None for a local test database."""
    name = f"The database {seen.database} on {seen.host}"
    if seen.environment == PRODUCTION:
        return f"{name} says that it is production"
    if not seen.local:
        return f"{name} is not on this machine"
    if seen.environment is None:
        return f"{name} does not say which environment it is: its deployment row is missing"
    return None

"""Which database a URL means: its name without its password, and whether it is on this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

SHAPE = (
    "a URL such as postgresql://role:password@host:5432/database; characters such as @ / # in the password "
    "are percent-encoded"
)


class UnusableUrl(ValueError):
    """The variable holds no database URL. The text names the variable and the remedy, never the value."""


@dataclass(frozen=True)
class Target:
    """A database as its URL names it. Only `url` holds the password, and it is left out of the repr."""

    variable: str  # the environment variable that gave it
    url: str = field(repr=False)
    hosts: tuple[str, ...]  # a socket's folder begins with "/" or "@"; empty means libpq's own socket
    hostaddrs: tuple[str, ...]
    port: str
    database: str
    role: str
    service: str = ""  # an entry of libpq's service file, which may lead anywhere
    fell_back: bool = False  # the variable that was asked for is not set

    @property
    def host(self) -> str:
        """The hosts as one word, for people and for the records."""
        named = self.hosts or self.hostaddrs
        if not named:
            return f"service {self.service}" if self.service else "socket"
        return ",".join(f"[{host}]" if ":" in host else host for host in named)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def from_environment(environ: Mapping[str, str], wanted: str) -> Target:
    """The database that `wanted` names, falling back to DATABASE_URL. Raises UnusableUrl."""
    for variable in (wanted, "DATABASE_URL"):
        url = environ.get(variable, "").strip()
        if url:
            return parse(url, variable=variable, fell_back=variable != wanted)
    instead = "" if wanted == "DATABASE_URL" else f", nor is {wanted}"
    raise UnusableUrl(f"DATABASE_URL is not set{instead}: set it to {SHAPE}")


def parse(url: str, *, variable: str, fell_back: bool = False) -> Target:
    """Read a libpq URL. Raises UnusableUrl, without the driver's message, which may quote the password."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise UnusableUrl(f"{variable} does not begin with postgresql://: set it to {SHAPE}")
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise UnusableUrl(f"{variable} is not a URL that PostgreSQL understands: set it to {SHAPE}") from None
    # What a connection would take where the URL says nothing: PGHOST and its kin, and libpq's defaults.
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None
    }
    parts = {**defaults, **{key: str(value) for key, value in given.items() if value is not None}}
    if not parts.get("dbname"):
        raise UnusableUrl(f"{variable} names no database: set it to {SHAPE}")
    target = Target(
        variable=variable,
        url=url,
        hosts=_listed(parts.get("host", "")),
        hostaddrs=_listed(parts.get("hostaddr", "")),
        port=parts.get("port", "5432"),
        database=parts["dbname"],
        role=parts.get("user", ""),
        service=str(given.get("service", "")),
        fell_back=fell_back,
    )
    # A password that is not encoded ends at its first / or @; the rest passes for host, port or database, and
    # would be told in messages as such.
    encoded_at = "%40" in url
    if any("@" in host[1:] for host in target.hosts) or ("@" in target.database and not encoded_at):
        raise UnusableUrl(f"{variable} holds an @ too many: set it to {SHAPE}")
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in _listed(target.port)):
        raise UnusableUrl(f"{variable} names a port that is none: set it to {SHAPE}")
    return target


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part)


def resolve(host: str) -> tuple[str, ...]:
    """Every address of a host name. Raises OSError when it has none."""
    return tuple(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def is_local(target: Target, resolve: Callable[[str], Iterable[str]] = resolve) -> bool:
    """Whether every address the target may lead to is this machine's: loopback, or a socket.

    A name that cannot be resolved is not local, nor is an entry of a service file: what cannot be seen is
    never taken for safe.
    """
    if target.service:
        return False
    if target.hostaddrs:
        return all(is_loopback(address) for address in target.hostaddrs)
    for host in target.hosts:
        if host.startswith(("/", "@")):
            continue
        try:
            addresses = tuple(resolve(host))
        except (OSError, UnicodeError):
            return False
        if not addresses or not all(is_loopback(address) for address in addresses):
            return False
    return True


def is_loopback(address: str) -> bool:
    """Whether an IP address in text is a loopback one, an IPv4 address dressed as IPv6 included."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback

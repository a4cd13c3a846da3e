"""Who a process of this package is, as PostgreSQL shows it."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version

LONGEST = 63  # bytes; PostgreSQL cuts what is longer, and would cut the process id


def application_name(role: str) -> str:
    """`alpimonitor-ROLE VERSION HOST PID` of this process, in ASCII, the host cut to fit."""
    begin, end = f"alpimonitor-{role} {version('alpimonitor')[:20]} ", f" {os.getpid()}"
    host = "".join(character if " " < character < "\x7f" else "?" for character in socket.gethostname())
    return begin + host[: LONGEST - len(begin) - len(end)] + end

"""Passwords, without the server ever being told one: it gets the verifier that it would have made of it."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode

import psycopg

VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<rounds>\d+):(?P<salt>[^$]+)\$(?P<stored>[^:]+):.+")


def verifier(connection: psycopg.Connection, role: str, password: str) -> str:
    """What ALTER ROLE … PASSWORD takes in place of the password. Computed here, by libpq."""
    return connection.pgconn.encrypt_password(
        password.encode(), role.encode(), algorithm=b"scram-sha-256"
    ).decode()


def is_of(stored: str | None, password: str) -> bool:
    """Whether a stored verifier is that of `password`; False also where it cannot be told (RFC 5802).

    Only of passwords in ASCII: any other would have to be normalised first, as the server does.
    """
    found = VERIFIER.fullmatch(stored or "")
    if found is None or not password.isascii():
        return False
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(found["salt"]), int(found["rounds"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(key).digest(), b64decode(found["stored"]))

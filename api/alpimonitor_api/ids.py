"""Deterministic identifiers: a row restored from its fixture has the identifier it always had.

The identifier of a context row is the UUIDv5 of `table:key|key` in a fixed namespace, its natural keys
NFC-normalised, so that "Evolène" is one key however a keyboard or a file system composed its accent.
"""

from __future__ import annotations

import unicodedata
from uuid import UUID, uuid5

NAMESPACE = UUID("6f1d3b52-0b0e-5a53-9a0c-3d1f5f0a7c11")
"""Never changes: a different namespace would give every row of every database another identifier."""

SEPARATOR = "|"


def normalised(key: str) -> str:
    """The one spelling of a natural key, Unicode form C."""
    return unicodedata.normalize("NFC", key)


def identifier(table: str, *keys: str) -> UUID:
    """Identify the row of `table` with the natural `keys`, in the order the table declares them.

    Raises ValueError for a missing or empty key and for one that contains the separator, because two
    different rows could then share an identifier.
    """
    if not keys:
        raise ValueError(f"a row of {table} needs at least one natural key")
    for key in keys:
        if not key:
            raise ValueError(f"a natural key of {table} is empty")
        if SEPARATOR in key:
            raise ValueError(f"a natural key of {table} must not contain {SEPARATOR!r}: {key!r}")
    return uuid5(NAMESPACE, f"{table}:" + SEPARATOR.join(normalised(key) for key in keys))


def catchment_id(name: str) -> UUID:
    return identifier("catchment", name)


def station_id(ofev_code: str) -> UUID:
    return identifier("station", ofev_code)


def sensor_id(ofev_code: str, parameter: str) -> UUID:
    return identifier("sensor", ofev_code, parameter)


def threshold_id(ofev_code: str, parameter: str) -> UUID:
    return identifier("threshold", ofev_code, parameter)


def glacier_id(name: str) -> UUID:
    return identifier("glacier", name)


def station_glacier_id(ofev_code: str, glacier: str) -> UUID:
    return identifier("station_glacier", ofev_code, glacier)


def withdrawal_id(name: str) -> UUID:
    return identifier("withdrawal", name)

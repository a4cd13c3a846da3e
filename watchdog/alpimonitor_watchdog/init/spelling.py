"""How a name is written: for watchdog.toml, for SQL that people paste, and for what people only read. Pure.

A name may hold anything but a zero byte: quotes, line breaks, escape sequences of a terminal, characters that
reverse what follows. Nothing that cannot be seen is ever written as it is.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def declared(schema: str, table: str) -> str:
    """As probe/names.py reads it back: public.station, public."StationGlacier"."""
    return f"{_part(schema)}.{_part(table)}"


def sql_name(*parts: str) -> str:
    """Quoted for SQL; with U& escapes where a character cannot be seen."""
    return ".".join(_sql_part(part) for part in parts)


def shown(text: str) -> str:
    """For comments and terminals: on one line, and nothing but what can be seen."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def toml_string(text: str) -> str:
    """A TOML string: between single quotes where that spares escapes, else between double ones."""
    if ('"' in text or "\\" in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return f'"{shown(text.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34)))}"'


def _part(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else _quoted(part)


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


def _sql_part(part: str) -> str:
    if part.isprintable():
        return _quoted(part)
    escaped = "".join(
        char if char.isprintable() else f"\\{ord(char):04X}" if ord(char) < 0x10000 else f"\\+{ord(char):06X}"
        for char in part.replace("\\", "\\\\")
    )
    return "U&" + _quoted(escaped)


def _escaped(char: str) -> str:
    return _SHORT.get(char) or (f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}")

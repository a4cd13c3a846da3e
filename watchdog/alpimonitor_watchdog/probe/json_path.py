"""Paths into a JSON document: `ingestion.lastRun`, `data[0].name`. Pure."""

from __future__ import annotations

import re

Steps = tuple[str | int, ...]
"""Keys as text, positions in a list as numbers."""

_KEY = r"[^.\[\]\s]+"
_POSITION = r"\[\d{1,6}\]"
_PATH = re.compile(rf"({_KEY}|{_POSITION})(\.{_KEY}|{_POSITION})*")
_STEP = re.compile(rf"(?P<position>{_POSITION})|(?P<key>{_KEY})")


class NotThere(Exception):
    """The document has nothing at that path. The text says which step found nothing."""


def parse(path: str) -> Steps:
    """Raises ValueError for anything but dotted keys and [n]."""
    if _PATH.fullmatch(path) is None:
        raise ValueError("not a path; write keys and positions such as ingestion.lastRun or data[0].name")
    return tuple(step["key"] or int(step["position"].strip("[]")) for step in _STEP.finditer(path))


def find(document: object, steps: Steps) -> object:
    """The value at a path. Raises NotThere."""
    value = document
    for depth, step in enumerate(steps, start=1):
        match value, step:
            case dict(), str() if step in value:
                value = value[step]
            case list(), int() if step < len(value):
                value = value[step]
            case _:
                raise NotThere(f"there is no {written(steps[:depth])}")
    return value


def written(steps: Steps) -> str:
    """A path as text."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")

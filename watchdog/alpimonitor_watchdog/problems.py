"""pydantic's complaints about watchdog.toml as lines for a person: place, what is wrong, what to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Location = tuple[int | str, ...]


class SettingsError(Exception):
    """The sidecar cannot start with these settings (exit code 2). The text is for the operator."""


def described(error: ValidationError, model: type[BaseModel], written: Mapping[str, Any]) -> list[str]:
    """One line for each problem. Values are never shown: one may be a secret in the wrong place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    places = [problem["loc"] for problem in found]
    return [
        _line(problem["type"], problem["msg"], problem["loc"], model, written)
        for problem in found
        # A list counts as empty when nothing in it is usable; what is wrong in it is said already.
        if not (problem["type"] == "too_short" and _goes_deeper(problem["loc"], places))
    ]


def _goes_deeper(place: Location, places: list[Location]) -> bool:
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


def _line(kind: str, said: str, loc: Location, model: type[BaseModel], written: Mapping[str, Any]) -> str:
    place = _place(loc, written)
    match kind:
        case "extra_forbidden":
            known = sorted(_keys_at(loc[:-1], model))
            close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
            remedy = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            return f"{place} is not a key that is known; {remedy}"
        case "missing":
            return f"{place} is missing"
        case "too_short" | "string_too_short":
            return f"{place} is empty"
        case "value_error":
            said = said.removeprefix("Value error, ")
        case _:
            said = said.replace("Input should", "it has to")
    return f"{place}: {said}" if place else said


def _place(loc: Location, written: Mapping[str, Any]) -> str:
    """`[policy] interval`, `[[table]] 'station' floor`: as the file has it, list items by their name."""
    sections: list[str] = []
    rest: list[str] = []
    value: Any = written
    for step in loc:
        value = _inside(value, step)
        if isinstance(step, int):
            name = value.get("name") if isinstance(value, dict) else None
            rest.append(repr(name) if isinstance(name, str) else f"number {step + 1}")
        elif rest or not _is_section(value):
            rest.append(step)
        else:
            sections.append(f"[{step}]" if isinstance(value, list) else step)
    return " ".join([f"[{'.'.join(sections)}]"] * bool(sections) + rest)


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(i, dict) for i in value))


def _inside(value: Any, step: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _keys_at(loc: Location, model: type[BaseModel]) -> set[str]:
    current = model
    for step in loc:
        if isinstance(step, str) and step in current.model_fields:
            current = next(models_in(current.model_fields[step].annotation), current)
    return set(current.model_fields)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that an annotation such as `tuple[Table, ...]` or `Revision | None` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)

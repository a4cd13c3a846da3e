"""What watchdog.toml may hold, told from its declaration: each section with its keys and an example."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from . import durations
from .declaration import Declaration
from .problems import models_in
from .values import Written

EXAMPLES = {
    "[database]": """
        [database]
        url_env = "WATCHDOG_DATABASE_URL"
        environment = "production"
    """,
    "[[table]]": """
        [[table]]
        name = 'public."Station"'
        expected = 7
    """,
    "[revision]": """
        [revision]
        query = "SELECT version_num FROM alembic_version"
        allowed = ["0001"]
    """,
    "[ingestion]": """
        [ingestion]
        query = "SELECT stations_seen, started_at, last_success_at FROM last_run"
        expected = 4
        interval = "10m"
    """,
    "[[health]]": """
        [[health]]
        url = "http://127.0.0.1:8000/api/v1/stations"
        expect_json_path = "data"
        expect = 7
    """,
    "[policy]": """
        [policy]
        confirm_for = "30s"
        heal_budget = 1
    """,
    "[evidence]": """
        [evidence]
        queries = { reloads = "SELECT at, who, rows FROM reload ORDER BY at DESC LIMIT 20" }
    """,
    "[healing]": """
        [healing]
        mode = "on"
    """,
    "[heal.command]": """
        [heal.command]
        plan = ["reload-context", "--dry-run", "--json"]
        run = ["reload-context"]

        [heal.command.environment]
        PGAPPNAME = "reload-context"
    """,
    "[[maintenance]]": """
        [[maintenance]]
        reason = "the yearly reload"
        start = 2026-12-01T20:00:00Z
        end = 2026-12-01T22:00:00Z
    """,
    "[[channel]]": """
        [[channel]]
        name = "on-call"
        url_env = "WATCHDOG_PAGE_URL"
        tags = ["notify", "page"]
    """,
    "[heartbeat]": """
        [heartbeat]
        url_env = "HEARTBEAT_URL"
        every = "60s"
    """,
}


@dataclass(frozen=True)
class Key:
    """A key of a section. `default` is written as in the file; None where there is none."""

    name: str
    shape: str  # what its value looks like, bounds included
    required: bool
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Section:
    """A section of the file."""

    heading: str  # [policy], [[table]] when it may come several times
    meaning: str
    keys: tuple[Key, ...]
    example: str  # TOML


def sections() -> tuple[Section, ...]:
    """Every section, in the order of the declaration."""
    return tuple(_sections(Declaration, ()))


def _sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Section]:
    for name, field in model.model_fields.items():
        below = next(models_in(field.annotation), None)
        if below is None:
            continue
        keys = tuple(
            _key(key, inner)
            for key, inner in below.model_fields.items()
            if not any(models_in(inner.annotation))
        )
        if keys:
            dotted = ".".join((*path, name))
            heading = f"[[{dotted}]]" if get_origin(field.annotation) is tuple else f"[{dotted}]"
            yield Section(
                heading,
                inspect.cleandoc(below.__doc__ or ""),
                keys,
                inspect.cleandoc(EXAMPLES.get(heading, "")),
            )
        yield from _sections(below, (*path, name))


def _key(name: str, field: FieldInfo) -> Key:
    default = None
    if not field.is_required():
        value = field.get_default(call_default_factory=True)
        default = None if value is None else _as_written(value, is_duration=_is_duration(field.metadata))
    return Key(
        name=name,
        shape=shape(field.annotation, field.metadata),
        required=field.is_required(),
        default=default,
        meaning=field.description or "",
    )


def shape(annotation: Any, metadata: Sequence[object] = ()) -> str:
    """What a value of this type looks like, in words."""
    metadata = [part for found in metadata for part in _parts(found)]
    if get_origin(annotation) is Annotated:
        kind, *more = get_args(annotation)
        return shape(kind, [*more, *metadata])
    if get_origin(annotation) in (Union, UnionType):
        choices = dict.fromkeys(shape(choice) for choice in get_args(annotation) if choice is not NoneType)
        return " or ".join(choices)
    written = [part.shape for part in metadata if isinstance(part, Written)]
    limits = "" if written and not _is_duration(metadata) else _limits(metadata)
    return (written[-1] if written else _of_kind(annotation)) + limits


def _parts(found: object) -> Sequence[object]:
    return found.metadata if isinstance(found, FieldInfo) else (found,)


def _of_kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is tuple:
        return f"list of: {shape(get_args(annotation)[0])}"
    if origin is dict:
        return "table of texts"
    if origin is Literal:
        return " or ".join(_as_written(word) for word in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(_as_written(word) for word in annotation)
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]


def _limits(metadata: Sequence[object]) -> str:
    is_duration = _is_duration(metadata)
    limits = []
    for part in metadata:
        match part:
            case annotated_types.Ge(ge=bound):
                limits.append(f"at least {_as_written(bound, is_duration=is_duration)}")
            case annotated_types.Gt(gt=bound):
                limits.append(f"above {_as_written(bound, is_duration=is_duration)}")
            case annotated_types.Le(le=bound):
                limits.append(f"at most {_as_written(bound, is_duration=is_duration)}")
            case annotated_types.MinLen(min_length=least):
                limits.append(f"at least {least}")
    return "".join(f", {limit}" for limit in limits)


def _is_duration(metadata: Sequence[object]) -> bool:
    return any(isinstance(part, BeforeValidator) and part.func is durations.seconds for part in metadata)


def _as_written(value: Any, *, is_duration: bool = False) -> str:
    """A value as TOML has it."""
    if is_duration:
        return json.dumps(durations.written(value))
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        return f"[{', '.join(_as_written(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)

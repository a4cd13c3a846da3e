"""The kinds of value that watchdog.toml holds: what each has to look like, and how the reference names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from .durations import seconds
from .probe import json_path

_STATEMENT = re.compile(r"\s*(select|with|table|values|show)\b", re.IGNORECASE)
_SELECT = re.compile(r"\s*(select|with|table)\b", re.IGNORECASE)
# What may have a semicolon in it that ends nothing: literals, quoted names, comments, dollar quotes.
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(\$(?:[a-z_]\w*)?\$).*?\1""",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Written:
    """How people are told to write a value of this kind. The last one of an annotation counts."""

    shape: str


def checked(check: Callable[[str], object]) -> AfterValidator:
    """Accept a text that `check` does not raise ValueError for."""

    def validate(value: str) -> str:
        check(value)
        return value

    return AfterValidator(validate)


def _check_address(value: str) -> None:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("not an address; write it as http://host:port/path")
    if parts.password is not None:
        raise ValueError("an address with a password in it; it would be shown in logs and on the status page")


def _check_statement(value: str) -> None:
    if _STATEMENT.match(value) is None:
        raise ValueError(
            "not a statement that only reads; it has to begin with SELECT, WITH, TABLE, VALUES or SHOW"
        )


def _check_select(value: str) -> None:
    bare = _QUOTED.sub(" ", value)
    if _SELECT.match(bare) is None or ";" in bare:
        raise ValueError("not one statement, without a semicolon, that begins with SELECT, WITH or TABLE")


def _check_query_name(value: str) -> None:
    if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", value) is None:
        raise ValueError("not a name for a query; write lower-case letters, digits and _")


def _check_variable(value: str) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError(
            "not the name of an environment variable; the value itself does not belong in this file"
        )


def _check_channel_name(value: str) -> None:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", value) is None:
        raise ValueError("not a name for a channel; write lower-case letters, digits, - and _")


Text = Annotated[str, Field(min_length=1), Written("text")]
Duration = Annotated[float, BeforeValidator(seconds), Written("duration")]
Lasting = Annotated[Duration, Field(gt=0)]
Moment = Annotated[AwareDatetime, Written("date and time with its offset")]
Address = Annotated[Text, checked(_check_address), Written("http or https address")]
Path = Annotated[Text, checked(json_path.parse), Written("JSON path, such as `a.b[0].c`")]
Statement = Annotated[Text, checked(_check_statement), Written("SQL that only reads")]
Select = Annotated[Text, checked(_check_select), Written("a SELECT")]
QueryName = Annotated[Text, checked(_check_query_name), Written("lower-case letters, digits and _")]
Variable = Annotated[Text, checked(_check_variable), Written("name of an environment variable")]
ChannelName = Annotated[Text, checked(_check_channel_name), Written("lower-case letters, digits, - and _")]
Argv = Annotated[tuple[Text, ...], Field(min_length=1), Written("program and its arguments, as a list")]
Times = Annotated[int, Field(ge=1)]

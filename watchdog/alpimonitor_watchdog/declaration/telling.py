"""Whom to tell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..core.words import Tag
from ..values import ChannelName, Lasting, Variable
from .section import Section


class Channel(Section):
    """Where notifications go, as often as there are places. Without any, nobody is notified."""

    name: ChannelName = Field(description="shown in logs, in metrics and on the page")
    url_env: Variable = Field(
        description="the variable that holds its apprise URL; NAME_FILE may name a file that does"
    )
    tags: Annotated[tuple[Tag, ...], Field(min_length=1)] = Field(
        (Tag.NOTIFY,),
        description="notify: hears of everything at once; page: only of what needs a person",
    )
    required: bool = Field(
        True,
        description="false: left out, with a warning, while its variable is not set; true: fatal at start",
    )


class Heartbeat(Section):
    """A sign of life to somebody who misses it. Without effect until the heartbeat is sent."""

    url_env: Variable = Field(description="the variable that holds the address")
    every: Lasting = Field(60.0, description="between two signs")

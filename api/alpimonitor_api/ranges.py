"""Which means answer a question about a range of times, and which questions are too large. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from alpimonitor_api.errors import Problem
from alpimonitor_api.queries.measurements import MAX_POINTS, Aggregate

LONGEST: Mapping[Aggregate, timedelta] = {
    Aggregate.RAW: timedelta(days=31),
    Aggregate.HOURLY: timedelta(days=731),  # two years, one of them a leap year
    Aggregate.DAILY: timedelta(days=10_958),  # thirty years, eight of them leap years
}

COARSER: Mapping[Aggregate, Aggregate] = {
    Aggregate.RAW: Aggregate.HOURLY,
    Aggregate.HOURLY: Aggregate.DAILY,
}


def chosen_aggregate(span: timedelta) -> Aggregate:
    """What is given when nothing is asked for: up to a day raw, up to a week hourly, else daily."""
    if span <= timedelta(hours=24):
        return Aggregate.RAW
    if span <= timedelta(days=7):
        return Aggregate.HOURLY
    return Aggregate.DAILY


def range_problem(begin: datetime, end: datetime, aggregate: Aggregate) -> Problem | None:
    """What is wrong with the range, with the remedy; None when it can be answered."""
    if begin >= end:
        return Problem("from", "must be earlier than to")
    longest = LONGEST[aggregate]
    if end - begin > longest:
        remedy = f"take a range of at most {longest.days} days"
        if aggregate in COARSER:
            remedy += f", or aggregate={COARSER[aggregate].value}"
        return Problem("to", f"is too far from from for aggregate={aggregate.value}: {remedy}")
    return None


def too_many_points(aggregate: Aggregate) -> Problem:
    remedy = "take a shorter range or one parameter"
    if aggregate in COARSER:
        remedy += f", or aggregate={COARSER[aggregate].value}"
    return Problem("to", f"the range holds more than {MAX_POINTS} points: {remedy}")

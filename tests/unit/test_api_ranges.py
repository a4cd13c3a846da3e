"""Which means answer a range of times, and which ranges are too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alpimonitor_api.queries.measurements import Aggregate
from alpimonitor_api.ranges import chosen_aggregate, range_problem, too_many_points

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("span", "aggregate"),
    [
        (INSTANT, Aggregate.RAW),
        (timedelta(hours=24), Aggregate.RAW),
        (timedelta(hours=24) + INSTANT, Aggregate.HOURLY),
        (timedelta(days=7), Aggregate.HOURLY),
        (timedelta(days=7) + INSTANT, Aggregate.DAILY),
    ],
)
def test_the_aggregate_is_chosen_by_the_range(span: timedelta, aggregate: Aggregate) -> None:
    assert chosen_aggregate(span) is aggregate


@pytest.mark.parametrize(
    ("aggregate", "end", "remedy"),
    [
        (Aggregate.RAW, BEGIN + timedelta(days=31), "at most 31 days, or aggregate=hourly"),
        (Aggregate.HOURLY, datetime(2026, 1, 1, tzinfo=UTC), "at most 731 days, or aggregate=daily"),
        (Aggregate.DAILY, datetime(2054, 1, 1, tzinfo=UTC), "at most 10958 days"),
    ],
)
def test_the_longest_range_is_answered_and_a_longer_one_refused_with_the_remedy(
    aggregate: Aggregate, end: datetime, remedy: str
) -> None:
    assert range_problem(BEGIN, end, aggregate) is None
    problem = range_problem(BEGIN, end + INSTANT, aggregate)
    assert problem is not None
    assert problem.parameter == "to"
    assert problem.message.endswith(remedy)


def test_a_range_has_to_go_forward() -> None:
    for end in (BEGIN, BEGIN - INSTANT):
        problem = range_problem(BEGIN, end, Aggregate.RAW)
        assert problem is not None
        assert (problem.parameter, problem.message) == ("from", "must be earlier than to")


def test_too_many_points_name_the_coarser_aggregate_while_there_is_one() -> None:
    assert "aggregate=hourly" in too_many_points(Aggregate.RAW).message
    assert "aggregate=daily" in too_many_points(Aggregate.HOURLY).message
    assert "aggregate=" not in too_many_points(Aggregate.DAILY).message

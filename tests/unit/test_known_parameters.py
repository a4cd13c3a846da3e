"""What is said of query parameters that a route does not know."""

from __future__ import annotations

import pytest

from alpimonitor_api.routes.known_parameters import misunderstood

KNOWN = ("catchmentId", "isActive")
THOSE = "This route takes catchmentId, isActive"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], []),
        (["isActive", "catchmentId"], []),
        (["isactive"], [("isactive", f"is not known here; did you mean isActive? {THOSE}")]),
        (["catchment_id"], [("catchment_id", f"is not known here; did you mean catchmentId? {THOSE}")]),
        (["zebra"], [("zebra", f"is not known here. {THOSE}")]),
        ([""], [("", f"is not known here. {THOSE}")]),
        (["isActive"] * 3, [("isActive", "is given 3 times: give it once")]),
        (["zebra", "zebra"], [("zebra", f"is not known here. {THOSE}")]),
        (["z" * 100], [("z" * 60 + "…", f"is not known here. {THOSE}")]),
        (
            ["zebra", "isActive", "isActive"],
            [("zebra", f"is not known here. {THOSE}"), ("isActive", "is given 2 times: give it once")],
        ),
    ],
)
def test_an_unknown_parameter_is_told_with_the_nearest_known_one(
    given: list[str], told: list[tuple[str, str]]
) -> None:
    assert [(problem.parameter, problem.message) for problem in misunderstood(given, KNOWN)] == told


def test_of_a_thousand_unknown_parameters_ten_are_told() -> None:
    assert len(misunderstood(map(str, range(1000)), KNOWN)) == 10


def test_a_route_without_parameters_says_that_it_takes_none() -> None:
    (problem,) = misunderstood(["page"], ())
    assert problem.message == "is not known here: this route takes no query parameter"

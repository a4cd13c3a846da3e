"""What a body may ask of a threshold: everything else is refused, member by member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_api.errors import ApiError
from alpimonitor_api.tuning import BODY, Wish, wish_of

JSON = "application/json"
GOOD = {"vigilanceValue": 10, "alertValue": 20.5, "direction": "ABOVE"}
VALUES = "must be a number above 0, in the unit of the sensor"
SEND = "send an object with vigilanceValue, alertValue and direction"


def refused(body: bytes, content_type: str | None = JSON) -> dict[str, str]:
    with pytest.raises(ApiError) as error:
        wish_of(content_type, body)
    assert error.value.status == 400
    error.value.response()  # it can be written, whatever was sent
    return {problem.parameter: problem.message for problem in error.value.problems}


def without(member: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != member}


def test_numbers_are_taken_with_and_without_decimals() -> None:
    wish = wish_of("Application/JSON; charset=utf-8", json.dumps(GOOD).encode())
    assert wish == Wish(vigilanceValue=10.0, alertValue=20.5, direction="ABOVE")


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    assert refused(json.dumps(GOOD).encode(), content_type) == {"Content-Type": "must be application/json"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"vigilanceValue": 1,}', b"[" * 10_000, b'{"\\ud800": 1}']
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    assert refused(body) == {"body": f"is no JSON: {SEND}"}


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"x"', b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert refused(body) == {"body": f"is no JSON object: {SEND}"}


@pytest.mark.parametrize("member", GOOD)
def test_each_member_is_required(member: str) -> None:
    told = refused(json.dumps(without(member)).encode())
    assert list(told) == [member]
    assert told[member].startswith("is required: it must be ")


@pytest.mark.parametrize("member", ["vigilanceValue", "alertValue"])
@pytest.mark.parametrize(
    "value",
    ["0", "-0.0", "-1", "NaN", "Infinity", "-Infinity", "1e999", "1e-999", "true", "null", '"5"', "[]", "{}"],
)
def test_a_value_is_a_finite_number_above_zero(member: str, value: str) -> None:
    body = json.dumps(without(member)).removesuffix("}") + f', "{member}": {value}}}'
    assert refused(body.encode()) == {member: VALUES}


@pytest.mark.parametrize("value", ['"above"', '"SIDEWAYS"', "null", "1", "true", '["ABOVE"]'])
def test_a_direction_is_one_of_two_words(value: str) -> None:
    body = json.dumps(without("direction")).removesuffix("}") + f', "direction": {value}}}'
    assert refused(body.encode()) == {"direction": "must be ABOVE (too much water) or BELOW (too little)"}


def test_members_that_nobody_knows_are_refused_and_not_shown_at_any_length() -> None:
    told = refused(json.dumps({**GOOD, "tunedBy": "me", "x" * 500: 1}).encode())
    assert set(told) == {"tunedBy", "x" * 60}
    assert told["tunedBy"] == "is not known here: send vigilanceValue, alertValue and direction"
    assert len(refused(json.dumps(dict.fromkeys(map(str, range(500)), 1)).encode())) == 10


def test_every_member_that_is_wrong_is_named_at_once() -> None:
    assert set(refused(b'{"vigilanceValue": 0, "direction": "UP", "more": 1}')) == {
        "vigilanceValue", "alertValue", "direction", "more",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("vigilance", "alert", "direction", "right"),
    [
        (1, 2, "ABOVE", True), (2, 2, "ABOVE", False), (3, 2, "ABOVE", False),
        (2, 1, "BELOW", True), (2, 2, "BELOW", False), (2, 3, "BELOW", False),
        (1, 1 + 2**-52, "ABOVE", True), (1 + 2**-52, 1, "BELOW", True),
        (5e-324, 1.7e308, "ABOVE", True),
    ],
)  # fmt: skip
def test_the_alert_lies_beyond_the_vigilance_in_the_direction(
    vigilance: float, alert: float, direction: str, right: bool
) -> None:
    body = json.dumps({"vigilanceValue": vigilance, "alertValue": alert, "direction": direction}).encode()
    if right:
        wish = wish_of(JSON, body)
        assert (wish.vigilance_value, wish.alert_value, wish.direction) == (vigilance, alert, direction)
    else:
        beyond = "above" if direction == "ABOVE" else "below"
        assert refused(body) == {
            "alertValue": f"must be {beyond} vigilanceValue ({vigilance:g}) when direction is {direction}"
        }


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*GOOD, "other"]) | st.text(), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_sent_is_a_wish_or_a_refusal(body: bytes) -> None:
    refusal = None
    try:
        wish = wish_of(JSON, body)
    except ApiError as error:
        refusal = error
    if refusal is not None:
        assert refusal.response().status_code == 400
        return
    above = wish.direction == "ABOVE"
    low, high = sorted((wish.vigilance_value, wish.alert_value), reverse=not above)
    assert (low, high) == (wish.vigilance_value, wish.alert_value)
    assert low != high
    assert min(low, high) > 0


def test_the_document_states_members_bounds_and_that_there_are_no_others() -> None:
    schema = BODY["content"]["application/json"]["schema"]  # type: ignore[index]
    assert set(schema["required"]) == set(GOOD)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["alertValue"]["exclusiveMinimum"] == 0
    assert schema["properties"]["direction"]["enum"] == ["ABOVE", "BELOW"]
    assert "$ref" not in json.dumps(schema)

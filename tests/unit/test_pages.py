"""Pages of lists: which rows one holds, and which cannot be asked for."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from alpimonitor_api.pages import (
    FIRST_PAGE,
    LARGEST_PAGE_SIZE,
    LAST_PAGE,
    PAGE_HEADERS,
    Page,
    PageNumber,
    PageSize,
)

LARGEST_BIGINT = 2**63 - 1

NUMBER: TypeAdapter[int] = TypeAdapter(PageNumber)
SIZE: TypeAdapter[int] = TypeAdapter(PageSize)


@pytest.mark.parametrize(
    ("number", "size", "offset"),
    [(1, 50, 0), (2, 50, 50), (3, 1, 2), (7, 200, 1200), (LAST_PAGE, 1, LAST_PAGE - 1)],
)
def test_a_page_begins_where_the_one_before_ends(number: int, size: int, offset: int) -> None:
    page = Page(number, size)
    assert (page.limit, page.offset) == (size, offset)


def test_the_offset_of_the_last_page_is_one_that_postgresql_takes() -> None:
    assert Page(LAST_PAGE, LARGEST_PAGE_SIZE).offset + LARGEST_PAGE_SIZE < LARGEST_BIGINT


def test_the_headers_of_a_page_are_those_of_the_document() -> None:
    headers = Page(3, 20).headers(41)
    assert headers == {"X-Total-Count": "41", "X-Page": "3", "X-Page-Size": "20"}
    assert headers.keys() == PAGE_HEADERS.keys()


@pytest.mark.parametrize(("number", "size"), [(0, 1), (-1, 1), (LAST_PAGE + 1, 1), (1, 0), (1, 201)])
def test_a_page_that_is_not_given_cannot_be_made(number: int, size: int) -> None:
    with pytest.raises(ValueError, match="there is no page"):
        Page(number, size)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+1", "1.0", "1e1", "1_0", " 1", "x", "²", "\u0661", "9" * 5000, str(LAST_PAGE + 1)],
)
def test_the_number_of_a_page_is_digits_within_bounds(text: str) -> None:
    with pytest.raises(ValidationError, match=f"must be a whole number from 1 to {LAST_PAGE}"):
        NUMBER.validate_python(text)


def test_the_bounds_themselves_can_be_asked_for() -> None:
    assert [NUMBER.validate_python(text) for text in ("1", "007", str(LAST_PAGE))] == [
        FIRST_PAGE,
        7,
        LAST_PAGE,
    ]
    assert [SIZE.validate_python(text) for text in ("1", "200")] == [1, LARGEST_PAGE_SIZE]
    with pytest.raises(ValidationError, match="must be a whole number from 1 to 200"):
        SIZE.validate_python("201")

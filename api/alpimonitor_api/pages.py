"""Lists in pages: how a page is asked for, which rows it holds, what its headers say. Pure.

A route takes `page: PageNumber = FIRST_PAGE, page_size: PageSize = USUAL_PAGE_SIZE`, hands `Page(page,
page_size)`'s limit and offset to its statement and the number of all rows to `Page.headers`. In the document
the headers are `responses={200: {"headers": PAGE_HEADERS}}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

FIRST_PAGE = 1
LAST_PAGE = 10_000_000
"""Far behind every list, and its offset still fits a bigint: no page that may be asked for fails."""

USUAL_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 200

PAGE_HEADERS = {
    name: {"description": description, "required": True, "schema": {"type": "integer"}}
    for name, description in (
        ("X-Total-Count", "How many rows there are on all pages."),
        ("X-Page", "The number of this page, from 1."),
        ("X-Page-Size", "How many rows a page holds at most."),
    )
}
"""What /openapi.json says of the headers of a page."""


@dataclass(frozen=True)
class Page:
    """One page of a list. Raises ValueError for one that the API does not give."""

    number: int  # from 1
    size: int  # rows

    def __post_init__(self) -> None:
        if not (FIRST_PAGE <= self.number <= LAST_PAGE and 1 <= self.size <= LARGEST_PAGE_SIZE):
            raise ValueError(f"there is no page {self.number} of {self.size} rows")

    @property
    def limit(self) -> int:
        return self.size

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def headers(self, total: int) -> dict[str, str]:
        """`total`: the rows on all pages. A page behind the last is empty, not an error: rows come and go."""
        return {"X-Total-Count": str(total), "X-Page": str(self.number), "X-Page-Size": str(self.size)}


def _whole_number(lowest: int, highest: int) -> Callable[[object], object]:
    """Only digits: pydantic would take `1.0` and `1_000`, too, and say less of what it refuses."""

    def check(value: object) -> object:
        if isinstance(value, str):
            if re.fullmatch(r"[0-9]{1,12}", value) is None or not lowest <= int(value) <= highest:
                raise ValueError(f"must be a whole number from {lowest} to {highest}")
            return int(value)
        return value

    return check


PageNumber = Annotated[
    int,
    Query(alias="page", ge=FIRST_PAGE, le=LAST_PAGE, description="Which page, from 1."),
    BeforeValidator(_whole_number(FIRST_PAGE, LAST_PAGE)),
]
PageSize = Annotated[
    int,
    Query(
        alias="pageSize",
        ge=1,
        le=LARGEST_PAGE_SIZE,
        description=f"How many rows a page holds at most, 1 to {LARGEST_PAGE_SIZE}.",
    ),
    BeforeValidator(_whole_number(1, LARGEST_PAGE_SIZE)),
]

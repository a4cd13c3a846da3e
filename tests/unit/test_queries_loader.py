"""The file of statements: each named and described, nothing assembled from input."""

from __future__ import annotations

import re

import pytest

from alpimonitor_watchdog.probe.queries import QUERIES, QueriesError, parse, queries


def test_a_statement_has_its_name_its_description_and_its_text() -> None:
    found = parse(
        "-- A preamble.\n\n"
        "-- name: first\n-- What it\n-- is for.\nSELECT 1\n-- a comment inside\nFROM x;\n\n"
        "-- name: second\n-- Another.\nSELECT ';';\n"
    )
    assert list(found) == ["first", "second"]
    assert found["first"].description == "What it is for."
    assert found["first"].text == "SELECT 1\n-- a comment inside\nFROM x"
    assert found["second"].text == "SELECT ';'"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("-- name: a\nSELECT 1;", "^a needs a description"),
        ("-- name: a\n-- For nothing.\n", "^a needs a description in comment lines, and then a statement"),
        ("-- name: a\n-- One.\nSELECT 1;\n-- name: a\n-- Two.\nSELECT 2;", "^a is there twice"),
        ("-- name: A-b\n-- One.\nSELECT 1;", "^A-b: a name is lower-case"),
        ("-- name:\n-- One.\nSELECT 1;", "^a statement: a name is lower-case"),
    ],
)
def test_a_statement_that_is_not_whole_is_named(written: str, says: str) -> None:
    with pytest.raises(QueriesError, match=says):
        parse(written)


def test_every_statement_of_the_file_is_one_statement_and_only_reads() -> None:
    for query in queries().values():
        text = re.sub(r"--.*|'[^']*'", "", query.text)
        assert ";" not in text, query.name
        assert re.match(r"(SELECT|WITH)\b", query.text), query.name


def test_every_statement_of_the_file_is_used() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in QUERIES.parent.glob("*.py"))
    unused = {name for name in queries() if f'queries()["{name}"]' not in sources}
    assert not unused

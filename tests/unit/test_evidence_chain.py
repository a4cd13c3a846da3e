"""The chain of evidence: whatever is changed, added or taken away shows, and a loss is told from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alpimonitor_watchdog.store.chain import (
    GENESIS,
    Anchor,
    EvidenceKind,
    EvidenceRow,
    Head,
    canonical,
    holes,
    linked,
    verify,
)

AT = "2026-04-21T12:10:00.000Z"
TEXT = st.text(max_size=5)


def chain(bodies: list[str], *, head: Head | None = None) -> list[EvidenceRow]:
    rows: list[EvidenceRow] = []
    end = head or Head()
    for body in bodies:
        row = linked(end, at=AT, kind="event", incident="i", key=f"k{body}", body=body)
        rows.append(row)
        end = Head(row.hash, row.id)
    return rows


def gap(after: EvidenceRow, lost: list[list[int]]) -> EvidenceRow:
    head = Head(after.hash, after.id)
    return linked(head, at=AT, kind="gap", incident=None, key=None, body=canonical({"lost": lost}))


CHAINS = st.lists(TEXT, min_size=2, max_size=8).map(chain)


def test_a_hash_is_what_the_documentation_says() -> None:
    (row,) = chain(['{"table":"Bäche"}'])
    preimage = (
        f'["{GENESIS}",1,"{AT}","event","i","k{{\\"table\\":\\"Bäche\\"}}","{{\\"table\\":\\"Bäche\\"}}"]'
    )
    assert row.hash == hashlib.sha256(preimage.encode()).hexdigest()
    without = linked(Head(), at=AT, kind="gap", incident=None, key=None, body="{}")
    assert (
        without.hash == hashlib.sha256(f'["{GENESIS}",1,"{AT}","gap",null,null,"{{}}"]'.encode()).hexdigest()
    )


@given(CHAINS)
def test_a_chain_that_nobody_touched_holds_and_every_head_it_had_is_in_it(rows: list[EvidenceRow]) -> None:
    for number, row in enumerate(rows, 1):
        found = verify(Anchor(), rows, row.hash)
        assert found.holds
        assert (found.rows, found.head) == (len(rows), Head(rows[-1].hash, len(rows)))
        assert (found.sought_at, found.after_sought) == (number, len(rows) - number)


@given(CHAINS, st.data())
def test_an_edit_of_any_column_shows(rows: list[EvidenceRow], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(["at", "kind", "incident", "key", "body", "previous", "hash"]))
    value = data.draw(TEXT | st.just(GENESIS) | st.none() | st.binary(max_size=2))
    assume(value != getattr(rows[number], column))
    edited = [*rows[:number], replace(rows[number], **{column: value}), *rows[number + 1 :]]
    found = verify(Anchor(), edited)
    assert found.broken[0].id in (number + 1, number + 2)


@given(CHAINS, st.data())
def test_an_edit_with_its_own_hash_computed_anew_shows_at_the_next_row(
    rows: list[EvidenceRow], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(rows) - 2))
    before = Head(rows[number].previous, number)
    forged = linked(before, at=AT, kind="event", incident="i", key=None, body="forged")
    found = verify(Anchor(), [*rows[:number], forged, *rows[number + 1 :]])
    assert [(link.id, link.what, link.expected) for link in found.broken] == [
        (number + 2, "previous", forged.hash)
    ]


@given(CHAINS, st.data())
def test_a_deletion_before_the_end_shows(rows: list[EvidenceRow], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(rows) - 2))
    last = data.draw(st.integers(first, len(rows) - 2))
    found = verify(Anchor(), rows[:first] + rows[last + 1 :])
    assert [(link.id, link.what, link.expected) for link in found.broken] == [
        (last + 2, "id", str(first + 1))
    ]


@given(CHAINS, st.data())
def test_a_deletion_after_which_the_rows_are_numbered_anew_shows(
    rows: list[EvidenceRow], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(rows) - 2))
    closed = [replace(row, id=at) for at, row in enumerate(rows[:number] + rows[number + 1 :], 1)]
    assert verify(Anchor(), closed).broken[0].id == number + 1


@given(CHAINS, st.data())
def test_another_order_shows(rows: list[EvidenceRow], data: st.DataObject) -> None:
    one, two = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=2, max_size=2)))
    swapped = list(rows)
    swapped[one], swapped[two] = replace(rows[two], id=one + 1), replace(rows[one], id=two + 1)
    assert verify(Anchor(), swapped).broken[0].id == one + 1


@given(CHAINS, st.data())
def test_an_insertion_shows(rows: list[EvidenceRow], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(rows) - 1))
    before = rows[number - 1] if number else None
    forged = chain(["forged"], head=Head(before.hash, before.id) if before else Head())
    moved = [replace(row, id=row.id + 1) for row in rows[number:]]
    assert verify(Anchor(), [*rows[:number], *forged, *moved]).broken[0].id == number + 2


@given(CHAINS, st.data())
def test_a_missing_end_shows_against_a_head_that_left_before(
    rows: list[EvidenceRow], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, len(rows) - 1))
    without = verify(Anchor(), rows[:kept])
    assert without.holds, "nothing in it can say so"
    assert verify(Anchor(), rows[:kept], rows[-1].hash).sought_at is None
    assert verify(Anchor(), rows, rows[-1].hash).sought_at == len(rows)


@given(CHAINS, CHAINS)
def test_a_chain_that_was_computed_anew_shows_against_a_head_that_left_before(
    rows: list[EvidenceRow], forged: list[EvidenceRow]
) -> None:
    heads = {row.hash for row in rows} - {row.hash for row in forged}
    assert verify(Anchor(), forged).holds
    assert all(verify(Anchor(), forged, head).sought_at is None for head in heads)


@given(CHAINS, st.data())
def test_a_pruned_chain_holds_from_its_anchor_and_from_no_other(
    rows: list[EvidenceRow], data: st.DataObject
) -> None:
    pruned = data.draw(st.integers(1, len(rows)))
    anchor = Anchor(pruned, rows[pruned - 1].hash, pruned, AT)
    found = verify(anchor, rows[pruned:], rows[pruned - 1].hash)
    assert found.holds
    assert (found.sought_at, found.after_sought) == (pruned, len(rows) - pruned)
    if pruned < len(rows):
        assert not verify(Anchor(), rows[pruned:]).holds
        assert not verify(replace(anchor, hash=GENESIS), rows[pruned:]).holds
        assert not verify(replace(anchor, id=pruned - 1), rows[pruned:]).holds


# ---- what a damaged store lost ---


@given(CHAINS, st.data())
def test_what_was_lost_and_said_is_no_break_and_anything_else_is(
    rows: list[EvidenceRow], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.integers(1, len(rows)), min_size=1, max_size=len(rows) - 1))
    left = [row for row in rows if row.id not in lost]
    missing = list(holes(Anchor(), left))
    said = gap(left[-1], [[first, last] for first, last in missing])
    found = verify(Anchor(), [*left, said])
    assert found.holds
    assert found.lost == tuple(missing)
    if len(left) > 1:
        assert not verify(Anchor(), [left[0], *left[2:], said]).holds, "a deletion beside it"


def test_a_gap_that_was_changed_excuses_nothing() -> None:
    rows = chain(["a", "b", "c"])
    honest = gap(rows[2], [])
    forged = replace(honest, body=canonical({"lost": [[2, 2]]}))
    assert verify(Anchor(), [rows[0], rows[2], forged]).broken[0].id == 3


@pytest.mark.parametrize(
    "body", ["nonsense", "[]", '{"lost": 3}', '{"lost": [[1]]}', '{"lost": ["ab"]}', "1"]
)
def test_a_gap_of_another_form_says_nothing(body: str) -> None:
    rows = chain(["a"])
    odd = linked(
        Head(rows[0].hash, 1), at=AT, kind=EvidenceKind.GAP.value, incident=None, key=None, body=body
    )
    assert verify(Anchor(), [*rows, odd]).holds


# ---- canonical JSON ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ({"river": "Bäche"}, '{"river":"Bäche"}'),
        ({"cut": "dr\ud83d"}, '{"cut":"dr?"}'),
        (
            {"at": datetime(2026, 4, 21, 14, tzinfo=timezone(timedelta(hours=2)))},
            '{"at":"2026-04-21T12:00:00Z"}',
        ),
        ({"kind": EvidenceKind.GAP, "pair": (1, "x")}, '{"kind":"gap","pair":[1,"x"]}'),
    ],
)
def test_canonical_json_is_one_text_for_one_value(value: object, text: str) -> None:
    assert canonical(value) == text


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_canonical_json_can_always_be_stored_and_read(value: object) -> None:
    text = canonical({"value": value})
    assert text.encode().decode() == text
    assert canonical(json.loads(text)) == text


def test_a_link_that_does_not_hold_says_what_was_expected_and_what_is_there() -> None:
    rows = chain(["a", "b", "c"])
    told: Callable[[list[EvidenceRow]], str] = lambda left: str(verify(Anchor(), left).broken[0])  # noqa: E731
    assert told([rows[0], rows[2]]) == "row 3: row 2 should stand in its place"
    assert told([rows[0], replace(rows[1], body="x")]).startswith(f"row 2: its hash is {rows[1].hash}, and ")
    other = linked(Head(GENESIS, 1), at=AT, kind="event", incident=None, key=None, body="x")
    assert told([rows[0], other]) == f"row 2: it follows {GENESIS}, and the row before it is {rows[0].hash}"

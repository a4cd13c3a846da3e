"""Evidence in the store: kept at once and once, in order, through a store that fails or is damaged."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_watchdog.core.verdict import Confidence, Verdict, What
from alpimonitor_watchdog.store import EvidenceKind, Head, Item, Store, StoreError, StoreFull
from alpimonitor_watchdog.store import evidence as kept
from alpimonitor_watchdog.store.chain import GENESIS, Verified, digest, verify
from alpimonitor_watchdog.store.connection import Connection
from alpimonitor_watchdog.store.reading import reading
from tests.stored import AT, CHANNELS, INCIDENT, OPENED, opening, store_of_version_1

LATER = AT + timedelta(minutes=5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, AT, CHANNELS)
    yield opened
    opened.close()


def event(number: int, incident: str | None = None, seconds: float = 0) -> Item:
    body = {"id": number, "transaction": 700 + number, "statement": "DELETE FROM station"}
    return Item(EvidenceKind.EVENT, incident, AT + timedelta(seconds=seconds), body)


def numbers(store: Store, incident: str | None = None) -> list[int | str]:
    """The ids of the recorded events, and what every gap is about."""
    bodies = [row["body"] for row in store.evidence(incident)]
    return [body.get("cause") or body["id"] for body in bodies]


def verified(directory: Path, sought: str | None = None) -> Verified:
    with reading(directory) as connection:
        return verify(kept.anchor(connection), kept.every(connection), sought)


def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def no_space(connection: Connection) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(Connection, "transaction", no_space)
    return monkeypatch


# ---- kept ---


def test_evidence_is_kept_in_order_and_each_row_follows_the_one_before(store: Store, tmp_path: Path) -> None:
    assert store.evidence_head == Head(GENESIS, 0)
    store.keep([event(1), event(2, "i")], AT)
    store.keep([event(3)], LATER)
    rows = store.evidence()
    assert numbers(store) == [1, 2, 3]
    assert [row["previous"] for row in rows] == [GENESIS, rows[0]["hash"], rows[1]["hash"]]
    assert [(row["incident"], row["kind"]) for row in rows] == [
        (None, "event"),
        ("i", "event"),
        (None, "event"),
    ]
    assert store.evidence_head == Head(rows[2]["hash"], 3)
    assert verified(tmp_path).holds
    assert [row["id"] for row in store.evidence(limit=2)] == [2, 3]


def test_the_chain_goes_on_in_the_next_process(store: Store, tmp_path: Path) -> None:
    store.keep([event(1)], AT)
    head = store.evidence_head
    store.close()
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as again:
        assert again.evidence_head == head
        again.keep([event(2)], LATER)
        assert again.evidence()[-1]["previous"] == head.hash
    assert verified(tmp_path, head.hash).after_sought == 1


def test_what_is_read_again_after_a_restart_is_kept_once(store: Store, tmp_path: Path) -> None:
    store.keep([event(1), event(1), event(2)], AT)
    store.close()
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as again:
        again.keep([event(1, "i", seconds=9), event(2), event(3)], LATER)
        assert numbers(again) == [1, 2, 3]
    assert verified(tmp_path).holds


def test_an_event_that_was_changed_in_the_database_is_kept_beside_the_first(store: Store) -> None:
    store.keep([event(1)], AT)
    changed = replace(event(1), body={**event(1).body, "statement": "SELECT 1"})
    store.keep([changed], LATER)
    assert [row["body"]["statement"] for row in store.evidence()] == ["DELETE FROM station", "SELECT 1"]


def test_two_fingerprints_of_the_same_content_are_two_pieces(store: Store) -> None:
    fingerprint = Item(EvidenceKind.FINGERPRINT, None, AT, {"timeline": 1})
    store.keep([fingerprint, fingerprint], AT)
    assert store.evidence_head.count == 2


def test_half_a_character_in_a_statement_stops_nothing(store: Store, tmp_path: Path) -> None:
    store.keep([Item(EvidenceKind.EVENT, None, AT, {"statement": "DELETE dr\ud83d\x00"})], AT)
    store.save(opening(), AT)
    assert [row["body"]["statement"] for row in store.evidence()] == ["DELETE dr?\x00"]
    assert verified(tmp_path).holds


def test_a_forged_row_in_its_place_does_not_keep_evidence_out(store: Store, tmp_path: Path) -> None:
    store.keep([event(1)], AT)
    with closing(sqlite3.connect(tmp_path / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("INSERT INTO evidence VALUES (2, 'at', 'event', NULL, NULL, '{}', 'x', 'y')")
    store.keep([event(2)], AT)
    assert numbers(store) == [1, 2]
    assert verified(tmp_path).holds


# ---- of an incident ---


def test_what_was_seen_before_an_incident_had_its_name_is_given_to_it_and_the_chain_stays(
    store: Store, tmp_path: Path
) -> None:
    store.keep([event(1, seconds=-60), event(2, seconds=-1), event(3, "another")], AT)
    before = store.evidence()
    store.save(opening(), AT, [OPENED])
    store.attach(INCIDENT.id, AT - timedelta(seconds=5))
    store.keep([event(4, INCIDENT.id, seconds=1)], AT)
    assert numbers(store, INCIDENT.id) == [2, 4]
    assert store.evidence()[:3] == before
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert found["evidence"] == {"count": 2, "head": store.evidence_head.hash}
    assert verified(tmp_path).holds


def test_the_verdict_is_stored_with_the_incident(store: Store) -> None:
    verdict = Verdict(What.ROWS_DELETED_IN_PLACE, Confidence.CERTAIN, ("7 rows",), reason="cleanup")
    store.save(replace(opening(), incident=replace(INCIDENT, verdict=verdict)), AT)
    (found,) = store.incidents()
    assert found["verdict"]["what"] == "rows_deleted_in_place"
    assert (found["verdict"]["evidence"], found["verdict"]["reason"]) == (["7 rows"], "cleanup")


# ---- while the store takes no write ---


@pytest.mark.parametrize("next_write", ["keep", "save", "attach"])
def test_evidence_that_cannot_be_written_is_in_the_chain_and_written_by_the_next_write(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_write: str
) -> None:
    store.keep([event(1)], AT)
    with monkeypatch.context() as disk:
        full(disk)
        with pytest.raises(StoreFull):
            store.keep([event(2), event(1)], AT)
        with pytest.raises(StoreFull):
            store.keep([event(3), event(2)], AT)
        with pytest.raises(StoreFull):
            store.attach("i", AT)
    head = store.evidence_head
    assert head.count == 3
    assert numbers(store) == [1]
    if next_write == "keep":
        store.keep([], LATER)
    elif next_write == "save":
        store.save(opening(), LATER)
    else:
        store.attach("i", AT)
    assert numbers(store) == numbers(store, "i") == [1, 2, 3]
    assert store.evidence_head == head
    assert verified(tmp_path, head.hash).sought_at == 3


def test_what_memory_has_no_room_for_is_counted_in_a_gap(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "UNWRITTEN_AT_MOST", 3)
    store.keep([event(number) for number in range(10)], AT)
    assert store.evidence_head.count == 10, "the bound is for what cannot be written"
    with monkeypatch.context() as disk:
        full(disk)
        for number in (10, 12, 14):
            with pytest.raises(StoreFull):
                store.keep([event(number), event(number + 1)], AT)
        head = store.evidence_head
    store.save(opening(), LATER)
    store.keep([event(16)], LATER)
    assert numbers(store)[10:] == [10, 11, 12, "not_held", 16]
    assert store.evidence()[13]["body"]["pieces"] == 3
    assert verified(tmp_path, head.hash).sought_at == 13


def test_a_failed_save_leaves_the_evidence_to_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        full(disk)
        with pytest.raises(StoreError):
            store.keep([event(1)], AT)
        with pytest.raises(StoreError):
            store.save(opening(), AT)
    store.save(opening(), LATER)
    store.save(opening(), LATER)
    assert numbers(store) == [1]
    assert verified(tmp_path).holds


# ---- a damaged store ---

PAGE = 4096


def filled(directory: Path, pieces: int = 60) -> bytes:
    """The bytes of a closed store whose evidence fills several pages."""
    with closing(Store.open(directory, AT, CHANNELS)) as store:
        long = [replace(event(n), body={**event(n).body, "inner": "x" * 400}) for n in range(1, pieces + 1)]
        store.keep(long, AT)
        store.attach("i", AT)
    return (directory / "watchdog.sqlite").read_bytes()


def test_a_damaged_store_keeps_the_evidence_that_can_be_read_and_says_what_is_lost(tmp_path: Path) -> None:
    body = filled(tmp_path)
    heads = [row["hash"] for row in rows_of(tmp_path)]
    at = body.index(b'"id":30,') // PAGE * PAGE
    (tmp_path / "watchdog.sqlite").write_bytes(
        body[:at] + random.Random(5).randbytes(PAGE) + body[at + PAGE :]
    )
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert "alpimonitor incident verify" in store.warnings[0]
        left = [number for number in numbers(store) if isinstance(number, int)]
        assert left[0] == 1
        assert left[-1] == 60
        assert 30 not in left
        assert numbers(store, "i") == left
        gap = store.evidence()[-1]
        assert gap["body"]["cause"] == "store_begun_anew"
        ((first, last),) = gap["body"]["lost"]
        assert sorted({*left, *range(first, last + 1)}) == list(range(1, 61))
        store.keep([event(99)], LATER)
    found = verified(tmp_path, heads[0])
    assert found.holds
    assert found.lost == ((first, last),)
    assert (found.sought_at, found.head.count) == (1, 62)


def test_whichever_page_is_lost_the_chain_that_goes_on_holds(tmp_path: Path) -> None:
    body = filled(tmp_path / "whole", pieces=20)
    pieces = set()
    for page in range(len(body) // PAGE):
        directory = tmp_path / str(page)
        directory.mkdir()
        damaged = body[: page * PAGE] + random.Random(5).randbytes(PAGE) + body[(page + 1) * PAGE :]
        (directory / "watchdog.sqlite").write_bytes(damaged)
        with closing(Store.open(directory, LATER, CHANNELS)) as store:
            store.keep([event(99)], LATER)
            pieces.add(len(store.evidence()))
            assert numbers(store)[-2:] == ["store_begun_anew", 99]
        assert verified(directory).holds, page
    assert {2, 22} <= pieces, "all of it lost, and nothing"


def test_a_break_that_somebody_made_is_not_mended_by_a_salvage(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("DELETE FROM evidence WHERE id = 20")
        sqlite.execute("UPDATE evidence SET id = id - 1 WHERE id > 20")
        columns = "previous, id, at, kind, incident, key, body"
        (values,) = sqlite.execute(f"SELECT {columns} FROM evidence WHERE id = 20").fetchall()
        sqlite.execute("UPDATE evidence SET hash = ? WHERE id = 20", (digest(*values),))
        sqlite.execute("INSERT INTO heal (id, reserved_at) VALUES ('h', 'levitation')")  # which is damage
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert "was damaged" in store.warnings[0]
    found = verified(tmp_path)
    assert [link.id for link in found.broken] == [20]


def test_a_store_that_cannot_be_written_goes_on_with_the_chain_in_memory(tmp_path: Path) -> None:
    filled(tmp_path)
    head = rows_of(tmp_path)[-1]["hash"]
    (tmp_path / "watchdog.sqlite").chmod(0o600)
    with closing(sqlite3.connect(tmp_path / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA user_version = 2")
        (tmp_path / "watchdog.sqlite.v2.new").mkdir()  # in the way of the copy
        (tmp_path / "watchdog.sqlite.v2.new" / "file").touch()
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert not store.recordable
        assert numbers(store) == ["store_begun_anew"]
        assert (store.evidence()[0]["previous"], store.evidence_head.count) == (head, 61)


def test_a_store_of_version_1_begins_a_chain(tmp_path: Path) -> None:
    store_of_version_1(tmp_path)
    with closing(Store.open(tmp_path, AT, CHANNELS)) as store:
        assert store.evidence() == []
        found = store.incident(INCIDENT.id)
        assert found is not None
        assert (found["verdict"], found["evidence"]) == (None, {"count": 0, "head": None})
        store.keep([event(1)], AT)
    assert verified(tmp_path).holds


def rows_of(directory: Path) -> list[dict[str, Any]]:
    with reading(directory) as connection:
        return [kept.as_json(row) for row in kept.every(connection)]

"""The archive of raw payloads: where they go, that they are whole, and how a failure is explained."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from alpimonitor_api.ingest import archive

AT = datetime(2026, 7, 1, 12, 3, 4, 5678, tzinfo=UTC)
BODY = b'{"results": {"bindings": []}}'


def test_a_payload_lies_in_its_day_under_its_time_and_hash(tmp_path: Path) -> None:
    path = archive.write(tmp_path / "new" / "archive", BODY, AT)
    digest = hashlib.sha256(BODY).hexdigest()[:12]
    assert path == tmp_path / "new" / "archive" / "2026-07-01" / f"120304.005678Z-{digest}.json.gz"
    assert gzip.decompress(path.read_bytes()) == BODY
    assert archive.read(path) == BODY


def test_day_and_time_are_utc_whatever_the_offset(tmp_path: Path) -> None:
    late = datetime(2026, 7, 2, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    path = archive.write(tmp_path, BODY, late)
    assert path.parent.name == "2026-07-01"
    assert archive.fetched_at(path) == late


def test_the_name_gives_back_when_the_payload_was_fetched(tmp_path: Path) -> None:
    assert archive.fetched_at(archive.write(tmp_path, BODY, AT)) == AT


@pytest.mark.parametrize(
    "name",
    [
        "2026-07-01/payload.json",
        "2026-07-01/120304.005678Z-0123456789ab.json",
        "elsewhere/120304.005678Z-0123456789ab.json.gz",
        "2026-13-01/120304.005678Z-0123456789ab.json.gz",
        "2026-07-01/996104.005678Z-0123456789ab.json.gz",
    ],
)
def test_a_file_of_another_name_has_no_time_of_fetching(name: str) -> None:
    assert archive.fetched_at(Path(name)) is None


def test_nothing_unfinished_is_left_beside_a_payload(tmp_path: Path) -> None:
    path = archive.write(tmp_path, BODY, AT)
    assert list(path.parent.iterdir()) == [path]


def test_the_same_payload_at_the_same_time_is_one_file(tmp_path: Path) -> None:
    assert archive.write(tmp_path, BODY, AT) == archive.write(tmp_path, BODY, AT)
    assert len(list(tmp_path.rglob("*.gz"))) == 1


def test_the_order_of_the_names_is_the_order_of_fetching(tmp_path: Path) -> None:
    times = [AT, AT + timedelta(microseconds=1), AT + timedelta(seconds=1), AT + timedelta(hours=13)]
    paths = [archive.write(tmp_path, str(number).encode(), at) for number, at in enumerate(times)]
    assert sorted(paths) == paths


def test_a_failed_write_names_the_path_the_cause_and_the_remedy(tmp_path: Path) -> None:
    in_the_way = tmp_path / "archive"
    in_the_way.write_text("not a folder")
    with pytest.raises(archive.ArchiveError) as raised:
        archive.write(in_the_way, BODY, AT)
    message = str(raised.value)
    assert str(in_the_way) in message
    assert "could not be written" in message
    assert "LINDAS_ARCHIVE_DIR has to be a folder" in message


def test_a_failed_write_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    path = archive.write(tmp_path, BODY, AT)
    path.unlink()
    path.mkdir()  # the renaming fails
    with pytest.raises(archive.ArchiveError):
        archive.write(tmp_path, BODY, AT)
    assert list(path.parent.iterdir()) == [path]


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    plain = tmp_path / "payload.json"
    plain.write_bytes(BODY)
    assert archive.read(plain) == BODY


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8b", b"\x1f\x8bnonsense", gzip.compress(BODY, mtime=0)[:-9]],
    ids=["only the magic number", "nonsense behind it", "cut off"],
)
def test_a_damaged_archive_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    damaged = tmp_path / "damaged.json.gz"
    damaged.write_bytes(content)
    with pytest.raises(archive.ArchiveError, match=r"damaged\.json\.gz could not be read"):
        archive.read(damaged)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(archive.ArchiveError, match=r"absent\.json could not be read: No such file"):
        archive.read(tmp_path / "absent.json")


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, packed: bool) -> None:
    body = b" " * (archive.LARGEST_PAYLOAD + 1)
    huge = tmp_path / "huge"
    huge.write_bytes(gzip.compress(body, 1) if packed else body)
    with pytest.raises(archive.ArchiveError, match="more than"):
        archive.read(huge)


def test_days_beyond_thirty_go_and_the_thirtieth_stays(tmp_path: Path) -> None:
    for age in (0, 30, 31, 400):
        archive.write(tmp_path, BODY, AT - timedelta(days=age))
    assert archive.expire(tmp_path, AT.date()) == 2
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["2026-06-01", "2026-07-01"]


def test_only_what_the_archive_wrote_expires(tmp_path: Path) -> None:
    old = archive.write(tmp_path, BODY, AT - timedelta(days=40))
    abandoned = old.with_name(f"{archive.UNFINISHED}0123456789abcdef")
    abandoned.write_bytes(b"half")
    note = old.with_name("README")
    note.write_text("somebody's own")
    other = tmp_path / "2026-01-01-notes"
    other.mkdir()
    assert archive.expire(tmp_path, AT.date()) == 1
    assert sorted(tmp_path.rglob("*")) == sorted([old.parent, note, other])


def test_expiring_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(archive.ArchiveError, match="absent could not be read"):
        archive.expire(tmp_path / "absent", date(2026, 7, 1))


def test_the_check_writes_and_reads_back_and_leaves_nothing(tmp_path: Path) -> None:
    archive.check(tmp_path / "archive")
    assert list((tmp_path / "archive").iterdir()) == []


def test_the_check_says_that_the_archive_cannot_be_written(tmp_path: Path) -> None:
    in_the_way = tmp_path / "archive"
    in_the_way.write_text("not a folder")
    with pytest.raises(archive.ArchiveError, match="could not be written"):
        archive.check(in_the_way)

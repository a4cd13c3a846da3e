"""`alpimonitor ingest replay`: the measurement table, rebuilt from the archive's raw payloads."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.replay import NoStations, Replay, Tally, archived
from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.source import Payload
from alpimonitor_api.ingest.store import Store
from alpimonitor_cli.roles import rights
from alpimonitor_cli.roles.names import API
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.processes import environment
from alpimonitor_rehearsal.waiting import wait_until
from tests import running
from tests.databases import name_of
from tests.login_roles import login_role

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
OTHERS = frozenset(gauge.code for gauge in hydrology.gauges()) - {*hydrology.LIVE_CODES, "2135"}
"""All but ours and one more: small payloads."""
A_PAYLOAD = 8  # measurements: two of each of the four stations

Row = tuple[Any, ...]


def payload(at: datetime, **discharges: str) -> bytes:
    """What LINDAS says at that time; `discharges` are other values, by station code with an s before it."""
    bindings = hydrology.bindings(at, without=OTHERS)
    for binding in bindings:
        code = "s" + binding["code"]["value"]
        if code in discharges:
            binding["discharge"]["value"] = discharges[code]
    return hydrology.result(bindings)


def fill(root: Path, count: int, *, begin: datetime = NOW) -> list[Path]:
    """An archive with a payload every ten minutes."""
    times = [begin + number * TEN_MINUTES for number in range(count)]
    return [archive.write(root, payload(at), at) for at in times]


def replay(url: str, root: Path, *, tell: Callable[[int], None] = lambda _: None, **options: Any) -> Tally:
    work = Replay(Store(url), **options)
    files, problems = archived(root, None, None)
    work.tally.problems += problems
    work.run(files, tell=tell)
    return work.tally


def command(tmp_path: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*running.ALPIMONITOR, "ingest", "replay", *words],
        env=environment(tmp_path, {}) | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=running.DEADLINE,
        check=False,
    )


def rows(url: str, statement: str = "SELECT * FROM measurement ORDER BY 1, 2") -> list[Row]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def value(url: str, statement: str) -> Any:
    ((found,),) = rows(url, statement)
    return found


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def sion(url: str) -> list[tuple[datetime, float]]:
    """The discharge of one station, in the order of time."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT recorded_at, value FROM measurement WHERE sensor_id = %s ORDER BY 1",
            (ids.sensor_id("2011", "DISCHARGE"),),
        ).fetchall()


class Bytes:
    def __init__(self, body: bytes) -> None:
        self.body = body

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        return Payload(self.body, fetched_at=clock(), http_status=200)


def one_pass(url: str, root: Path | None, at: datetime, body: bytes) -> Outcome:
    ingestion = Ingestion(Bytes(body), Store(url), archive_root=root, clock=lambda: at, monotonic=lambda: 0.0)
    return ingestion.run().outcome


def test_what_passes_stored_is_rebuilt_to_the_row(seeded_database: str, tmp_path: Path) -> None:
    for number in range(6):
        at = NOW + number * TEN_MINUTES
        assert one_pass(seeded_database, tmp_path, at, payload(at)) is Outcome.SUCCESS
    # The sixth payload again, with one value corrected.
    at += timedelta(minutes=1)
    assert one_pass(seeded_database, tmp_path, at, payload(at, s2011="71.5")) is Outcome.SUCCESS
    stored = rows(seeded_database)
    assert len(stored) == 6 * A_PAYLOAD
    execute(seeded_database, "TRUNCATE measurement")
    tally = replay(seeded_database, tmp_path)
    # Of one sensor and time the latest fetch counts, also where it brought nothing new.
    assert [row[:3] for row in rows(seeded_database)] == [row[:3] for row in stored]
    assert all(again[3] >= before[3] for again, before in zip(rows(seeded_database), stored, strict=True))
    assert (tally.payloads, tally.created, tally.updated, tally.problems) == (7, 6 * A_PAYLOAD, 0, [])
    assert sion(seeded_database)[-1][1] == 71.5


def test_the_real_payload_comes_back(seeded_database: str, lindas_sample: Path, tmp_path: Path) -> None:
    archive.write(tmp_path, lindas_sample.read_bytes(), datetime(2026, 4, 20, 21, 20, tzinfo=UTC))
    tally = replay(seeded_database, tmp_path)
    assert (tally.created, len(tally.seen), len(tally.unknown)) == (8, 4, 229)
    assert sion(seeded_database) == [(datetime(2026, 4, 20, 20, 20, tzinfo=UTC), 68.056)]


def test_a_second_replay_finds_everything_there(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 5)
    assert replay(seeded_database, tmp_path, batch_payloads=2).created == 5 * A_PAYLOAD
    stored = rows(seeded_database)
    again = replay(seeded_database, tmp_path, batch_payloads=2)
    assert (again.payloads, again.created, again.updated) == (5, 0, 0)
    assert rows(seeded_database) == stored


@pytest.mark.parametrize("batch_payloads", [1, 2, 3, 100])
def test_the_value_of_the_latest_fetch_counts_however_payloads_fall_into_batches(
    seeded_database: str, tmp_path: Path, batch_payloads: int
) -> None:
    """Files are made in another order than they were fetched in, as a copied archive has them."""
    for minute, reading in ((4, "4"), (1, "1"), (3, "3"), (2, "2"), (0, "0.5")):
        archive.write(tmp_path, payload(NOW, s2011=reading), NOW + timedelta(minutes=minute))
    tally = replay(seeded_database, tmp_path, batch_payloads=batch_payloads)
    assert [reading for _, reading in sion(seeded_database)] == [4]
    assert tally.created == A_PAYLOAD
    # Fetches that follow each other in one batch come as one.
    assert tally.updated == {1: 4, 2: 2, 3: 1, 100: 0}[batch_payloads]


def test_a_value_of_a_later_fetch_is_never_overwritten(seeded_database: str, tmp_path: Path) -> None:
    archive.write(tmp_path, payload(NOW, s2011="1", s2009="1"), NOW)
    archive.write(tmp_path, payload(NOW, s2011="2", s2009="2"), NOW + timedelta(minutes=2))
    one_pass(seeded_database, None, NOW + timedelta(minutes=1), payload(NOW, s2009="7"))
    one_pass(seeded_database, None, NOW + timedelta(minutes=3), payload(NOW, s2009="7", s2011="7"))
    tally = replay(seeded_database, tmp_path)
    # Sion's 7 was fetched last. The other station's was fetched between the two payloads: the second wins.
    assert sion(seeded_database)[0][1] == 7
    found = value(
        seeded_database,
        f"SELECT value FROM measurement WHERE sensor_id = '{ids.sensor_id('2009', 'DISCHARGE')}'",
    )
    assert (found, tally.updated) == (2, 1)


def test_only_payloads_fetched_in_the_range_are_replayed(seeded_database: str, tmp_path: Path) -> None:
    begin = datetime(2026, 7, 1, 23, 40, tzinfo=UTC)
    fill(tmp_path, 5, begin=begin)
    done = command(
        tmp_path, seeded_database, "--archive", str(tmp_path), "--from", "2026-07-01T23:50:00Z",
        "--to", "2026-07-02T02:10:00+02:00", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["payloads"], told["created"]) == (2, 2 * A_PAYLOAD)
    assert (told["from"], told["to"]) == ("2026-07-01T23:50:00Z", "2026-07-02T00:10:00Z")
    late = timedelta(minutes=3)  # of the stations, at most
    assert all(begin <= at + late + TEN_MINUTES < begin + 4 * TEN_MINUTES for at, _ in sion(seeded_database))


def test_damaged_and_misnamed_files_are_left_out_counted_and_named(
    seeded_database: str, tmp_path: Path
) -> None:
    kept, cut, altered, renamed, page = fill(tmp_path, 5)
    cut.write_bytes(cut.read_bytes()[:-20])
    altered.write_bytes(gzip.compress(payload(NOW, s2011="999")))
    renamed = renamed.rename(renamed.with_name("copy of " + renamed.name))
    page.unlink()
    page = archive.write(tmp_path, b"<html>Maintenance</html>", NOW + timedelta(hours=1))
    stray = tmp_path / "stray.json.gz"
    stray.write_bytes(kept.read_bytes())
    # What is not the archive's own is nobody's loss.
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README").write_text("the archive of raw payloads")
    (kept.parent / f"{archive.UNFINISHED}0123").write_bytes(b"half a pay")
    done = command(tmp_path, seeded_database, "--archive", str(tmp_path), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["outcome"] == "incomplete"
    assert {
        name: told[name] for name in ("payloads", "damaged", "misnamed", "malformed", "expired", "created")
    } == {"payloads": 1, "damaged": 2, "misnamed": 2, "malformed": 1, "expired": 0, "created": A_PAYLOAD}
    assert {problem["path"]: problem["trouble"] for problem in told["problems"]} == {
        str(cut): "damaged",
        str(altered): "damaged",
        str(renamed): "misnamed",
        str(stray): "misnamed",
        str(page): "malformed",
    }
    for path in (cut, altered, renamed, stray, page):
        assert str(path) in done.stderr
    assert sion(seeded_database)[0][1] != 999


def test_a_payload_that_lindas_sent_malformed_is_nobodys_loss(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    archive.write(tmp_path, b"<html>Maintenance</html>", NOW + TEN_MINUTES)
    done = command(tmp_path, seeded_database, "--archive", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "1 payloads replayed" in done.stdout
    assert "files left out: 1 malformed" in done.stdout


def test_a_payload_that_expired_meanwhile_is_nobodys_loss(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    files, _ = archived(tmp_path, None, None)
    files[0].path.unlink()
    work = Replay(Store(seeded_database))
    work.run(files)
    assert [problem.trouble.value for problem in work.tally.problems] == ["expired"]
    assert work.tally.created == A_PAYLOAD


def test_a_dry_run_changes_nothing_and_counts_as_the_replay_does(
    seeded_database: str, tmp_path: Path
) -> None:
    fill(tmp_path, 4)
    archive.write(tmp_path, payload(NOW, s2011="5"), NOW + timedelta(days=1))
    one_pass(seeded_database, None, NOW, payload(NOW))
    stored = rows(seeded_database)
    rehearsed = replay(seeded_database, tmp_path, dry_run=True, batch_payloads=2)
    assert rows(seeded_database) == stored
    done = replay(seeded_database, tmp_path, batch_payloads=2)
    assert (rehearsed.created, rehearsed.updated) == (done.created, done.updated) == (3 * A_PAYLOAD, 1)


def test_a_station_that_stands_still_is_counted_once_by_a_dry_run(
    seeded_database: str, tmp_path: Path
) -> None:
    for minute in range(4):
        archive.write(tmp_path, payload(NOW), NOW + timedelta(minutes=minute))
    assert replay(seeded_database, tmp_path, dry_run=True, batch_payloads=1).created == A_PAYLOAD


def test_no_run_is_recorded_no_alert_opened_and_no_stranger_stored(
    seeded_database: str, tmp_path: Path
) -> None:
    archive.write(tmp_path, payload(NOW, s2011="900"), NOW)  # beyond every threshold
    tally = replay(seeded_database, tmp_path)
    assert tally.created == A_PAYLOAD
    assert (len(tally.seen), tally.unknown) == (4, {"2135"})
    for table in ("ingestion_run", "alert"):
        assert value(seeded_database, f"SELECT count(*) FROM {table}") == 0


def test_an_interrupt_leaves_whole_batches_and_the_next_replay_does_the_rest(
    seeded_database: str, tmp_path: Path
) -> None:
    fill(tmp_path, 5)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(seeded_database, tmp_path, batch_payloads=2, tell=interrupt)
    assert len(rows(seeded_database)) == 2 * A_PAYLOAD
    assert replay(seeded_database, tmp_path, batch_payloads=2).created == 3 * A_PAYLOAD


def test_a_killed_replay_leaves_whole_batches_and_the_next_one_does_the_rest(
    seeded_database: str, tmp_path: Path
) -> None:
    fill(tmp_path, 350)
    count = "SELECT count(*) FROM measurement"
    with subprocess.Popen(
        [*running.ALPIMONITOR, "ingest", "replay", "--archive", str(tmp_path)],
        env=environment(tmp_path, {}) | {"DATABASE_URL": seeded_database},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until("the first batch", lambda: value(seeded_database, count), deadline=running.DEADLINE)
        process.send_signal(signal.SIGKILL)
    left = value(seeded_database, count)
    assert left % (100 * A_PAYLOAD) == 0 or left == 350 * A_PAYLOAD
    tally = replay(seeded_database, tmp_path)
    assert (tally.created, value(seeded_database, count)) == (350 * A_PAYLOAD - left, 350 * A_PAYLOAD)


def test_an_interrupt_while_another_ingestion_has_the_turn_exits_130_and_stores_nothing(
    seeded_database: str, tmp_path: Path
) -> None:
    fill(tmp_path, 1)
    with psycopg.connect(seeded_database) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:ingestion', 0))")
        ended = running.interrupted(
            tmp_path,
            ["ingest", "replay", "--archive", str(tmp_path)],
            {"DATABASE_URL": seeded_database},
            lambda: until_somebody_waits(seeded_database),
            signal.SIGINT,
        )
    assert ended.code == 130
    assert "interrupted: 0 payloads are replayed; run it again" in ended.said
    assert rows(seeded_database) == []


def until_somebody_waits(url: str) -> None:
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    wait_until("a wait for the turn", lambda: value(url, waiting), deadline=running.DEADLINE)


def test_a_replay_waits_for_the_pass_in_progress(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    done: list[Tally] = []
    with Store(seeded_database).turn() as turn:
        assert turn is not None
        replaying = threading.Thread(target=lambda: done.append(replay(seeded_database, tmp_path)))
        replaying.start()
        until_somebody_waits(seeded_database)
        assert done == []
    replaying.join(running.DEADLINE)
    assert [tally.created for tally in done] == [A_PAYLOAD]


def test_ingestion_has_its_turn_between_two_batches(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    outcomes: list[Outcome] = []

    def live(_: int) -> None:
        at = NOW + timedelta(days=1, minutes=10 * len(outcomes))
        outcomes.append(one_pass(seeded_database, None, at, payload(at)))

    replay(seeded_database, tmp_path, batch_payloads=1, tell=live)
    assert outcomes == [Outcome.SUCCESS] * 3
    assert len(rows(seeded_database)) == 6 * A_PAYLOAD


def test_a_context_that_changes_meanwhile_counts_from_the_next_batch_on(
    seeded_database: str, tmp_path: Path
) -> None:
    """The next batch is read while the last one is stored: before anybody could know of the change."""
    fill(tmp_path, 3)

    def retire(_: int) -> None:
        execute(seeded_database, "UPDATE station SET is_active = false WHERE ofev_code = '2011'")

    tally = replay(seeded_database, tmp_path, batch_payloads=1, tell=retire)
    assert tally.created == A_PAYLOAD + 2 * (A_PAYLOAD - 2)
    assert len(sion(seeded_database)) == 1


def test_the_apis_role_has_every_right_that_a_replay_needs(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with login_role(seeded_database) as role:
        for privilege, tables in (("SELECT", rights.SELECT[API]), ("INSERT", rights.INSERT[API])):
            for table in tables:
                execute(seeded_database, f"GRANT {privilege} ON {table} TO {role.name}")
        for table, columns in rights.UPDATE[API].items():
            execute(seeded_database, f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {role.name}")
        execute(seeded_database, f'REVOKE TEMPORARY ON DATABASE "{name_of(seeded_database)}" FROM PUBLIC')
        assert replay(role.url, tmp_path, dry_run=True).created == 2 * A_PAYLOAD
        assert replay(role.url, tmp_path).created == 2 * A_PAYLOAD
        archive.write(tmp_path, payload(NOW, s2011="3"), NOW + timedelta(days=1))
        assert replay(role.url, tmp_path).updated == 1


def test_without_a_live_station_it_says_what_to_do_first(database: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with pytest.raises(NoStations):
        replay(database, tmp_path)
    done = command(tmp_path, database, "--archive", str(tmp_path))
    assert done.returncode == 1
    assert "alpimonitor seed --mode missing" in done.stdout


def test_without_an_archive_it_is_called_wrongly(seeded_database: str, tmp_path: Path) -> None:
    done = command(tmp_path, seeded_database)
    assert done.returncode == 2
    assert "LINDAS_ARCHIVE_DIR" in done.stderr
    absent = command(tmp_path, seeded_database, "--archive", str(tmp_path / "absent"))
    assert absent.returncode == 2
    assert "absent is not a folder" in absent.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--from", "2026-07-01"), "'2026-07-01' is no time with an offset, such as 2026-04-20T00:00:00Z"),
        (("--from", "2026-07-01T00:00:00Z", "--to", "2026-07-01T00:00:00Z"), "--from has to be before --to"),
    ],
)
def test_a_range_that_cannot_be_meant_is_called_wrongly(
    tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    done = command(tmp_path, "postgresql://nobody@127.0.0.1:1/nothing", "--archive", str(tmp_path), *words)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.replace("│", "").split())


def test_a_database_that_goes_away_is_told_without_its_password(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    url = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"
    done = command(tmp_path, url, "--archive", str(tmp_path), "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["error"].startswith("database unreachable")
    assert "hunter2" not in done.stdout + done.stderr


def test_an_empty_range_is_done(seeded_database: str, tmp_path: Path) -> None:
    done = command(tmp_path, seeded_database, "--archive", str(tmp_path))
    assert done.returncode == 0
    assert "0 payloads replayed" in done.stdout


def test_nothing_but_the_end_is_told_where_nobody_watches(seeded_database: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    done = command(tmp_path, seeded_database, "--archive", str(tmp_path), "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["outcome"] == "done"

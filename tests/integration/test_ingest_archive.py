"""What /status tells of the archive and of ingestion after real passes that went wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.lindas import PayloadFault
from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.source import FileSource, HttpSource
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.simulator import Fault, Simulator
from tests.api_client import serving
from tests.passes import NOW, Bytes, ingestion, runs

MINUTE = timedelta(minutes=1)


def told(url: str) -> dict[str, Any]:
    now = runs(url)[-1]["started_at"]
    with serving(url, clock=lambda: now) as client:
        ingestion: dict[str, Any] = client.get("/status").json()["ingestion"]
    return ingestion


def unwritable(tmp_path: Path) -> Path:
    in_the_way = tmp_path / "in the way"
    in_the_way.write_text("not a folder")
    return in_the_way


def test_an_archive_that_cannot_be_written_is_told_from_the_first_pass_and_also_while_lindas_is_down(
    seeded_database: str, tmp_path: Path
) -> None:
    root = unwritable(tmp_path)
    with Simulator(clock=lambda: NOW) as simulator:
        simulator.fault(Fault.NOT_FOUND_404)
        ingestion(seeded_database, HttpSource(simulator.url), root=root).run()
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=root, now=NOW + 10 * MINUTE).run()
    state = told(seeded_database)["archive"]
    assert state["consecutiveFailures"] == 2
    assert "LINDAS_ARCHIVE_DIR has to be a folder" in state["lastError"]


def test_an_archive_that_can_be_written_is_not_proven_by_an_outage_of_lindas(
    seeded_database: str, tmp_path: Path
) -> None:
    """A few bytes could be written; whether a payload could be kept, only a payload shows."""
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=unwritable(tmp_path)).run()
    with Simulator(clock=lambda: NOW) as simulator:
        simulator.fault(Fault.NOT_FOUND_404)
        root = tmp_path / "archive"
        ingestion(seeded_database, HttpSource(simulator.url), root=root, now=NOW + MINUTE).run()
    assert runs(seeded_database)[1]["archive_error"] is None
    assert list((tmp_path / "archive").iterdir()) == []
    assert told(seeded_database)["archive"]["consecutiveFailures"] == 1


def test_a_payload_read_from_the_archive_says_nothing_about_writing_it(
    seeded_database: str, tmp_path: Path
) -> None:
    kept = archive.write(tmp_path / "archive", hydrology.payload(NOW), NOW)
    root = unwritable(tmp_path)
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=root).run()
    done = ingestion(seeded_database, FileSource(kept), root=root, now=NOW + MINUTE).run()
    assert done.outcome is Outcome.SUCCESS
    assert told(seeded_database)["archive"]["consecutiveFailures"] == 1
    later = NOW + 2 * MINUTE
    ingestion(seeded_database, Bytes(hydrology.payload(later)), root=tmp_path / "archive", now=later).run()
    assert told(seeded_database)["archive"] == {"consecutiveFailures": 0, "lastError": None}


def test_a_payload_without_one_usable_row_is_a_failure_that_counts_them_and_is_archived(
    seeded_database: str, tmp_path: Path
) -> None:
    malformed = hydrology.malformed_bindings(NOW)
    done = ingestion(seeded_database, Bytes(hydrology.result(malformed)), root=tmp_path).run()
    assert (done.outcome, done.reason) == (Outcome.FAILURE, PayloadFault.NO_USABLE_ROW)
    (run,) = runs(seeded_database)
    assert run["measurements_skipped_count"] == len(malformed)
    assert run["error_message"].startswith(f"malformed payload (no_usable_row): {len(malformed)} malformed")
    assert archive.sha256(archive.read(Path(run["archive_path"]))) == run["payload_sha256"]
    state = told(seeded_database)
    assert (state["lastRun"]["status"], state["lastSuccessAt"]) == ("FAILURE", None)
    assert state["today"]["successRate"] == 0

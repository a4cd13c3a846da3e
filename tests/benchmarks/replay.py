"""Rebuilding `measurement` from the archive, beside COPY of the same rows into the same table.

On a server of its own with fsync on: the whole federal network, a payload every ten minutes, made of a real
one with its times moved on. COPY gets the rows ready made, in one transaction; a replay unpacks and checks
the files, reads their JSON, finds their sensors, and stores a batch a transaction. Both begin with an empty
table and keep its constraints. `ratio` is the median of the ratios of each round to its own COPY.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psycopg

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.replay import Replay, archived
from alpimonitor_api.ingest.store import Store
from alpimonitor_rehearsal.postgres import Origin, find_binaries, running_postgres
from tests.benchmarks.figures import Row, Say, Unmeasurable, figures
from tests.conftest import CHECKOUT, LINDAS_SAMPLE
from tests.databases import chosen_database
from tests.federal_network import make_network

SAMPLES = Path(os.environ.get("LINDAS_SAMPLES_DIR") or CHECKOUT.parent / "shared" / "data" / "lindas")

PAYLOADS = 400
STEP = timedelta(minutes=10)
FIRST_FETCH = datetime(2026, 4, 20, 21, 20, tzinfo=UTC)
COLUMNS = "sensor_id, recorded_at, value, payload_fetched_at"


def run(runs: int | None, say: Say) -> list[Row]:
    """Rows `{way, payloads, measurements, runs, median_ms, p99_ms, measurements_per_second, ratio}`."""
    from alpimonitor_cli.migrate import upgrade

    rounds = runs or 7
    choice = chosen_database()
    if choice not in ("embedded", "system"):
        raise Unmeasurable("this needs a server of its own: set TEST_DATABASE=embedded or system")
    binaries = find_binaries(origins=(Origin.SYSTEM,) if choice == "system" else tuple(Origin))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres(durable=True, binaries=binaries) as server,
        psycopg.connect(server.url(), autocommit=True) as admin,
    ):
        # No checkpoint of the server's own in the middle of a figure.
        admin.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
        admin.execute("ALTER SYSTEM SET checkpoint_timeout = '1h'")
        admin.execute("SELECT pg_reload_conf()")
        upgrade(server.url(), environment="test")
        make_network(admin, _fill_archive(Path(folder), _sample()))
        files, _ = archived(Path(folder), None, None)

        def replay() -> None:
            Replay(Store(server.url())).run(files)

        replay()
        rows = admin.execute(f"SELECT {COLUMNS} FROM measurement ORDER BY payload_fetched_at").fetchall()

        def copy() -> None:
            with (
                admin.transaction(),
                admin.cursor() as cursor,
                cursor.copy(f"COPY measurement ({COLUMNS}) FROM STDIN") as copying,
            ):
                for row in rows:
                    copying.write_row(row)

        ways = {"COPY": copy, "replay": replay}
        took: dict[str, list[float]] = {way: [] for way in ways}
        say(f"{server.description}, fsync on, {rounds} rounds: {PAYLOADS} payloads, {len(rows)} measurements")
        for number in range(rounds):
            # Each round begins with the other one.
            for way in sorted(ways, reverse=bool(number % 2)):
                took[way].append(_timed(admin, ways[way], len(rows)))
            say(f"round {number + 1} of {rounds}")
    return [
        {
            "way": way,
            "payloads": PAYLOADS,
            "measurements": len(rows),
            **figures(seconds),
            "measurements_per_second": round(len(rows) / median(seconds)),
            "ratio": round(
                median(copied / mine for mine, copied in zip(seconds, took["COPY"], strict=True)), 2
            ),
        }
        for way, seconds in took.items()
    ]


def _timed(admin: psycopg.Connection, work: Callable[[], None], expected: int) -> float:
    admin.execute("TRUNCATE measurement")
    admin.execute("CHECKPOINT")
    began = perf_counter()
    work()
    took = perf_counter() - began
    stored = admin.execute("SELECT count(*) FROM measurement").fetchone()
    assert stored == (expected,)
    return took


def _sample() -> Any:
    try:
        return json.loads((SAMPLES / LINDAS_SAMPLE).read_bytes())
    except FileNotFoundError as error:
        raise Unmeasurable(f"no real payload of LINDAS: {error.filename}; set LINDAS_SAMPLES_DIR") from error


def _fill_archive(root: Path, document: Any) -> list[str]:
    """Archive the document once a step, its observations that much later each time; returns its codes."""
    bindings = document["results"]["bindings"]
    times = [datetime.fromisoformat(binding["measuredAt"]["value"]) for binding in bindings]
    for number in range(PAYLOADS):
        for binding, time in zip(bindings, times, strict=True):
            binding["measuredAt"]["value"] = (time + number * STEP).isoformat()
        archive.write(root, json.dumps(document, indent=2).encode(), FIRST_FETCH + number * STEP)
    return sorted({str(binding["code"]["value"]) for binding in bindings})

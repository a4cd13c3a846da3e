"""What every test may ask for: a PostgreSQL server, a database of its own, the real LINDAS payload."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_rehearsal.postgres import PostgresError
from tests.clusters import Prepared, prepared
from tests.databases import (
    PostgresForTests,
    UnknownChoice,
    binaries_for,
    chosen_database,
    described,
    name_of,
    new_database,
    postgres_for_tests,
)
from tests.ordeals import Stage
from tests.warm_start import Warmth

CHECKOUT = Path(__file__).resolve().parent.parent
LINDAS_SAMPLE = "2026-04-20T2120.json"


OF_THE_SERVER = frozenset(
    {"postgres_server", "clusters", "database", "server", "primary", "_the_chosen_programs"}
)
"""Fixtures by which a test gets to PostgreSQL, its own included: without any its version changes nothing."""

CHOICE = pytest.StashKey[str]()
DESCRIPTION = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alpimonitor")
    group.addoption("--kills", type=int, default=10, help="Sidecars to kill at random moments (default: 10).")
    group.addoption("--database-only", action="store_true", help="Only tests that use a PostgreSQL server.")
    group.addoption("--kill-seed", type=int, help="What the moments are drawn from (default: any; printed).")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.kill_seed is None:
        handed_on = getattr(config, "workerinput", {})
        config.option.kill_seed = handed_on.get("kill_seed", secrets.randbelow(10**6))
    # A shell without job control starts what it puts in the background with interrupts ignored. Every program
    # that a test starts would inherit that, and not end by the interrupt that the test sends.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        config.stash[CHOICE] = chosen_database()
        config.stash[DESCRIPTION] = described(config.stash[CHOICE])
    except (UnknownChoice, PostgresError) as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.database_only:
        return
    chosen = [item for item in items if OF_THE_SERVER & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in frozenset(chosen)])
    items[:] = chosen


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of xdist: every worker draws from the seed that is printed."""
    node.workerinput["kill_seed"] = node.config.option.kill_seed


def pytest_report_header(config: pytest.Config) -> str:
    kills = f"kills at random moments: --kills {config.option.kills} --kill-seed {config.option.kill_seed}"
    return f"database: {config.stash[DESCRIPTION]}\n{kills}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which database was used, and what was not tested and why, however quiet the run."""
    skipped = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("what this run stands on")
    terminalreporter.write_line(f"database: {config.stash[DESCRIPTION]}")
    terminalreporter.write_line(f"random moments of kills: --kill-seed {config.option.kill_seed}")
    for reason, tests in sorted(skipped.items()):
        terminalreporter.write_line(f"not tested: {tests} × {reason.removeprefix('Skipped: ')}")
    if not skipped:
        terminalreporter.write_line("nothing was skipped")


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[PostgresForTests]:
    """The server of this worker: started when the first test asks for it."""
    with postgres_for_tests(pytestconfig.stash[CHOICE]) as server:
        yield server


@pytest.fixture(scope="session")
def clusters(pytestconfig: pytest.Config) -> Iterator[Prepared]:
    """What servers begin as copies of that a test may break down to their files."""
    with prepared(binaries_for(pytestconfig.stash[CHOICE])) as clusters:
        yield clusters


@pytest.fixture
def empty_database(postgres_server: PostgresForTests) -> Iterator[str]:
    """The URL of a database without any table."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresForTests) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    from alpimonitor_cli.migrate import upgrade

    with new_database(postgres_server) as url:
        upgrade(url, environment="test")
        yield name_of(url)


@pytest.fixture(scope="session")
def seeded_template(postgres_server: PostgresForTests, migrated_template: str) -> Iterator[str]:
    """The name of a migrated and seeded database that nobody is connected to."""
    with new_database(postgres_server, template=migrated_template) as url:
        # As an operator would. The permission matters for a server elsewhere, named by TEST_DATABASE.
        environ = {**os.environ, "DATABASE_URL": url, "SEED_DATABASE_URL": url, "ALLOW_PROD_SEED": "1"}
        command = [sys.executable, "-m", "alpimonitor_cli.main", "seed", "--mode", "missing"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"seeding the template failed:\n{done.stdout}{done.stderr}"
        yield name_of(url)


@pytest.fixture
def database(postgres_server: PostgresForTests, migrated_template: str) -> Iterator[str]:
    """The URL of a migrated database, without fixtures."""
    with new_database(postgres_server, template=migrated_template) as url:
        yield url


@pytest.fixture
def seeded_database(postgres_server: PostgresForTests, seeded_template: str) -> Iterator[str]:
    """The URL of a migrated database with every fixture."""
    with new_database(postgres_server, template=seeded_template) as url:
        yield url


@pytest.fixture(scope="session")
def warmth() -> Iterator[Warmth]:
    """What starts sidecars at once."""
    with Warmth() as warmth:
        yield warmth


@pytest.fixture
def stage(tmp_path: Path, postgres_server: PostgresForTests, seeded_template: str, warmth: Warmth) -> Stage:
    """Where sidecars come to harm, each on a database of its own."""
    return Stage(tmp_path, postgres_server, seeded_template, warmth)


@pytest.fixture
def lindas_sample() -> Path:
    """A real payload of LINDAS, outside the checkout; without it the test is skipped."""
    folder = Path(os.environ.get("LINDAS_SAMPLES_DIR") or CHECKOUT.parent / "shared" / "data" / "lindas")
    sample = folder / LINDAS_SAMPLE
    if not sample.is_file():
        pytest.skip(f"no real LINDAS payload: {LINDAS_SAMPLE} is not in LINDAS_SAMPLES_DIR ({folder})")
    return sample

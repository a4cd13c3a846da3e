"""Every command exits as its --help says: each documented code, by a real process.

A command without cases fails, and so does a documented code without a case or a case without its code.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

from alpimonitor_api.ingest import archive
from alpimonitor_api.token_file import Scope
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.simulator import Simulator
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import SHIPPED
from alpimonitor_watchdog.store import Store
from tests import running
from tests.bearers import Bearers
from tests.command_tree import Command, commands
from tests.databases import PostgresForTests, new_database
from tests.running import Ended, Silence
from tests.sidecars import Sidecar, wipe
from tests.stored import AT, INCIDENT, opening

pytestmark = pytest.mark.acceptance

SIDE_BY_SIDE = 3
CLOSED = "127.0.0.1:1"
NOBODY = f"postgresql://role@{CLOSED}/name"
# A whole scenario has to be played for these: tests of another file assert them.
ELSEWHERE = {
    ("demo", 0): "test_demo.py::test_nothing_is_left_of_a_demo_that_held",
    ("demo", 130): "test_demo.py::test_an_interrupted_demo_exits_130_and_leaves_nothing",
    # Roles belong to a whole server, which this one shares.
    ("roles apply", 0): "../integration/test_roles_apply.py::test_from_nothing_until_nothing_is_left",
    ("roles plan", 0): "../integration/test_roles_apply.py::test_the_sql_does_in_psql_what_apply_does",
}


@dataclass(frozen=True)
class Scene:
    """What the cases of one command find: a folder, databases of their own, and what is closed at the end."""

    folder: Path
    server: PostgresForTests
    templates: dict[str, str]
    closing: contextlib.ExitStack

    def run(self, words: str, **settings: str) -> Ended:
        return running.run(self.folder, words, settings)

    def interrupt(self, words: str, when: Callable[[], None], **settings: str) -> Ended:
        """By SIGTERM or by SIGINT, which end a command alike."""
        number = signal.SIGTERM if len(words) % 2 else signal.SIGINT
        return running.interrupted(self.folder, words, settings, when, number)

    def interrupt_at_the_database(self, words: str, variable: str = "DATABASE_URL") -> Ended:
        """While the command waits for a server that takes the connection and says nothing."""
        silence = self.silence()
        return self.interrupt(words, silence.wait_for_a_caller, **{variable: silence.database})

    def silence(self) -> Silence:
        return self.closing.enter_context(Silence())

    def database(self, state: str = "seeded") -> str:
        """A database of the case's own: empty, migrated or seeded."""
        return self.closing.enter_context(new_database(self.server, template=self.templates[state]))

    def changed(self, state: str, statement: str) -> str:
        """The same, after a statement."""
        url = self.database(state)
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())
        return url

    def fifo(self, name: str) -> Path:
        path = self.folder / name
        os.mkfifo(path)
        return path

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


Case: TypeAlias = Callable[[Scene], Ended]


@pytest.fixture
def scene(
    tmp_path: Path, postgres_server: PostgresForTests, migrated_template: str, seeded_template: str
) -> Iterator[Scene]:
    templates = {"empty": "template1", "migrated": migrated_template, "seeded": seeded_template}
    with contextlib.ExitStack() as closing:
        yield Scene(tmp_path, postgres_server, templates, closing)


def undeclared(scene: Scene) -> Path:
    """Fixtures without the withdrawals, which the seeded database has."""
    folder = Path(shutil.copytree(SHIPPED, scene.folder / "fixtures"))
    (folder / "withdrawal.toml").write_text("")
    return folder


def tokens(scene: Scene) -> Path:
    """A file of its own, with the token of marie."""
    folder = scene.folder / secrets.token_hex(4)
    folder.mkdir()
    bearers = Bearers(folder)
    bearers.add("marie", Scope.OPERATOR)
    return bearers.file


def payload(scene: Scene) -> Path:
    return scene.file("payload.json", hydrology.payload(datetime(2026, 7, 1, 12, 3, tzinfo=UTC)))


def an_archive(scene: Scene, name: str = "archive") -> Path:
    at = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
    archive.write(scene.folder / name, hydrology.payload(at), at)
    return scene.folder / name


def a_damaged_archive(scene: Scene) -> Path:
    folder = an_archive(scene, "damaged")
    next(folder.rglob("*.json.gz")).write_bytes(b"not what its name says")
    return folder


def ingestion_is_stopped(scene: Scene) -> Ended:
    url, simulator = scene.database(), scene.closing.enter_context(Simulator())

    def ingested() -> bool:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT 1 FROM ingestion_run").fetchone() is not None

    return scene.interrupt(
        "ingest run",
        lambda: wait_until("a pass", ingested, deadline=running.DEADLINE) and None,
        DATABASE_URL=url,
        LINDAS_ENDPOINT=simulator.url,
    )


def ingestion_is_stopped_twice(scene: Scene) -> Ended:
    silence = scene.silence()
    settings = {"DATABASE_URL": scene.database(), "LINDAS_ENDPOINT": silence.address}
    return running.interrupted(
        scene.folder, "ingest run", settings, silence.wait_for_a_caller, signal.SIGTERM, signal.SIGINT
    )


def interrupted_in_a_file(scene: Scene, words: str, **settings: str) -> Ended:
    """While the command reads a file whose end does not come; FIFO stands for it."""
    fifo = scene.fifo("fifo")
    given = {name: value.replace("FIFO", str(fifo)) for name, value in settings.items()}
    return scene.interrupt(words.replace("FIFO", str(fifo)), running.until_it_opens(fifo), **given)


@dataclass(frozen=True)
class Sidecars:
    """Real ones, started when first asked for: one is content, one in an incident, one cannot see."""

    new: Callable[..., Sidecar]
    databases: Callable[[], str]

    @cached_property
    def content(self) -> Sidecar:
        return self._in_phase("healthy", self.databases())

    @cached_property
    def in_an_incident(self) -> Sidecar:
        url = self.databases()
        wipe(url)
        return self._in_phase("open", url)

    @cached_property
    def blind(self) -> Sidecar:
        return self._in_phase("open", NOBODY)

    def _in_phase(self, phase: str, database: str) -> Sidecar:
        sidecar = self.new(database)
        sidecar.start()
        sidecar.until(phase)
        return sidecar


@pytest.fixture(scope="module")
def sidecars(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresForTests, seeded_template: str
) -> Iterator[Sidecars]:
    with contextlib.ExitStack() as closing:

        def new(database: str) -> Sidecar:
            policy = {"unreachable_after": "0s"}
            sidecar = Sidecar(tmp_path_factory.mktemp("sidecar"), database, policy=policy, mode="off")
            closing.callback(lambda: sidecar.process and sidecar.stop())
            return sidecar

        yield Sidecars(
            new, lambda: closing.enter_context(new_database(postgres_server, template=seeded_template))
        )


def beside(sidecar: Sidecar, scene: Scene, words: str) -> Ended:
    """A command that finds the sidecar by its address, and its token by its state directory."""
    settings = {"WATCHDOG_STATE_DIR": sidecar.environment["WATCHDOG_STATE_DIR"]}
    ended = scene.run(f"{words} --url {sidecar.url}", **settings)
    return Ended(ended.code, f"{ended.said}The sidecar's last words: {sidecar.log[-1000:]}")


def sidecar_is_stopped(scene: Scene) -> Ended:
    sidecar = Sidecar(scene.folder, scene.database())
    sidecar.start()
    return Ended(sidecar.stop(), sidecar.log)


def everything_holds(scene: Scene) -> Ended:
    pager = scene.closing.enter_context(Pager())
    channels = {name: f"{pager.apprise_url}{name.lower()}" for name in ("NOTIFY", "PAGE")}
    sidecar = Sidecar(scene.folder, scene.database(), channels)
    sidecar.write()
    return scene.run("watchdog check", **{name: sidecar.environment[name] for name in (*GIVEN, *channels)})


def notified(scene: Scene, url: str) -> dict[str, str]:
    return {"WATCHDOG_DATABASE_URL": NOBODY, "WATCHDOG_NOTIFY_URL": url}


def arrived(scene: Scene) -> Ended:
    pager = scene.closing.enter_context(Pager())
    return scene.run("watchdog test-notification", **notified(scene, f"{pager.apprise_url}notify"))


def interrupted_at_a_channel(scene: Scene) -> Ended:
    silence = scene.silence()
    settings = notified(scene, f"json://127.0.0.1:{silence.port}/")
    return scene.interrupt("watchdog test-notification", silence.wait_for_a_caller, **settings)


def interrupted_at_a_sidecar(scene: Scene, words: str, token: Sidecar | None = None) -> Ended:
    silence = scene.silence()
    settings = {"WATCHDOG_STATE_DIR": token.environment["WATCHDOG_STATE_DIR"]} if token else {}
    return scene.interrupt(f"{words} --url {silence.address}", silence.wait_for_a_caller, **settings)


def incident_cases(words: str) -> dict[int, Case]:
    """Of a command that reads a store: a sound one, a damaged one, none, and one whose end does not come."""
    return {
        0: lambda s: s.run(words.replace("ID", INCIDENT.id), WATCHDOG_STATE_DIR=state_of(s, "sound")),
        1: lambda s: s.run(words, WATCHDOG_STATE_DIR=state_of(s, "damaged")),
        2: lambda s: s.run(words, WATCHDOG_STATE_DIR="nowhere"),
        130: lambda s: interrupted_in_a_store(s, words),
    }


def state_of(scene: Scene, condition: str) -> str:
    """A state directory in which an incident is kept."""
    directory = scene.folder / condition
    with contextlib.closing(Store.open(directory, AT, {})) as store:
        store.save(opening(), AT)
    if condition == "damaged":
        path = directory / "watchdog.sqlite"
        path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"x"))
    return str(directory)


def interrupted_in_a_store(scene: Scene, words: str) -> Ended:
    (scene.folder / "endless").mkdir()
    fifo = scene.fifo("endless/watchdog.sqlite")
    return scene.interrupt(words, running.until_it_opens(fifo), WATCHDOG_STATE_DIR=str(fifo.parent))


def recorder_cases(words: str, refused: str | None = None) -> dict[int, Case]:
    """Of a command on a flight recorder: where one is, and where there is none."""
    return {
        0: lambda s: s.run(f"recorder {words}", OWNER_DATABASE_URL=s.database()),
        1: lambda s: s.run(f"recorder {refused or words}", OWNER_DATABASE_URL=s.database("empty")),
        2: lambda s: s.run(f"recorder {words}"),
        5: lambda s: s.run(f"recorder {words}", OWNER_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database(f"recorder {words}", "OWNER_DATABASE_URL"),
    }


GIVEN = ("WATCHDOG_CONFIG", "WATCHDOG_DATABASE_URL", "SEED_DATABASE_URL", "WATCHDOG_STATE_DIR")
GLACIER_IN_THE_WAY = "CREATE TABLE glacier (left_by text)"
READ_ONLY = "?options=-c%20default_transaction_read_only%3Don"
IN_PRODUCTION = "UPDATE deployment SET environment = 'production'"

CASES: dict[str, dict[int, Case]] = {
    "boot": {
        0: lambda s: s.run("boot --prepare", DATABASE_URL=s.database("migrated")),
        2: lambda s: s.run("boot"),
        5: lambda s: s.run("boot", DATABASE_URL=NOBODY, BOOT_WAIT_SECONDS="0.1"),
        6: lambda s: s.run("boot", DATABASE_URL=s.changed("empty", GLACIER_IN_THE_WAY)),
        130: lambda s: s.interrupt_at_the_database("boot"),
    },
    "db upgrade": {
        0: lambda s: s.run("db upgrade", DATABASE_URL=s.database("migrated")),
        2: lambda s: s.run("db upgrade", DATABASE_URL="sqlite:///here"),
        5: lambda s: s.run("db upgrade", DATABASE_URL=NOBODY),
        6: lambda s: s.run("db upgrade", DATABASE_URL=s.changed("empty", GLACIER_IN_THE_WAY)),
        130: lambda s: s.interrupt_at_the_database("db upgrade"),
    },
    "db current": {
        0: lambda s: s.run("db current", DATABASE_URL=s.database("migrated")),
        1: lambda s: s.run("db current", DATABASE_URL=s.database("empty")),
        2: lambda s: s.run("db current"),
        5: lambda s: s.run("db current", DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("db current"),
    },
    "demo": {
        1: lambda s: s.run("demo", PG_BINDIR=str(s.folder)),
        2: lambda s: s.run("demo --scenario flood"),
    },
    "incident export": incident_cases("incident export ID --output exported.json"),
    "incident list": incident_cases("incident list"),
    "incident show": incident_cases("incident show ID"),
    "incident verify": incident_cases("incident verify"),
    "ingest once": {
        0: lambda s: s.run(f"ingest once --file {payload(s)}", DATABASE_URL=s.database()),
        1: lambda s: s.run("ingest once --file absent.json", DATABASE_URL=s.database()),
        2: lambda s: s.run("ingest once"),
        5: lambda s: s.run(f"ingest once --file {s.file('empty.json', '{}')}", DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("ingest once"),
    },
    "ingest replay": {
        0: lambda s: s.run(f"ingest replay --archive {an_archive(s)}", DATABASE_URL=s.database()),
        1: lambda s: s.run(f"ingest replay --archive {a_damaged_archive(s)}", DATABASE_URL=s.database()),
        2: lambda s: s.run("ingest replay --archive absent", DATABASE_URL=NOBODY),
        5: lambda s: s.run(f"ingest replay --archive {an_archive(s)}", DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database(f"ingest replay --archive {an_archive(s)}"),
    },
    "ingest run": {
        0: ingestion_is_stopped,
        2: lambda s: s.run("ingest run"),
        130: ingestion_is_stopped_twice,
    },
    "recorder install": recorder_cases("install --tables station", refused="install --tables nowhere"),
    "recorder prune": recorder_cases("prune --older-than 30d"),
    "recorder remove": recorder_cases("remove --yes"),
    "recorder status": recorder_cases("status"),
    "roles apply": {
        1: lambda s: s.run("roles apply", ADMIN_DATABASE_URL=s.database() + READ_ONLY),
        2: lambda s: s.run("roles apply"),
        5: lambda s: s.run("roles apply", ADMIN_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("roles apply", "ADMIN_DATABASE_URL"),
    },
    "roles plan": {
        1: lambda s: s.run("roles plan", ADMIN_DATABASE_URL=s.database()),
        2: lambda s: s.run("roles plan"),
        5: lambda s: s.run("roles plan", ADMIN_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("roles plan", "ADMIN_DATABASE_URL"),
    },
    "seed": {
        0: lambda s: s.run("seed", SEED_DATABASE_URL=s.database(), ALLOW_PROD_SEED="1"),
        1: lambda s: s.run("seed", SEED_DATABASE_URL=s.database("empty"), ALLOW_PROD_SEED="1"),
        2: lambda s: s.run("seed --fixtures nowhere"),
        3: lambda s: s.run("seed", SEED_DATABASE_URL=s.changed("seeded", IN_PRODUCTION)),
        4: lambda s: s.run(f"seed --prune --fixtures {undeclared(s)}", SEED_DATABASE_URL=s.database()),
        5: lambda s: s.run("seed", SEED_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("seed", "SEED_DATABASE_URL"),
    },
    "settings reference": {
        0: lambda s: s.run("settings reference"),
        1: lambda s: s.run("settings reference --output nowhere.md --check"),
        2: lambda s: s.run("settings reference --check"),
        130: lambda s: interrupted_in_a_file(s, "settings reference --output FIFO --check"),
    },
    "token create": {
        0: lambda s: s.run("token create --file tokens.json --name marie --scope operator"),
        1: lambda s: s.run(f"token create --file {tokens(s)} --name marie --scope operator"),
        2: lambda s: s.run("token create --name marie --scope operator"),
        130: lambda s: interrupted_in_a_file(s, "token create --file FIFO --name marie --scope operator"),
    },
    "token list": {
        0: lambda s: s.run("token list", API_TOKENS_FILE=str(tokens(s))),
        2: lambda s: s.run("token list --file nowhere.json"),
        130: lambda s: interrupted_in_a_file(s, "token list --file FIFO"),
    },
    "token revoke": {
        0: lambda s: s.run(f"token revoke marie --file {tokens(s)}"),
        1: lambda s: s.run(f"token revoke paul --file {tokens(s)}"),
        2: lambda s: s.run("token revoke"),
        130: lambda s: interrupted_in_a_file(s, "token revoke marie --file FIFO"),
    },
    "watchdog diagnose": {
        0: lambda s: s.run(
            "watchdog diagnose", WATCHDOG_DATABASE_URL=s.database(), DEPLOYMENT_ENVIRONMENT="test"
        ),
        1: lambda s: s.run(
            "watchdog diagnose",
            WATCHDOG_DATABASE_URL=s.changed("seeded", "DELETE FROM withdrawal"),
            DEPLOYMENT_ENVIRONMENT="test",
        ),
        2: lambda s: s.run("watchdog diagnose"),
        5: lambda s: s.run("watchdog diagnose", WATCHDOG_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("watchdog diagnose", "WATCHDOG_DATABASE_URL"),
    },
    "watchdog check": {
        0: everything_holds,
        1: lambda s: s.run("watchdog check", WATCHDOG_DATABASE_URL=s.database("empty")),
        2: lambda s: s.run("watchdog check"),
        5: lambda s: s.run("watchdog check", WATCHDOG_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("watchdog check", "WATCHDOG_DATABASE_URL"),
    },
    "watchdog init": {
        0: lambda s: s.run("watchdog init --output -", WATCHDOG_DATABASE_URL=s.database()),
        2: lambda s: s.run("watchdog init --output -"),
        5: lambda s: s.run("watchdog init --output -", WATCHDOG_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database("watchdog init", "WATCHDOG_DATABASE_URL"),
    },
    "watchdog ledger": {
        0: lambda s: s.run("watchdog ledger --role watch"),
        1: lambda s: s.run("watchdog ledger --role nobody --apply", OWNER_DATABASE_URL=s.database()),
        2: lambda s: s.run("watchdog ledger"),
        5: lambda s: s.run("watchdog ledger --role watch --apply", OWNER_DATABASE_URL=NOBODY),
        130: lambda s: s.interrupt_at_the_database(
            "watchdog ledger --role watch --apply", "OWNER_DATABASE_URL"
        ),
    },
    "watchdog run": {
        0: sidecar_is_stopped,
        2: lambda s: s.run("watchdog run"),
        130: lambda s: interrupted_in_a_file(s, "watchdog run", WATCHDOG_CONFIG="FIFO"),
    },
    "watchdog test-notification": {
        0: arrived,
        1: lambda s: s.run("watchdog test-notification", **notified(s, f"json://{CLOSED}/")),
        2: lambda s: s.run("watchdog test-notification", WATCHDOG_DATABASE_URL=NOBODY),
        130: interrupted_at_a_channel,
    },
}


def said_to(
    sidecars: Sidecars, action: str, done: Sidecar, refused: Sidecar, words: str = ""
) -> dict[int, Case]:
    """The cases of a command that tells a sidecar something: one that does it, and one that refuses."""
    told = f"watchdog {action} --reason because {words}"
    token = {"WATCHDOG_STATE_DIR": sidecars.content.environment["WATCHDOG_STATE_DIR"]}
    return {
        0: lambda s: beside(done, s, told),
        1: lambda s: s.run(f"{told} --url http://{CLOSED}", **token),
        2: lambda s: s.run(f"watchdog {action}", **token),
        7: lambda s: beside(refused, s, told),
        130: lambda s: interrupted_at_a_sidecar(s, told, sidecars.content),
    }


def cases_beside(sidecars: Sidecars) -> dict[str, dict[int, Case]]:
    content, incident, blind = sidecars.content, sidecars.in_an_incident, sidecars.blind
    return {
        "status": {
            0: lambda s: s.run(f"status --url {content.url}"),
            1: lambda s: s.run("status", WATCHDOG_LISTEN=CLOSED),
            2: lambda s: s.run("status", WATCHDOG_LISTEN="here"),
            130: lambda s: interrupted_at_a_sidecar(s, "status"),
        },
        "watchdog accept": said_to(sidecars, "accept", content, blind, "--yes"),
        "watchdog acknowledge": said_to(sidecars, "acknowledge", incident, content),
        "watchdog adopt": said_to(sidecars, "adopt", content, blind, "--yes"),
        "watchdog heal": {
            **said_to(sidecars, "heal", incident, content, "--now --yes"),
            0: lambda s: beside(incident, s, "watchdog heal --dry-run --reason because"),
        },
        "watchdog hold": said_to(sidecars, "hold", incident, content),
        # Nothing but a time that cannot be used is refused, and that is usage.
        "watchdog pause": {
            code: one
            for code, one in said_to(sidecars, "pause", incident, content, "--until 1h").items()
            if code != 7
        },
        "watchdog resume": {
            **said_to(sidecars, "resume", incident, content),
            0: lambda s: (
                beside(incident, s, "watchdog hold --reason because")
                and beside(incident, s, "watchdog resume --reason because")
            ),
        },
    }


BESIDE = {"status"} | {
    f"watchdog {action}" for action in ("accept", "acknowledge", "adopt", "heal", "hold", "pause", "resume")
}
FOUND = {
    beside: [c for c in commands().values() if (c.words in BESIDE) is beside] for beside in (True, False)
}


def assert_exits(scene: Scene, command: Command, cases: dict[int, Case]) -> None:
    elsewhere = {code for words, code in ELSEWHERE if words == command.words}
    assert command.exit_codes == set(cases) | elsewhere
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        ended = dict(zip(cases, pool.map(lambda one: one(scene), cases.values()), strict=True))
    assert {code: each for code, each in ended.items() if each.code != code} == {}
    assert [each for each in ended.values() if "Traceback" in each.said] == []


@pytest.mark.parametrize("command", FOUND[False], ids=lambda command: command.words)
def test_a_command_exits_as_its_help_says(scene: Scene, command: Command) -> None:
    assert command.words in CASES, f"give alpimonitor {command.words} a case for each of its exit codes"
    assert_exits(scene, command, CASES[command.words])


@pytest.mark.parametrize("command", FOUND[True], ids=lambda command: command.words)
def test_a_command_beside_a_sidecar_exits_as_its_help_says(
    scene: Scene, sidecars: Sidecars, command: Command
) -> None:
    assert_exits(scene, command, cases_beside(sidecars)[command.words])


@pytest.mark.parametrize("place", ELSEWHERE.values())
def test_what_is_asserted_elsewhere_is_there(place: str) -> None:
    file, _, name = place.partition("::")
    assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_a_word_that_is_no_command_is_wrong_usage(scene: Scene) -> None:
    assert [scene.run(words).code for words in ("no-such-command", "", "--help")] == [2, 2, 0]

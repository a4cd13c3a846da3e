"""`alpimonitor token`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from alpimonitor_api.auth import Tokens
from alpimonitor_api.token_file import Scope
from alpimonitor_api.tokens_cli import app
from tests.running import run

LATER = datetime(9999, 1, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def token(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"API_TOKENS_FILE": str(file)})


def created(file: Path, name: str, *words: str) -> str:
    done = token(file, "create", "--name", name, *(words or ("--scope", "operator")))
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(file: Path) -> list[dict[str, object]]:
    done = token(file, "list", "--json")
    assert done.exit_code == 0, done.output
    told: list[dict[str, object]] = json.loads(done.stdout)["tokens"]
    return told


def known(file: Path, shown: str, now: datetime) -> str | None:
    principal = Tokens(file, lambda: now).bearer(f"Bearer {shown}")
    return principal and principal.name


def test_a_new_token_is_all_that_is_printed_and_the_api_knows_it(file: Path) -> None:
    done = token(file, "create", "--name", "marie", "--scope", "operator", "--scope", "auditor")
    assert done.exit_code == 0
    (line,) = done.stdout.splitlines()
    assert line not in done.stderr
    assert "marie (operator, auditor) holds until it is revoked" in done.stderr
    principal = Tokens(file, lambda: LATER).bearer(f"Bearer {line}")
    assert principal is not None
    assert (principal.name, principal.scopes) == ("marie", {Scope.OPERATOR, Scope.AUDITOR})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert line not in file.read_text()


def test_a_token_ends_when_it_was_told_to(file: Path) -> None:
    shown = created(file, "guest", "--scope", "auditor", "--expires", "12h").strip()
    (told,) = listed(file)
    made, ends = (datetime.fromisoformat(str(told[member])) for member in ("created_at", "expires_at"))
    assert made <= datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert ends - made == timedelta(hours=12)
    assert known(file, shown, ends - timedelta(seconds=1)) == "guest"
    assert known(file, shown, ends) is None


def test_the_list_tells_whose_and_what_for_and_shows_neither_token_nor_hash(file: Path) -> None:
    shown = created(file, "marie").strip()
    created(file, "Zoé", "--scope", "watchdog", "--expires", "4w")
    told = listed(file)
    assert [(one["name"], one["scopes"], one["expired"]) for one in told] == [
        ("Zoé", ["watchdog"], False),
        ("marie", ["operator"], False),
    ]
    assert told[1]["expires_at"] is None
    plain = token(file, "list").stdout
    assert [line.split("  ")[:2] for line in plain.splitlines()] == [
        ["Zoé", "watchdog"],
        ["marie", "operator"],
    ]
    hashed = json.loads(file.read_text())["tokens"][0]["sha256"]
    for text in (plain, json.dumps(told)):
        assert shown not in text
        assert hashed not in text


def test_one_that_has_ended_is_listed_as_such(file: Path) -> None:
    created(file, "marie", "--scope", "operator", "--expires", "1h")
    content = json.loads(file.read_text())
    content["tokens"][0]["expires_at"] = "2026-04-20T00:00:00Z"
    file.write_text(json.dumps(content))
    assert listed(file)[0]["expired"] is True
    assert token(file, "list").stdout.endswith("  EXPIRED\n")


def test_a_revoked_token_is_nobodys_and_the_others_stay(file: Path) -> None:
    marie, paul = created(file, "marie").strip(), created(file, "paul").strip()
    done = token(file, "revoke", "marie")
    assert (done.exit_code, done.stdout) == (0, "")
    assert [known(file, shown, LATER) for shown in (marie, paul)] == [None, "paul"]
    assert token(file, "revoke", "marie").exit_code == 1


def test_one_name_is_one_token_however_its_accents_are_composed(file: Path) -> None:
    created(file, "Zo\u00e9")
    again = token(file, "create", "--name", "Zoe\u0301", "--scope", "operator")
    assert again.exit_code == 1
    assert "revoke it first" in again.stderr
    assert token(file, "revoke", "Zoe\u0301").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--scope", "operator"), "--name"),
        (("create", "--name", "marie"), "--scope"),
        (("create", "--name", "marie", "--scope", "root"), "operator"),
        (("create", "--name", "", "--scope", "operator"), "such as marie"),
        (("create", "--name", "a\nb", "--scope", "operator"), "such as marie"),
        (("create", "--name", "m" * 64, "--scope", "operator"), "such as marie"),
        *(
            (("create", "--name", "marie", "--scope", "operator", "--expires", text), "such as 12h")
            for text in ("", "90", "d", "0d", "-1d", "1.5d", "3651d", "999999w", "2027-01-01", "²d")
        ),
        (("revoke",), "NAME"),
        (("list", "more"), "more"),
    ],
)
def test_wrong_usage_says_what_is_right_and_makes_no_file(
    file: Path, words: tuple[str, ...], said: str
) -> None:
    done = token(file, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    "words", [("create", "--name", "marie", "--scope", "operator"), ("list",), ("revoke", "marie")]
)
def test_without_a_file_the_setting_and_the_option_are_named(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, list(words), env={"API_TOKENS_FILE": ""})
    assert done.exit_code == 2
    assert "--file FILE" in done.stderr
    assert "API_TOKENS_FILE" in done.stderr


@pytest.mark.parametrize(
    "words", [("create", "--name", "marie", "--scope", "operator"), ("list",), ("revoke", "marie")]
)
def test_a_damaged_file_is_left_as_it_is(file: Path, words: tuple[str, ...]) -> None:
    file.write_text('{"tokens": [')
    file.chmod(0o600)
    done = token(file, *words)
    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert file.read_text() == '{"tokens": ['


@pytest.mark.parametrize("words", [("list",), ("revoke", "marie")])
def test_a_file_that_is_not_there_is_not_an_empty_one(file: Path, words: tuple[str, ...]) -> None:
    done = token(file, *words)
    assert done.exit_code == 2
    assert f"alpimonitor token create --file {file}" in done.stderr


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = token(tmp_path / "nowhere" / "tokens.json", "create", "--name", "marie", "--scope", "operator")
    assert done.exit_code == 2
    assert "make this folder first" in done.stderr


def test_of_many_at_once_none_is_lost(file: Path) -> None:
    names = [f"operator-{number}" for number in range(6)]

    def create(name: str) -> str:
        ended = run(file.parent, f"token create --file {file} --name {name} --scope operator", {})
        assert ended.code == 0, ended.said
        return ended.said.splitlines()[0]

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(create, names))
    assert sorted(str(one["name"]) for one in listed(file)) == names
    assert [path.name for path in file.parent.iterdir() if "tokens" in path.name] == ["tokens.json"]

"""Bearer tokens: who is known, for how long, and what becomes of it when the file changes or breaks."""

from __future__ import annotations

import hmac
import json
import logging
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alpimonitor_api.auth import Principal, Tokens
from alpimonitor_api.settings import SettingsError
from alpimonitor_api.token_file import Entries, Scope, TokenFileError, digest, new_token, read, write
from tests.api_client import NOW
from tests.bearers import Bearers


def at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


@pytest.fixture
def bearers(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


def test_a_token_names_its_bearer_and_scopes(bearers: Bearers) -> None:
    marie = bearers.add("marie", Scope.OPERATOR, Scope.AUDITOR)["Authorization"]
    bearers.add("paul", Scope.AUDITOR)
    tokens = Tokens(bearers.file, at(NOW))
    known = Principal("marie", frozenset({Scope.OPERATOR, Scope.AUDITOR}))
    assert tokens.bearer(marie) == known
    assert tokens.bearer(marie.replace("Bearer", "bEARER")) == known
    assert tokens.bearer(marie.replace(" ", "  ")) == known


def test_whoever_shows_anything_else_is_nobody(bearers: Bearers) -> None:
    shown = bearers.add("marie", Scope.OPERATOR)["Authorization"]
    token = shown.removeprefix("Bearer ")
    tokens = Tokens(bearers.file, at(NOW))
    of_the_file = json.loads(bearers.file.read_text())["tokens"][0]["sha256"]
    for wrong in (
        None, "", "Bearer", "Bearer ", token, f"Basic {token}", f"Token {token}", f"{shown}x", shown[:-1],
        f"Bearer {token.upper()}", f"Bearer {of_the_file}", "Bearer marie", "Bearer é\xff",
        f"Bearer {token} {token}",
    ):  # fmt: skip
        assert tokens.bearer(wrong) is None, wrong


def test_without_a_file_nobody_is_known() -> None:
    tokens = Tokens(None, at(NOW))
    assert not tokens.configured
    assert tokens.bearer(f"Bearer {new_token()}") is None


def test_a_token_is_nobodys_from_its_end_on(bearers: Bearers) -> None:
    shown = bearers.add("marie", Scope.OPERATOR, expires_at=NOW)["Authorization"]
    assert Tokens(bearers.file, at(NOW - timedelta(microseconds=1))).bearer(shown) is not None
    assert Tokens(bearers.file, at(NOW)).bearer(shown) is None


def test_every_token_is_compared_whichever_is_shown(
    bearers: Bearers, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = [bearers.add(name, Scope.AUDITOR)["Authorization"] for name in ("a", "b", "c")]
    tokens = Tokens(bearers.file, at(NOW))
    compared: list[bytes] = []
    right = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return right(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    for shown in (*headers, "Bearer x"):
        compared.clear()
        tokens.bearer(shown)
        assert compared == [bytes.fromhex(entry.sha256) for entry in bearers.entries]


def test_no_token_is_in_the_file(bearers: Bearers) -> None:
    token = bearers.add("marie", Scope.OPERATOR)["Authorization"].removeprefix("Bearer ")
    text = bearers.file.read_text()
    assert token not in text
    assert digest(token).hex() in text
    assert len(token) >= 43, "32 random bytes"


def test_a_change_of_the_file_is_taken_over_at_once(bearers: Bearers) -> None:
    tokens = Tokens(bearers.file, at(NOW))
    marie = bearers.add("marie", Scope.OPERATOR)["Authorization"]
    assert tokens.bearer(marie) is not None
    paul = bearers.add("paul", Scope.OPERATOR)["Authorization"]
    bearers.remove("marie")
    assert tokens.bearer(marie) is None
    assert tokens.bearer(paul) is not None


def broken_json(file: Path) -> None:
    file.write_text('{"tokens": [')


def gone(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def writable_by_others(file: Path) -> None:
    write(file, Entries())
    file.chmod(0o602)


def too_large(file: Path) -> None:
    file.write_bytes(b" " * 1_000_001)


BREAKING = [broken_json, gone, a_folder, a_pipe, writable_by_others, too_large]


@pytest.mark.parametrize("breaks", BREAKING)
def test_a_file_that_breaks_leaves_the_tokens_and_is_told_once(
    bearers: Bearers, caplog: pytest.LogCaptureFixture, breaks: Callable[[Path], None]
) -> None:
    marie = bearers.add("marie", Scope.OPERATOR)["Authorization"]
    tokens = Tokens(bearers.file, at(NOW))
    breaks(bearers.file)
    for _ in range(3):
        assert tokens.bearer(marie) is not None
    (told,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert str(bearers.file) in told.getMessage()
    assert told.action == "tokens_unusable"  # type: ignore[attr-defined]


@pytest.mark.parametrize("breaks", [broken_json, gone, writable_by_others])
def test_a_file_that_is_mended_is_read_again(bearers: Bearers, breaks: Callable[[Path], None]) -> None:
    marie = bearers.add("marie", Scope.OPERATOR)["Authorization"]
    tokens = Tokens(bearers.file, at(NOW))
    breaks(bearers.file)
    tokens.bearer(marie)
    bearers.file.unlink(missing_ok=True)
    paul = bearers.add("paul", Scope.OPERATOR)["Authorization"]
    assert tokens.bearer(paul) is not None


@pytest.mark.parametrize("breaks", BREAKING)
def test_a_file_that_is_of_no_use_at_the_start_is_fatal_with_its_name_and_a_remedy(
    bearers: Bearers, breaks: Callable[[Path], None]
) -> None:
    breaks(bearers.file)
    with pytest.raises(SettingsError, match=r"^API_TOKENS_FILE: ") as refused:
        Tokens(bearers.file, at(NOW))
    assert str(bearers.file) in str(refused.value)
    assert ": " in str(refused.value).partition(str(bearers.file))[2], "what mends it"


def test_a_file_that_cannot_be_read_is_said_to_be_so(bearers: Bearers) -> None:
    with pytest.raises(TokenFileError, match=r"cannot be read \(Not a directory\): .* mode 0640"):
        read(bearers.file / "tokens.json")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o640, 0), (0o400, 0), (0o644, 1)])
def test_one_that_everybody_may_read_is_warned_of(
    bearers: Bearers, caplog: pytest.LogCaptureFixture, mode: int, warned: int
) -> None:
    bearers.file.chmod(mode)
    Tokens(bearers.file, at(NOW))
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == warned
    assert all("chmod o-r" in message for message in told)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_one_that_others_may_write_is_refused(bearers: Bearers, mode: int) -> None:
    bearers.file.chmod(mode)
    with pytest.raises(TokenFileError, match=rf"mode {mode:04o}.*chmod go-w"):
        read(bearers.file)


ENTRY = {"name": "marie", "scopes": ["operator"], "sha256": "0" * 64, "created_at": "2026-04-20T00:00:00Z"}


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        ([{**ENTRY, "name": ""}], "tokens.0.name"),
        ([{**ENTRY, "name": "two\nlines"}], "tokens.0.name"),
        ([{**ENTRY, "name": "m" * 64}], "tokens.0.name"),
        ([{**ENTRY, "scopes": []}], "tokens.0.scopes"),
        ([{**ENTRY, "scopes": ["root"]}], "tokens.0.scopes.0"),
        ([{**ENTRY, "sha256": "sesame"}], "tokens.0.sha256"),
        ([{**ENTRY, "created_at": "2026-04-20T00:00:00"}], "tokens.0.created_at"),
        ([{**ENTRY, "expires_at": "soon"}], "tokens.0.expires_at"),
        ([{**ENTRY, "expire_at": "2026-04-20T00:00:00Z"}], "tokens.0.expire_at"),
        ([{**ENTRY}, {**ENTRY, "sha256": "1" * 64}], "two tokens have the same name"),
        ([{**ENTRY}, {**ENTRY, "name": "paul"}], "two tokens have the same sha256"),
    ],
)
def test_a_file_that_somebody_wrote_wrongly_is_refused_with_the_place(
    bearers: Bearers, tokens: list[dict[str, object]], where: str
) -> None:
    bearers.file.write_text(json.dumps({"tokens": tokens}))
    with pytest.raises(TokenFileError, match="holds no tokens that can be understood") as refused:
        read(bearers.file)
    assert where in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_a_file_that_is_written_again_keeps_its_mode_and_a_link_to_it(tmp_path: Path) -> None:
    file, link = tmp_path / "real.json", tmp_path / "link.json"
    write(file, Entries())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    link.symlink_to(file)
    write(link, Entries())
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_a_write_that_fails_leaves_the_file_as_it_was(
    bearers: Bearers, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearers.add("marie", Scope.OPERATOR)
    before = bearers.file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokenFileError, match=r"No space left on device.* is as it was"):
        write(bearers.file, Entries())
    assert bearers.file.read_bytes() == before
    assert [path.name for path in bearers.file.parent.iterdir()] == [bearers.file.name]

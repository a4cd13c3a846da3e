"""The token of operators' actions: a private file, made once, and never trusted when others could read it."""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path

import pytest

from alpimonitor_watchdog.web.access_token import Token, TokenError, kept_token, read_token


def test_it_is_made_once_with_mode_0600_and_kept(tmp_path: Path) -> None:
    made = kept_token(tmp_path)
    file = tmp_path / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(made.secret) >= 43, "32 random bytes"
    assert kept_token(tmp_path) == made
    assert read_token(file) == made
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_every_directory_has_its_own(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    assert len({kept_token(folder).secret for folder in folders}) == 2


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_its_mode_depends_on_no_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        kept_token(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o660, 0o644, 0o700, 0o4600])
def test_one_that_others_could_use_is_refused_with_what_mends_it(tmp_path: Path, mode: int) -> None:
    secret = kept_token(tmp_path).secret
    (tmp_path / "token").chmod(mode)
    with pytest.raises(TokenError, match=rf"mode {mode:04o}.*delete it and restart the sidecar") as refused:
        kept_token(tmp_path)
    assert secret not in str(refused.value)


def test_one_that_may_only_be_read_is_private_enough(tmp_path: Path) -> None:
    made = kept_token(tmp_path)
    (tmp_path / "token").chmod(0o400)
    assert kept_token(tmp_path) == made


def test_one_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_token(tmp_path)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(TokenError, match=rf"another user \(uid {mine}\).*delete it"):
        kept_token(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"x" * 600, b"a b" * 20, b"\xff" * 50, b"a" * 43 + b"\n" + b"b" * 43]
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(TokenError, match="holds no token: delete it"):
        kept_token(tmp_path)


def test_what_is_no_file_is_refused_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    with pytest.raises(TokenError, match="holds no token"):
        kept_token(tmp_path)


def test_a_directory_that_takes_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"cannot be written.*WATCHDOG_STATE_DIR"):
        kept_token(tmp_path / "absent")


def test_what_an_interrupted_start_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "token.new").write_text("half a tok")
    made = kept_token(tmp_path)
    assert read_token(tmp_path / "token") == made
    assert not (tmp_path / "token.new").exists()


def test_one_that_is_not_there_is_said_with_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"There is no token .*WATCHDOG_STATE_DIR.*WATCHDOG_TOKEN_FILE"):
        read_token(tmp_path / "token")


def test_it_shows_itself_in_no_representation(tmp_path: Path) -> None:
    made = kept_token(tmp_path)
    assert made.secret not in f"{made!r} {made}"


@pytest.mark.parametrize(
    ("authorization", "may"),
    [
        ("Bearer secret", True),
        ("bearer secret", True),
        ("Bearer  secret ", True),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("secret", False),
        ("Basic secret", False),
        ("Bearer secre", False),
        ("Bearer secrets", False),
        ("Bearer Secret", False),
        ("Bearer secret secret", False),
        ("Bearer s\xe9cret", False),
    ],
)
def test_only_the_bearer_of_the_whole_token_may_act(authorization: str, may: bool) -> None:
    assert Token("secret").shown_in(authorization) is may


def test_it_is_compared_in_constant_time_whatever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def watched(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return real(given, wanted)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    for authorization in ("Bearer secret", "Bearer wrong", "Basic wrong", ""):
        Token("secret").shown_in(authorization)
    assert compared == [
        (b"secret", b"secret"), (b"wrong", b"secret"), (b"wrong", b"secret"), (b"", b"secret"),
    ]  # fmt: skip

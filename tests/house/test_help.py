"""Every command explains itself: what it does, an example, and exit codes out of the one list."""

from __future__ import annotations

import re

import pytest

from alpimonitor_cli import commands as program
from tests.command_tree import EXIT_CODES, Command, commands

ALL = commands()


def test_the_list_of_exit_codes_is_the_programs_own() -> None:
    listed = (program.__doc__ or "").partition("every command: ")[2]
    assert {int(code) for code in re.findall(r"\b\d+\b", listed)} == EXIT_CODES


@pytest.mark.parametrize("command", ALL.values(), ids=ALL)
def test_a_command_has_an_example(command: Command) -> None:
    assert re.search(rf"Examples?: .*\balpimonitor {command.words}\b", command.text)


@pytest.mark.parametrize("command", ALL.values(), ids=ALL)
def test_a_command_states_its_exit_codes(command: Command) -> None:
    assert command.exit_codes <= EXIT_CODES
    # Whatever it does: it may do it, be called wrongly, and be interrupted.
    assert {0, 2, 130} <= command.exit_codes

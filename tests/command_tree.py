"""Every command of `alpimonitor`, found by walking the tree that the program itself is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from typer.core import TyperGroup
from typer.main import get_command

from alpimonitor_cli.commands import app

EXIT_CODES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 130})
"""Those that all commands share: `alpimonitor_cli.commands` says what each means."""


@dataclass(frozen=True)
class Command:
    """A command that can be run, and what its --help says."""

    words: str  # "watchdog run"
    text: str  # its description and its closing lines, one space between any two words

    @property
    def exit_codes(self) -> frozenset[int]:
        """Those after "Exit codes:"; empty when it names none."""
        _, found, rest = self.text.partition("Exit codes: ")
        sentence = rest.partition(". ")[0]
        codes = [re.match(r"(\d+) \S", clause.strip()) for clause in sentence.split(";")]
        assert not found or all(codes), f"{self.words}: not every part of {sentence!r} begins with a code"
        return frozenset(int(code[1]) for code in codes if code)


def commands() -> dict[str, Command]:
    """By their words, in order."""
    root = get_command(app)
    found = _below(root, typer.Context(root, info_name="alpimonitor"), ())
    return {command.words: command for command in found}


def _below(group: object, context: typer.Context, words: tuple[str, ...]) -> Iterator[Command]:
    if not isinstance(group, TyperGroup):
        help_text = f"{getattr(group, 'help', None) or ''} {getattr(group, 'epilog', None) or ''}"
        yield Command(" ".join(words), " ".join(help_text.split()))
        return
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from _below(found, typer.Context(found, info_name=name, parent=context), (*words, name))

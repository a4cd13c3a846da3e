"""The `command` healer: a declared program plans and runs; its empty plan proves that nothing is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.seen import HealSeen, PlanSeen
from ..core.words import HealOutcome
from .child import Child, Ended, redact


@dataclass(frozen=True)
class Command:
    """[heal.command]: argument lists, and the seconds each program may take."""

    plan: tuple[str, ...]
    run: tuple[str, ...]
    after: tuple[tuple[str, ...], ...] = ()
    deadline: float = 60.0

    @property
    def label(self) -> str:
        return shown(self.run)


def shown(argv: Sequence[str]) -> str:
    """An argument list for people."""
    return redact(" ".join(argv))


class PlanError(Exception):
    """The plan program did not print a plan."""


class CommandHealer:
    """Plans and heals through declared programs."""

    name = "command"

    def __init__(self, command: Command, child: Child) -> None:
        self._command = command
        self._child = child

    def plan(self) -> PlanSeen:
        """What the program would do. Never raises: `failed` says why there is no plan."""
        argv = self._command.plan
        ended = self._child.run(argv, self._command.deadline)
        if not ended.ok:
            return PlanSeen(failed=f"`{shown(argv)}` {_how(ended)}")
        try:
            return parse_plan(ended.stdout)
        except PlanError as error:
            return PlanSeen(failed=f"`{shown(argv)}`: {error}")

    def heal(self, heal_id: str) -> HealSeen:
        """Run the program, then ask for its plan again: only an empty one is success."""
        argv = self._command.run
        ended = self._child.run(argv, self._command.deadline)
        if ended.stopped:
            return HealSeen(heal_id, HealOutcome.INTERRUPTED, ended.detail)
        if ended.late:
            return HealSeen(heal_id, HealOutcome.DEADLINE, f"`{shown(argv)}` {ended.detail}")
        if not ended.ok:
            return HealSeen(heal_id, HealOutcome.FAILED, f"`{shown(argv)}` {_how(ended)}")
        left = self.plan()
        if left.failed:
            return HealSeen(heal_id, HealOutcome.FAILED, f"cannot be proven: {left.failed}")
        if left.inserts or left.updates or left.deletes:
            rows = ", ".join(
                f"{count} {table}" for table, count in left.inserts + left.updates + left.deletes
            )
            return HealSeen(heal_id, HealOutcome.FAILED, f"after `{shown(argv)}` its plan still has {rows}")
        return HealSeen(heal_id, HealOutcome.SUCCEEDED, f"`{shown(argv)}` exited 0, its plan is now empty")

    def after(self) -> tuple[str, ...]:
        """Run what follows a heal; one sentence each."""
        sentences = []
        for argv in self._command.after:
            ended = self._child.run(argv, self._command.deadline)
            sentences.append(f"`{shown(argv)}` " + ("exited 0" if ended.ok else _how(ended)))
        return tuple(sentences)


def parse_plan(printed: bytes) -> PlanSeen:
    """`{"inserts": {table: [row]}, "updates": {table: [...]}, "deletes": {table: [key]}}` -> counts.

    Raises PlanError with what is wrong and where.
    """
    try:
        plan = json.loads(printed)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"what it printed is not JSON ({error})") from error
    if not isinstance(plan, dict):
        raise PlanError("it printed JSON, but not an object with inserts, updates and deletes")
    return PlanSeen(
        inserts=_counts(plan, "inserts"), updates=_counts(plan, "updates"), deletes=_counts(plan, "deletes")
    )


def _counts(plan: dict[str, object], part: str) -> tuple[tuple[str, int], ...]:
    if part not in plan:
        raise PlanError(f"its plan has no {part!r}")
    tables = plan[part]
    if not isinstance(tables, dict) or not all(isinstance(rows, list) for rows in tables.values()):
        raise PlanError(f"{part!r} of its plan is not an object of lists by table")
    if not all(table.isprintable() for table in tables):
        raise PlanError(f"{part!r} of its plan has a table whose name cannot be printed")
    return tuple((table, len(rows)) for table, rows in tables.items() if rows)


def _how(ended: Ended) -> str:
    if ended.code is None:
        return ended.detail
    return f"exited {ended.code}" + (f": {ended.detail}" if ended.detail else "")


def programs(command: Command) -> Sequence[tuple[str, ...]]:
    """Every argument list that is declared, for checking."""
    return (command.plan, command.run, *command.after)

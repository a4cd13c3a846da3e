"""Where the `alpimonitor` command begins: an interrupt, however early, ends it with exit code 130.

It imports no more than that takes. The commands are in commands.py.
"""

from __future__ import annotations

import os

INTERRUPTED = 130

try:
    import signal  # takes a few milliseconds, in which there is no handler yet but Python's own
except KeyboardInterrupt:
    raise SystemExit(INTERRUPTED) from None

TYPE_CHECKING = False  # what typing calls so; importing it would take longer than all else here
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn


def main() -> None:
    """Entry point. SIGINT and SIGTERM end a command alike, unless it says otherwise."""
    _on_interrupt(_leave)
    from alpimonitor_cli.commands import app

    try:
        app(obj=lambda: _on_interrupt(_interrupt))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        # An interrupt that met the execution of a string (so dataclasses are made) is remembered by CPython,
        # caught or not, and after `python -m` the process would die of the signal. Another string clears it.
        exec("")  # noqa: S102


def _on_interrupt(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell without job control lets what it starts in the background ignore interrupts: that stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Until the command begins: nothing has to be cleaned up, and an import may lose an exception."""
    os._exit(INTERRUPTED)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

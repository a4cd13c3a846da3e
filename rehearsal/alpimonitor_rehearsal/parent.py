"""Makes this process end when the one that started it does, by kill -9 too."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
LOOK_EVERY_SECONDS = 0.5


def die_with_parent(parent: int | None = None) -> None:
    """Call first thing in main. Linux signals at once; elsewhere a thread looks at the parent twice a second.

    With `parent`, the process id of whoever started this one, it also notices one that has ended already.

    On Linux the kernel watches the parent's thread that started this process: start it from one that stays.
    Raises OSError when the kernel refuses.
    """
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refused to watch the parent process")
        # It may have died before the kernel was asked; then nobody would ever signal.
        if os.getppid() != parent:
            sys.exit("the process that started this one is gone")
        return
    threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)

"""Becomes a program that dies with its parent: run as a script, it changes user, asks the kernel, and execs.

    python -I -S leash.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT ...]

PARENT is the process id of whoever started it; SIGNAL is what the program gets when that one dies, by kill -9
too; UID and GID are numbers, or `-` to stay who one is. A process of its own rather than a function run
between fork and exec, which is unsafe in a program with threads. It imports nothing of ours: the interpreter
has to start within milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, on_death, uid, gid, *command = arguments
    os.umask(0o077)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After the change of user, which clears the request.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(on_death), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refused to watch the parent process")
        # The parent may have died before the kernel was asked; then nobody would ever signal.
        if os.getppid() != int(parent):
            sys.exit(f"process {parent}, which started this one, is gone")
    # The interpreter ignores SIGPIPE, and what is ignored stays ignored in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

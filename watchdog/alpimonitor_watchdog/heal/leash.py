"""A program of its own, started as a file: become another program that the kernel ends with its parent.

    python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT …]

Without it a heal would outlive a sidecar that is killed by -9, and run beside the next one. Linux only. The
wish survives the exec that follows; it is made here, after the fork, in a process that has one thread.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the wish was made
        sys.exit(1)
    os.execvp(argv[0], argv)  # noqa: S606 - an argument list from the settings


if __name__ == "__main__":
    main()

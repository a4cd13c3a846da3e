"""A program of its own, started as a file: run another program that ends with whoever started this one.

    python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT …]

Without it a heal would outlive a sidecar that is killed by -9, and run beside the next one. Linux only. It
leads the session and stays: the kernel tells it of its parent's end, and it ends the whole session, so that
what the program has started itself ends, too, in whatever process group. It ends as the program ended.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def groups_of(session: int) -> set[int]:
    """The process groups of a session in which something runs; without /proc that of its leader."""
    groups: set[int] = set()
    if not os.path.isdir("/proc/self"):  # noqa: PTH112 - it starts in half the time without pathlib
        return {session} if _sent(session, 0) else groups
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, _, group, of = file.read().rpartition(b")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(of) == session and state not in (b"Z", b"X"):
            groups.add(int(group))
    return groups


def signal_all(session: int, number: int) -> bool:
    """Signal all that runs in a session; its leader's group last. False: nothing did."""
    groups = groups_of(session)
    for group in (*(groups - {session}), session):
        _sent(group, number)
    return bool(groups)


def _sent(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGUSR1, lambda *_: signal_all(os.getpid(), signal.SIGKILL))
    # Meant for the group: the program decides what it does about them, and this one waits for it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:  # it ended before the wish was made
        sys.exit(1)
    program = os.fork()
    if program == 0:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - an argument list from the settings
    _, status = os.waitpid(program, 0)
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()

"""Child processes that give way to calls that somebody waits for."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

LAST: Final = 15
"""Beside calls that take all cores it has a thirtieth of them, and what calls leave. On two
cores a training at 10, not in batches, made Embed's p99 twice as long (bench/niced_work.py);
at 19 a busy server's trainings hardly ever ended."""

LATER: Final = 10
"""For what somebody waits for: beside calls that take all cores it still has a tenth of them."""

_given: Final[set[int]] = set()
"""Children that were told to; those that have ended go when somebody counts."""


def give_way(pid: int, niceness: int = LAST) -> None:
    """Let a child of ours run behind everybody else; to be called as soon as it is started,

    since to import its libraries alone takes it most of a second, and its threads are as it
    is when it starts them. One that has ended already is left alone.
    """
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        _given.add(pid)
        if hasattr(os, "SCHED_BATCH"):
            # It takes no processor away from what runs when it wakes up.
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    # Where Linux groups by session, niceness counts inside one only, and our children have
    # sessions of their own: sched(7), "The autogroup feature". In ours it would be our own.
    with suppress(OSError):
        if os.getsid(pid) != os.getsid(0):
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def n_giving_way() -> int:
    """Return how many threads run, or would, of the children that give way to us."""
    return sum(map(_n_running, tuple(_given)))


def _n_running(pid: int) -> int:
    n = 0
    for thread in _threads(pid):
        try:
            state, parent = thread.read_bytes().rpartition(b")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if int(parent) != os.getpid():  # another one has its number now
            _given.discard(pid)
            return 0
        n += state == b"R"
    return n


def _threads(pid: int) -> list[Path]:
    try:
        return [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        _given.discard(pid)
        return []

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


def give_way(pid: int, niceness: int = LAST) -> None:
    """Let a child of ours run behind everybody else; to be called as soon as it is started,

    since to import its libraries alone takes it most of a second, and its threads are as it
    is when it starts them. One that has ended already is left alone.
    """
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        if hasattr(os, "SCHED_BATCH"):
            # It takes no processor away from what runs when it wakes up.
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    # Where Linux groups by session, niceness counts inside one only, and our children have
    # sessions of their own: sched(7), "The autogroup feature". In ours it would be our own.
    with suppress(OSError):
        if os.getsid(pid) != os.getsid(0):
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness))

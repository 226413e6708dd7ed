"""Children that run behind everybody else."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

from icecore.server import giving_way
from icecore.server.giving_way import LAST, LATER, give_way, n_giving_way

PROGRAM = """
import os, sys, threading
sys.stdin.read(1)
def told():
    who = threading.get_native_id()
    print(os.getpriority(os.PRIO_PROCESS, who), os.sched_getscheduler(who))
told()
thread = threading.Thread(target=told)
thread.start()
thread.join()
"""


def autogroup(pid: int | str = "self") -> str | None:
    """The group of a process and its niceness; None where Linux makes no such groups."""
    try:
        return Path(f"/proc/{pid}/autogroup").read_text().strip() or None
    except OSError:
        return None


def test_a_child_and_its_later_threads_give_way() -> None:
    group = autogroup()
    for niceness, is_apart in product((LATER, LAST), (True, False)):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=is_apart,
        ) as child:
            give_way(child.pid, niceness)
            if is_apart and group is not None:
                assert (autogroup(child.pid) or "").endswith(f" nice {niceness}")
            said, _ = child.communicate(b"x")
        assert said.split() == [b"%d" % niceness, b"%d" % os.SCHED_BATCH] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0, "we do not"
    assert autogroup() == group, "nor do others of our session"


def test_a_child_that_has_ended_is_left_alone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    give_way(child.pid)


BUSY = """
import sys, threading
sys.stdin.read(1)
print(end="+", flush=True)
def work():
    while True:
        pass
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
sys.stdin.read(1)
"""


def test_threads_of_ours_that_give_way_are_counted_while_they_run() -> None:
    assert n_giving_way() == 0

    def until(holds: Callable[[int], bool]) -> None:
        deadline = time.monotonic() + 30
        while not holds(n_giving_way()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        give_way(child.pid)
        until(lambda n: n == 0)  # it sleeps until it is told to begin
        child.stdin.write(b"x")
        child.stdin.flush()
        child.stdout.read(1)
        until(lambda n: n >= 1)  # each waits for the other's lock of the interpreter
        child.communicate(b"x")
    assert n_giving_way() == 0
    assert child.pid not in giving_way._given

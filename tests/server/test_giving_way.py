"""Children that run behind everybody else."""

import os
import subprocess
import sys

from icecore.server.giving_way import LAST, LATER, give_way

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


def test_a_child_and_its_later_threads_give_way() -> None:
    for niceness in (LATER, LAST):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            give_way(child.pid, niceness)
            said, _ = child.communicate(b"x")
        assert said.split() == [b"%d" % niceness, b"%d" % os.SCHED_BATCH] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0, "we do not"


def test_a_child_that_has_ended_is_left_alone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    give_way(child.pid)

"""The process that looks at a file first: how it is held, and what is said when it ends."""

import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from beside import children
from hostile_graphs import SLOW
from icecore.server.backbones.admission import admitting_child
from icecore.server.backbones.admission.admitting import admit
from icecore.server.backbones.admission.inspecting.frames import (
    read_message,
    write_frame,
    write_message,
)
from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.errors import (
    GraphInvalid,
    GraphTooCostly,
    IcecoreError,
    Internal,
)
from icecore.server.giving_way import LATER
from toys import toy_graph

READY = """
import os, signal, sys, time
from icecore.server.backbones.admission.inspecting.frames import *
out = sys.stdout.buffer
write_message(out, {"event": "ready"})
job = read_message(sys.stdin.buffer)
data = [read_frame(sys.stdin.buffer, max_bytes=1 << 20) for _ in range(2)]
"""


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program take the inspector's place."""
    monkeypatch.setattr(admitting_child, "COMMAND", (sys.executable, "-P", "-c", program))


def test_a_caller_who_leaves_ends_the_process_at_once() -> None:
    left: Future[None] = Future()
    timer = threading.Timer(0.5, left.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        admit(SLOW.make(), limits=AdmissionLimits(wall_s=120.0), caller_left=left)
    timer.join()


def test_a_caller_who_has_left_already_gets_no_answer() -> None:
    left: Future[None] = Future()
    left.cancel()
    with pytest.raises(CancelledError):
        admit(toy_graph(), caller_left=left)


@pytest.mark.parametrize(
    ("program", "error", "says"),
    [
        ("raise SystemExit(3)", Internal, "does not start"),
        (READY + "raise SystemExit(3)", GraphInvalid, "ended with status 3"),
        (READY + "os.kill(os.getpid(), signal.SIGSEGV)", GraphTooCostly, "memory"),
        (READY + "os.abort()", GraphTooCostly, "memory"),
        (READY + "os.kill(os.getpid(), signal.SIGKILL)", GraphTooCostly, "memory"),
        (READY + "os.kill(os.getpid(), signal.SIGXCPU)", GraphTooCostly, "processor time"),
        (READY + "os.kill(os.getpid(), signal.SIGILL)", GraphInvalid, "signal 4"),
        (READY + "out.write(b'\\xff' * 9)", GraphInvalid, "nonsense"),
        (READY + "write_frame(out, b'[1]')", GraphInvalid, "nonsense"),
        (
            READY + "write_message(out, {'event': 'refused', 'reason': 'INTERNAL',"
            " 'message': 'x', 'details': {}})",
            GraphInvalid,
            "nonsense",
        ),
        (
            READY + "write_message(out, {'event': 'admitted'}); out.write(b'\\xff' * 9)",
            GraphInvalid,
            "nonsense",
        ),
    ],
)
def test_a_process_that_ends_or_speaks_badly_is_the_files_fault(
    monkeypatch: pytest.MonkeyPatch, program: str, error: type[IcecoreError], says: str
) -> None:
    """Ours alone is one that does not even start."""
    stand_in(monkeypatch, program)
    with pytest.raises(error, match=says) as caught:
        admit(toy_graph())
    assert type(caught.value) is error


def test_a_process_that_writes_without_end_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says on standard error is read and thrown away, but for the end."""
    stand_in(monkeypatch, READY + "os.write(2, b'x' * (1 << 24)); raise SystemExit(1)")
    with pytest.raises(GraphInvalid, match="status 1"):
        admit(toy_graph())


def test_the_process_knows_no_secret_and_is_not_where_the_server_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ICECORE_KEY", "secret")
    program = READY + (
        "said = sorted(os.environ) + [os.getcwd(), str(os.getsid(0) == os.getpid())];"
        "write_message(out, {'event': 'refused', 'reason': 'GRAPH_INVALID',"
        " 'message': repr(said), 'details': {}})"
    )
    stand_in(monkeypatch, program)
    with pytest.raises(GraphInvalid) as caught:
        admit(toy_graph())
    assert "ICECORE_KEY" not in str(caught.value)
    assert "HOME" not in str(caught.value)
    assert str(caught.value).endswith("'/', 'True']")


def test_the_process_may_not_write_files_nor_open_many() -> None:
    program = """
import os, tempfile
from icecore.server.backbones.admission.inspecting.inspector import _limit_this_process
from icecore.server.backbones.admission.inspecting.frames import (
    read_message,
    write_frame,
    write_message,
)
from icecore.server.backbones.admission.limits import USUAL
_limit_this_process(USUAL, 1 << 30)
try:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    print("wrote")
except OSError:
    print("no file")
try:
    print("opened", len([os.open("/dev/null", os.O_RDONLY) for _ in range(100)]))
except OSError:
    print("not many")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split(b"\n")[:2] == [b"no file", b"not many"]


def test_the_process_is_humble_and_ends_when_the_server_is_gone() -> None:
    """A server that is killed in the middle leaves nobody behind."""
    pipe = subprocess.PIPE
    data = SLOW.make()
    job = {"limits": USUAL.to_json(), "n_bytes": len(data), "recipe": None, "recipe_file": None}
    with subprocess.Popen(
        admitting_child.COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        stdin, stdout = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        read_message(stdout)
        first_to_go = Path(f"/proc/{process.pid}/oom_score_adj").read_text()
        assert int(first_to_go) == 1000, "where memory ends, the server would go first"
        write_message(stdin, job)
        write_frame(stdin, b"")
        write_frame(stdin, data)
        stdin.close()
        assert process.wait(timeout=60) == 0


def test_the_process_gives_way_from_its_start() -> None:
    with admitting_child.Child(wall_s=60, caller_left=None) as child:
        assert os.getpriority(os.PRIO_PROCESS, child._process.pid) == LATER


def test_a_process_that_was_killed_leaves_no_zombie() -> None:
    before = children(os.getpid())
    with pytest.raises(GraphTooCostly):
        admit(SLOW.make(), limits=AdmissionLimits(wall_s=0.5))
    assert children(os.getpid()) == before

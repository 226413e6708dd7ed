"""The process that looks at a file first: how it is held, and what is said when it ends."""

import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import BinaryIO, cast

import pytest

from hostile_graphs import HOSTILE
from icecore.server.backbones.admission import admitting_child
from icecore.server.backbones.admission.admitting import Admission, admit
from icecore.server.backbones.admission.inspector_frames import (
    read_message,
    write_frame,
    write_message,
)
from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.errors import (
    GraphInvalid,
    GraphTooCostly,
    GraphTooLarge,
    IcecoreError,
    Internal,
    Overloaded,
)
from toys import toy_graph

READY = """
import os, signal, sys, time
from icecore.server.backbones.admission.inspector_frames import *
out = sys.stdout.buffer
write_message(out, {"event": "ready"})
job = read_message(sys.stdin.buffer)
data = [read_frame(sys.stdin.buffer, max_bytes=1 << 20) for _ in range(2)]
"""


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program take the inspector's place."""
    monkeypatch.setattr(admitting_child, "COMMAND", (sys.executable, "-P", "-c", program))


def file(name: str) -> bytes:
    return HOSTILE[name].make()


def slow_file() -> bytes:
    return file("pooling for minutes")


def test_processor_time_is_limited() -> None:
    with pytest.raises(GraphTooCostly, match="more than 1 s of processor time"):
        admit(slow_file(), limits=AdmissionLimits(cpu_s=1))


def test_the_clock_is_limited() -> None:
    with pytest.raises(GraphTooCostly, match=r"longer than 0\.7 s"):
        admit(slow_file(), limits=AdmissionLimits(wall_s=0.7))


def test_memory_is_limited() -> None:
    """How large its tensors are shows when it runs, and not before."""
    limits = AdmissionLimits(base_memory_bytes=500 << 20, memory_factor=0.0)
    with pytest.raises(GraphTooCostly, match="500 MiB of memory"):
        admit(file("size by pixels"), limits=limits)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (replace(USUAL, max_file_bytes=1000), "3,196 bytes, but 1,000 are the most"),
        (replace(USUAL, max_answer_bytes=1000), "stored"),
        (replace(USUAL, max_layers=2), "layers, but 2 are the most"),
        (replace(USUAL, max_nodes=9), "more than 9 nodes"),
    ],
)
def test_a_file_beyond_a_limit_is_too_large(limits: AdmissionLimits, says: str) -> None:
    with pytest.raises(GraphTooLarge, match=says):
        admit(toy_graph(), limits=limits)


@pytest.mark.parametrize(
    "limits",
    [
        replace(USUAL, max_tensor_bytes=1000),
        replace(USUAL, max_live_bytes=1500),
        replace(USUAL, max_macs=1000),
        replace(USUAL, max_run_s=-1.0),
        replace(USUAL, max_analysis_s=-1.0),
    ],
)
def test_a_network_beyond_a_limit_is_too_costly(limits: AdmissionLimits) -> None:
    with pytest.raises(GraphTooCostly, match=r"are the most|is the most"):
        admit(toy_graph(), limits=limits)


def test_a_caller_who_leaves_ends_the_process_at_once() -> None:
    left: Future[None] = Future()
    timer = threading.Timer(0.5, left.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        admit(slow_file(), limits=AdmissionLimits(wall_s=120.0), caller_left=left)
    timer.join()


def test_a_caller_who_has_left_already_gets_no_answer() -> None:
    left: Future[None] = Future()
    left.cancel()
    with pytest.raises(CancelledError):
        admit(toy_graph(), caller_left=left)


def test_few_files_wait_and_the_next_is_told_to_come_again() -> None:
    door = Admission(at_once=1, waiting=1)
    left: Future[None] = Future()
    ends: list[type[BaseException]] = []

    def look() -> None:
        try:
            door.admit(slow_file(), caller_left=left)
        except (CancelledError, Overloaded) as error:
            ends.append(type(error))

    looking = [threading.Thread(target=look) for _ in range(3)]
    for thread in looking:
        thread.start()
    while Overloaded not in ends:  # the third, whichever that is
        looking[0].join(0.01)
    left.cancel()
    for thread in looking:
        thread.join()
    assert sorted(end.__name__ for end in ends) == [
        "CancelledError",
        "CancelledError",
        "Overloaded",
    ]


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
from icecore.server.backbones.admission.inspector import _limit_this_process
from icecore.server.backbones.admission.inspector_frames import (
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


def test_the_process_ends_when_the_server_is_gone() -> None:
    """Killed in the middle of its work, the server leaves nobody behind."""
    pipe = subprocess.PIPE
    data = slow_file()
    job = {"limits": USUAL.to_json(), "n_bytes": len(data), "recipe": None, "recipe_file": None}
    with subprocess.Popen(
        admitting_child.COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        stdin, stdout = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        read_message(stdout)
        write_message(stdin, job)
        write_frame(stdin, b"")
        write_frame(stdin, data)
        stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_process_that_was_killed_leaves_no_zombie() -> None:
    with pytest.raises(GraphTooCostly):
        admit(slow_file(), limits=AdmissionLimits(wall_s=0.5))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

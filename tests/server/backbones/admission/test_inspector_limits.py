"""What a file may cost, and that each limit holds and is named."""

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace

import pytest

from hostile_graphs import HOSTILE, SLOW
from icecore.server.backbones.admission.admitting import Admission, admit
from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.errors import (
    GraphTooCostly,
    GraphTooLarge,
    Overloaded,
)
from toys import toy_graph


def test_processor_time_is_limited() -> None:
    with pytest.raises(GraphTooCostly, match="more than 1 s of processor time"):
        admit(SLOW.make(), limits=AdmissionLimits(cpu_s=1))


def test_the_clock_is_limited() -> None:
    with pytest.raises(GraphTooCostly, match=r"longer than 0\.7 s"):
        admit(SLOW.make(), limits=AdmissionLimits(wall_s=0.7))


def test_memory_is_limited() -> None:
    """How large its tensors are shows when it runs, and not before."""
    limits = AdmissionLimits(base_memory_bytes=500 << 20, memory_factor=0.0)
    with pytest.raises(GraphTooCostly, match="500 MiB of memory"):
        admit(HOSTILE["size by pixels"].make(), limits=limits)


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


def test_few_files_wait_and_the_next_is_told_to_come_again() -> None:
    door = Admission(at_once=1, waiting=1)
    left: Future[None] = Future()
    ends: list[type[BaseException]] = []
    said_s: list[float | None] = []

    def look() -> None:
        try:
            door.admit(SLOW.make(), caller_left=left)
        except Overloaded as error:
            said_s.append(error.retry_after_s)
            ends.append(type(error))
        except CancelledError as error:
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
    (again_s,) = said_s
    assert again_s is not None
    assert 1 <= again_s <= 60, "and is told when"

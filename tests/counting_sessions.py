"""Sessions that count what runs, and wait to be let through where they are told to."""

import threading
from typing import Any

import numpy.typing as npt

from icecore.server.backbones.running.sessions import Readied, Sessions


class CountingSessions(Sessions):
    """`runs` holds the taps of each image that ran; with `is_gated` passes wait for `gate`."""

    def __init__(self, *, is_gated: bool = False) -> None:
        super().__init__(max_bytes=1 << 24, threads=1)
        self.runs: list[tuple[Any, ...]] = []
        self.began = threading.Event()
        self.gate = threading.Event()
        if not is_gated:
            self.gate.set()

    def readied(
        self, backbone: Any, taps: Any, inputs: npt.NDArray[Any], *rest: Any, **named: Any
    ) -> Readied:
        self.runs.extend([tuple(taps)] * len(inputs))
        self.began.set()
        assert self.gate.wait(30), "nobody opened the gate"
        return super().readied(backbone, taps, inputs, *rest, **named)

"""How many times as fast the int8 network runs on one thread."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.running.sessions import Sessions

FloatArray = npt.NDArray[np.float32]

BATCH: Final = 8
"""Images at once, as the embedder runs them."""

MIN_ROUNDS, MAX_ROUNDS, SECONDS = 5, 40, 4.0
"""Enough for a median, and no longer than it takes to be bored."""


def throughput_ratio(
    plain: Backbone,
    int8: Backbone,
    inputs: FloatArray,
    *,
    layers: Sequence[Layer] = (),
    batch: int = BATCH,
) -> float:
    """Return images a second of int8 to float32, the median of rounds that run both in turn.

    In CPU time of this thread, which does all of the work: so neighbours on a busy
    machine weigh little.

    Args:
        inputs: images, repeated or cut off to a batch.
        layers: what is read; the network's last, for which all of it runs, by default.
        batch: images at once.
    """
    whole = np.resize(inputs, (batch, *inputs.shape[1:]))
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    names = [layer.name for layer in layers or plain.layers[-1:]]
    taps = [(one, [one.tap(one.layer(f"name:{name}")) for name in names]) for one in (plain, int8)]
    ratios: list[float] = []
    began = time.monotonic()
    while len(ratios) <= MIN_ROUNDS or (
        len(ratios) <= MAX_ROUNDS and time.monotonic() - began < SECONDS
    ):
        spent = []
        for backbone, read in taps:
            start = time.thread_time()
            sessions.run(backbone, read, whole)
            spent.append(time.thread_time() - start)
        ratios.append(spent[0] / max(spent[1], 1e-9))
    return median(ratios[1:])  # the first made the sessions

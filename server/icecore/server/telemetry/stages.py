"""Where the call under way spent its time, gathered from whatever it asks to be embedded.

What is embedded in a task of its own that outlives the call is no longer the call's.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

MOST_KEPT: Final = 64
"""Embeddings kept one by one for spans; a stream of a million batches is no trace."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One embedding that ended: what, how many, and its times in seconds.

    `ended` is a value of `time.perf_counter()`. Decoding and computing are summed over
    the threads that did them, so that with many images they may pass `total_s`.
    """

    backbone: str
    layer: str
    n_images: int
    queue_s: float
    decode_s: float
    compute_s: float
    total_s: float
    ended: float = field(default_factory=perf_counter)


@dataclass(slots=True)
class Stages:
    """Sums over a call's embeddings, and the first of them one by one."""

    n_embeddings: int = 0
    queue_s: float = 0.0
    decode_s: float = 0.0
    compute_s: float = 0.0
    kept: list[Embedding] = field(default_factory=list)
    is_over: bool = False

    def add(self, embedding: Embedding) -> None:
        if self.is_over:
            return
        self.n_embeddings += 1
        self.queue_s += embedding.queue_s
        self.decode_s += embedding.decode_s
        self.compute_s += embedding.compute_s
        if len(self.kept) < MOST_KEPT:
            self.kept.append(embedding)


_CURRENT: ContextVar[Stages | None] = ContextVar("icecore_stages", default=None)


def begin() -> Stages:
    """Return the stages of the call that this task serves from now on."""
    stages = Stages()
    _CURRENT.set(stages)
    return stages


def current() -> Stages | None:
    """Return those of the call that this task serves; None where it serves none."""
    return _CURRENT.get()

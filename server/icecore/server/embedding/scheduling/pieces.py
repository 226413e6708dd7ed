"""What waits for its turn: a call's stay in the house, and one piece of it for each image."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic, perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.scheduling.allowances import Account
from icecore.wire.taps import TapId


class Priority(Enum):
    """Whose turn it is among one tenant's images; other tenants do not notice."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Ran:
    """Where the time of a piece went, in milliseconds; `..._cpu_ms` is the processor's.

    What a session cost that had to be made first is in `compute_ms`, not in `pass_cpu_ms`:
    the next piece does not need it.
    """

    queue_ms: float
    decode_ms: float
    compute_ms: float
    decode_cpu_ms: float
    pass_cpu_ms: float


class Learner(Protocol):
    """What learns from the pieces that ran."""

    def learn(self, ran: Ran) -> None: ...


@dataclass(slots=True, eq=False)
class Stay:
    """One call from its admission to its last answer; its pieces wait in one line.

    Args:
        weight: the tenant's share beside other tenants.
        cost_ms: of one image, by estimate at the door.
        n_left: images without an answer yet.
        late_at: of `time.monotonic`; if no image was started by then, none will be.
        has_started: whether one was, or has its codes without.
        account: where what it has had done is counted, also once its tenant is deleted.
        began_for: the call that it belongs to, where its image was put before others.
    """

    tenant_id: str = ""
    priority: Priority = Priority.INTERACTIVE
    weight: float = 1.0
    cost_ms: float = 1.0
    n_left: int = 1
    late_at: float | None = None
    has_started: bool = False
    began_for: "Stay | None" = None
    account: Account | None = None

    def start(self) -> None:
        """Note that an image was started, and for whom."""
        self.has_started = True
        if self.began_for is not None:
            self.began_for.start()


@dataclass(slots=True, eq=False)
class Piece:
    """One image of a call, from its submission to its answer.

    Args:
        prepare: gives the network's input, (3, h, w) float32 or (h, w, 3) uint8; called in
            a worker thread.
        keep: takes the codes of the image, one array a tap without the axis of images;
            called in a worker thread.
        deadline: of `time.monotonic`; past it the piece is not started.
        cost_ms: what it will take of one core, by estimate.
        image: as it came in, for who wants to know its size.
        guess: where the estimate came from, and learns what it did take.
        stay: of the call; without one the piece has a line of its own.
        is_waiting: whether it has its place in line, and was not taken out.
        left_at: of `time.monotonic`, when the caller gave it up.
    """

    backbone: Backbone
    taps: tuple[TapId, ...]
    prepare: Callable[[], npt.NDArray[Any]]
    keep: Callable[[list[npt.NDArray[np.float32]]], None]
    answer: "asyncio.Future[Ran]"
    tenant_id: str = ""
    priority: Priority = Priority.INTERACTIVE
    deadline: float | None = None
    cost_ms: float = 1.0
    image: ImageInput | None = None
    guess: "Learner | None" = None
    since: float = field(default_factory=perf_counter)
    stay: Stay = field(default_factory=Stay)
    is_waiting: bool = False
    left_at: float | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anyone still waits for it, and in time."""
        return not self.answer.done() and (self.deadline is None or monotonic() < self.deadline)

    def fail(self, error: BaseException) -> None:
        """Answer with an error, from a worker thread; a caller who left is not told."""

        def tell() -> None:
            if not self.answer.done():
                self.answer.set_exception(error)

        self.answer.get_loop().call_soon_threadsafe(tell)

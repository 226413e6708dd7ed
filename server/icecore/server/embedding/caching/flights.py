"""Single flight: what several callers want at the same time is run once.

A flight is one piece under way and all who wait for its codes. It goes on as long as
one of them does, and until the last of their deadlines. Lives on one event loop.
"""

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from icecore.server.embedding.scheduling.pieces import Piece, Ran

FloatArray = npt.NDArray[np.float32]


class FlightLost(Exception):
    """The piece was given up, or failed for a caller who sent it under another name."""


class Flight:
    """One piece and those who wait for it.

    Args:
        give_up: called with the piece when nobody waits any more.
        landed: called with the flight when it has ended, well or not.
    """

    def __init__(
        self, give_up: Callable[[Piece], None], landed: Callable[["Flight"], None]
    ) -> None:
        self.codes: list[FloatArray] | None = None
        """One array a tap of the piece, once it has ended well; nobody changes them."""
        self._give_up = give_up
        self._landed = landed
        self._piece: Piece | None = None
        self._owner: asyncio.Future[Ran] | None = None
        self._waiting: dict[asyncio.Future[Ran], float | None] = {}

    def keep(self, codes: list[FloatArray]) -> None:
        """Take the codes of the piece, in a worker thread."""
        self.codes = [_own(one) for one in codes]

    def begin(self, piece: Piece) -> None:
        """Tie the piece to the flight, before it may start."""
        self._piece = piece
        piece.answer.add_done_callback(self._land)

    def join(self, deadline: float | None) -> "asyncio.Future[Ran]":
        """Return what is answered when the flight ends, for one who waits until then.

        Cancel it to leave. It raises FlightLost where the flight failed, but to whoever
        joined first, whose piece it is: the error is about that one's image and deadline.
        """
        waiting: asyncio.Future[Ran] = asyncio.get_running_loop().create_future()
        if self._owner is None:
            self._owner = waiting
        self._waiting[waiting] = deadline
        waiting.add_done_callback(self._leave)
        if self._piece is not None:
            self._piece.deadline = self._last_deadline()
        return waiting

    def hasten(self, hasten: Callable[[Piece], Piece]) -> None:
        """Let the piece be put before others; `hasten` gives what stands in its place."""
        if self._piece is not None:
            self._piece = hasten(self._piece)

    def _leave(self, waiting: "asyncio.Future[Ran]") -> None:
        if waiting not in self._waiting:
            return  # answered
        del self._waiting[waiting]
        if self._piece is None or self._piece.answer.done():
            return
        if self._waiting:
            self._piece.deadline = self._last_deadline()
        else:
            self._give_up(self._piece)

    def _land(self, answer: "asyncio.Future[Ran]") -> None:
        self._landed(self)
        self._piece = None  # it holds the image, and this flight: neither would be freed at once
        waiting, self._waiting = self._waiting, {}
        error = None if answer.cancelled() else answer.exception()
        for one in waiting:
            if one.done():
                continue
            if error is not None and one is self._owner:
                one.set_exception(error)
            elif error is not None or answer.cancelled():
                one.set_exception(FlightLost())
            else:
                one.set_result(answer.result())

    def _last_deadline(self) -> float | None:
        """The latest, None where one of them would wait for ever."""
        last = 0.0
        for deadline in self._waiting.values():
            if deadline is None:
                return None
            last = max(last, deadline)
        return last


def _own(codes: FloatArray) -> FloatArray:
    """Not a row of a batch, which would hold the whole of it in memory."""
    base = codes.base
    return codes if base is None or base.nbytes == codes.nbytes else codes.copy()

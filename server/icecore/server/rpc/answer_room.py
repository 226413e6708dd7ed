"""Room for an answer: taken before its codes are made, let go when gRPC has written it.

An image of 150 KB has maps of 23 MB, and who asks for them and reads nothing leaves them here
until the deadline. What an answer takes is known from what is asked for.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from math import prod
from time import monotonic
from typing import Any, Final

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.embedding.orders import CALL_LIMITS
from icecore.server.rpc.holding import Caller, Holding
from icecore.wire.taps import TapId

_MOST_VALUES: Final = CALL_LIMITS.max_code_bytes // 4


class AnswerRoom:
    """The room of one answer; none is taken at first.

    Args:
        caller: None: it is not counted.
        before: of the answer that is written before this one, in a stream.
    """

    __slots__ = ("_before", "_caller", "_gone", "_holding", "_is_over", "_n_bytes", "_since")

    def __init__(
        self,
        holding: Holding | None,
        caller: Caller | None,
        before: "AnswerRoom | None" = None,
    ) -> None:
        self._holding = holding
        self._caller = caller
        self._before = before
        self._gone: asyncio.Event | None = None
        self._is_over = False
        self._n_bytes = 0
        self._since = 0.0

    def begin(self) -> None:
        """Make it the one that this task's `take` is about."""
        _CURRENT.set(self)

    @property
    def is_taken(self) -> bool:
        return self._n_bytes > 0

    async def take(self, n_bytes: int) -> None:
        """Take so much, in place of what was taken before. Raises as the function below."""
        holding, caller, before = self._holding, self._caller, self._before
        if holding is None or caller is None or self._is_over:
            return
        self._give_back()
        if before is not None and not holding.has_room(caller, n_bytes):
            await before.over()
        holding.count_answer(caller, n_bytes)
        self._n_bytes, self._since, self._before = n_bytes, monotonic(), None

    def let_go(self, _: object = None) -> None:
        """Its answer was written, or never will be. Idempotent; takes what callbacks are given."""
        self._give_back()
        self._before = None
        self._is_over = True
        if self._gone is not None:
            self._gone.set()

    async def over(self) -> None:
        """Return when it was let go."""
        if not self._is_over:
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()

    def _give_back(self) -> None:
        n_bytes, self._n_bytes = self._n_bytes, 0
        if n_bytes and self._holding is not None and self._caller is not None:
            self._holding.let_go_answer(self._caller, n_bytes, monotonic() - self._since)


_NOT_COUNTED: Final = AnswerRoom(None, None)
_CURRENT: ContextVar[AnswerRoom] = ContextVar("icecore_answer_room", default=_NOT_COUNTED)


async def take(n_values: int, n_images: int, dtype: np.dtype[Any]) -> None:
    """Take room for the current request's codes, in place of what was taken for it before.

    In a stream it waits for the answers before it to be written, where they leave too little.
    More than one call may ask for is not counted: the embedder refuses it before it makes room.

    Args:
        n_values: of one image, see `values_at`.

    Raises:
        Overloaded: there is none.
    """
    n_all = n_values * n_images
    if n_all <= _MOST_VALUES:
        await _CURRENT.get().take(n_all * dtype.itemsize)


def values_at(backbone: Backbone, taps: Sequence[TapId]) -> int:
    """Return how many values one image has at the taps.

    Raises:
        TapMismatch, LayerNotFound, PoolingInvalid: as the embedder would.
    """
    return sum([prod(codes_shape(backbone.layer_of(tap), tap.pooling)) for tap in taps])


def in_turn() -> Iterator[AnswerRoom]:
    """Yield a room for each of the current call's answers, written one after the other."""
    whole = _CURRENT.get()
    last = None
    while True:
        last = AnswerRoom(whole._holding, whole._caller, last)
        yield last

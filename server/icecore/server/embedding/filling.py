"""The images of one call to their codes: known ones, those under way, and runs of its own."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.embedding.caching.code_cache import CodeCache, Joined, Sought
from icecore.server.embedding.caching.flights import FlightLost
from icecore.server.embedding.gathering import Gathering
from icecore.server.embedding.orders import Order
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Ran
from icecore.wire.taps import TapId

FloatArray = npt.NDArray[np.float32]

LARGEST_CACHED_BYTES: Final = 1 << 20
"""Codes of one image above this, such as whole maps, are neither kept nor shared."""

_KNOWN_AT_ONCE: Final = 8
"""Images known already after which others have the event loop: hashing and looking them up
takes up to 0.3 ms each."""


class Filling:
    """One call under way. Images are in line `ahead` at a time, and counted in their order.

    Args:
        cache: None where nothing is to be kept or shared.
        submit: puts a piece in line.
        give_up: takes one out that nobody wants any more.
        hasten: lets one of bulk go first; see `Turns.hasten`.
        ended: told of each image that has its codes.
    """

    def __init__(
        self,
        order: Order,
        gathering: Gathering,
        *,
        ahead: int,
        cache: CodeCache | None,
        submit: Callable[[Piece], None],
        give_up: Callable[[Piece], None],
        hasten: Callable[[Piece], Piece],
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._ended = ended
        self._order = order
        self._gathering = gathering
        self._ahead = ahead
        is_small = 4 * sum(map(prod, order.shapes)) <= LARGEST_CACHED_BYTES
        self._cache = cache if is_small else None
        self._life = cache.life(order.tenant_id) if cache is not None else 0
        self._submit = submit
        self._give_up = give_up
        self._hasten = hasten
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Fill the gathering. What fails first, in the order of the images, is raised."""
        line: deque[_Waiting] = deque()
        n_begun = 0
        n_images = len(self._order.images)
        try:
            for index in range(n_images):
                while n_begun < min(n_images, index + self._ahead):
                    line.append(await self._begin(n_begun))
                    n_begun += 1
                await self._end(line[0])
                line.popleft()
                if self._ended is not None:
                    self._ended()
                if index % _KNOWN_AT_ONCE == _KNOWN_AT_ONCE - 1 and index + 1 < n_images:
                    await asyncio.sleep(0)
        finally:
            for waiting in line:
                waiting.leave(self._give_up)

    async def _begin(self, index: int) -> "_Waiting":
        if self._cache is None:
            return self._alone(index, self._order.taps)
        order = self._order
        sought = await self._cache.seek(
            order.tenant_id, order.images[index], order.taps, life=self._life
        )
        waiting = _Waiting(index, sought=sought)
        if sought.flight is not None:
            piece = order.piece(
                index, sought.missing, self._loop.create_future(), sought.flight.keep
            )
            sought.flight.begin(piece)
            waiting.own = sought.flight.join(order.deadline)
            try:
                self._submit(piece)
            except BaseException:
                waiting.leave(self._give_up)
                self._give_up(piece)  # whoever has joined already would wait for ever
                raise
        if order.priority is Priority.INTERACTIVE:
            for one in sought.joined:
                one.flight.hasten(self._hasten)
        waiting.others = [(one, one.flight.join(order.deadline)) for one in sought.joined]
        return waiting

    def _alone(self, index: int, taps: tuple[TapId, ...]) -> "_Waiting":
        """One image by itself, straight into the gathering."""
        answer: asyncio.Future[Ran] = self._loop.create_future()
        piece = self._order.piece(index, taps, answer, self._gathering.keeping(index, taps))
        try:
            self._submit(piece)
        except BaseException:
            self._give_up(piece)  # it may stand in line already
            raise
        return _Waiting(index, own=answer, piece=piece)

    async def _end(self, waiting: "_Waiting") -> None:
        sought = waiting.sought
        if waiting.own is not None:
            self._gathering.count(await waiting.own, is_first=waiting.index == 0)
        if sought is None:
            return
        codes = dict(sought.known)
        if sought.flight is not None:
            codes.update(zip(sought.missing, sought.flight.codes or (), strict=True))
        lost = []
        for joined, answer in waiting.others:
            try:
                ran = await answer
            except FlightLost:
                lost.append(joined.tap)
                continue
            if joined.flight.codes is None:
                raise RuntimeError("a flight landed without codes")
            codes[joined.tap] = joined.flight.codes[joined.index]
            if waiting.own is None:
                self._gathering.count_shared(ran, is_first=waiting.index == 0)
        if lost:
            again = self._alone(waiting.index, tuple(lost))
            try:
                await self._end(again)
            finally:
                again.leave(self._give_up)
        elif waiting.own is None:
            self._gathering.n_cached += 1
        self._gathering.keeping(waiting.index, tuple(codes))(list(codes.values()))


@dataclass(slots=True, eq=False)
class _Waiting:
    """What one image waits for."""

    index: int
    own: "asyncio.Future[Ran] | None" = None
    piece: Piece | None = None
    sought: Sought | None = None
    others: "list[tuple[Joined, asyncio.Future[Ran]]]" = field(default_factory=list)

    def leave(self, give_up: Callable[[Piece], None]) -> None:
        if self.piece is not None:
            give_up(self.piece)
        elif self.own is not None:
            self.own.cancel()
        for _, answer in self.others:
            answer.cancel()

"""Streams whose first message is a header and whose later ones are its parts.

A sender who stands still is given up, so that what an upload holds here (its turn, a
file on the way in) is not held for ever. A message is let go when the next is asked for,
so whoever reads keeps none: a header, of which there are as many as turns, is all.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import Any, Final, Protocol, Self

from icecore.server.errors import InvalidArgument, Overloaded
from icecore.server.rpc.in_hand import one_at_a_time
from icecore.server.stays import Stays

STALL_S: Final = 60.0
"""Longest pause between two messages; a client that reads from a slow disk takes a second."""


_TURN_S: Final = 10.0
"""What a turn is thought to take as long as none has ended."""


class Part(Protocol):
    """A message that holds one of several things in its `part`."""

    def WhichOneof(self, oneof_group: Any, /) -> Any: ...  # noqa: N802 - protobuf's


class Parts:
    """Reads such a stream, in order: `header` once, then `rest`.

    Raises:
        InvalidArgument: no header first, a second one, a message that holds nothing,
            or a pause of more than `stall_s`.
    """

    def __init__(self, requests: AsyncIterator[Any], *, stall_s: float = STALL_S) -> None:
        self._requests = requests
        self._stall_s = stall_s
        self._n_read = 0

    async def header(self) -> Any:
        """Return the header, which must be the first message."""
        message = await self._next()
        if message is None:
            raise InvalidArgument("the stream ended before its header came")
        if message.WhichOneof("part") != "header":
            raise InvalidArgument("the first message of the stream holds no header")
        return message.header

    def rest(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield the name and the value of each part after the header."""
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        message = await self._next()
        if message is None:
            raise StopAsyncIteration
        match message.WhichOneof("part"):
            case None:
                raise InvalidArgument(f"message {self._n_read} of the stream holds nothing")
            case "header":
                raise InvalidArgument(f"message {self._n_read} of the stream holds a header again")
            case kind:
                return kind, getattr(message, kind)

    async def _next(self) -> Any:
        try:
            async with asyncio.timeout(self._stall_s) as pause:
                with one_at_a_time(pause):
                    message = await anext(self._requests, None)
        except TimeoutError as error:
            raise InvalidArgument(
                f"nothing came for {self._stall_s:g} s: the upload was given up and left "
                "nothing behind, send it again"
            ) from error
        self._n_read += 1
        return message


class Turns:
    """How many calls of a kind are under way at once; the door refuses more."""

    def __init__(
        self, most: int, sentence: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._sentence = sentence
        self._stays = Stays(_TURN_S, clock=clock)
        self._n_under_way = 0

    @contextmanager
    def take(self) -> Any:
        """Hold a turn.

        Raises:
            Overloaded: all are taken; `retry_after_s` is about when one is given back.
        """
        if self._n_under_way >= self._most:
            raise Overloaded(self._sentence, retry_after_s=self._stays.next_leaves_s)
        self._n_under_way += 1
        try:
            with self._stays.one():
                yield
        finally:
            self._n_under_way -= 1

"""What one call has in hand: a message is read when there is room, and let go when it is done.

The message of a call that has one is held to the call's end. Of a stream's, the oldest goes
with each answer, or when its reader asks for so many more that it must be done with it. A
reader that answers only at the end keeps none: see `one_at_a_time`.
Beside it there is room for the call's answer, which stays until that was sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final, Self

from icecore.server.rpc.answer_room import AnswerRoom
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.holding import Caller, Holding
from icecore.server.rpc.reading import Read
from icecore.server.rpc.streams import AHEAD

IDLE_S: Final = 1.0
"""A stream that has not sent its next message by then may never do: room is not kept for it."""


class Hand:
    """The messages that the current call has in hand, oldest first; its context lets them go."""

    def __init__(self, holding: Holding, method: str) -> None:
        """Begin, once the call is let in.

        What needs no key (health, reflection) is not counted, so that nobody unknown can
        keep it from others.
        """
        principal = current_call().principal
        self._holding = holding
        self._caller = None if principal is None else holding.caller(principal.tenant_id or "")
        self._method = method
        self._messages: AsyncIterator[Read] | None = None
        self._held: deque[tuple[int, float]] = deque()
        self._is_first = True
        self._is_closed = False
        self._room = AnswerRoom(holding, self._caller)
        self._room.begin()
        self._is_sending = False
        self._pause: asyncio.Timeout | None = None
        _CURRENT.set(self)

    def each(self, messages: AsyncIterator[Read]) -> AsyncIterator[Read]:
        """Yield the messages, each when there is room for it.

        The first one of a call is refused where there is none; later ones wait, and their
        sender with them.

        Raises:
            Overloaded: there is no room.
        """
        self._messages = messages
        return self if self._caller is not None else messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Read:
        holding, caller, messages = self._holding, self._caller, self._messages
        if caller is None or messages is None:
            raise StopAsyncIteration
        with self._no_pause():
            n_foreseen = await holding.take_room(
                caller, self._method, may_be_refused=self._is_first
            )
        kept = _Kept(holding, caller, n_foreseen)
        if not self._is_first:
            kept.end_after(IDLE_S)
        try:
            read = await anext(messages)
            self._is_first = False
            if read.error is None and not self._is_closed:
                holding.count(caller, self._method, read.n_bytes)
                self._held.append((read.n_bytes, monotonic()))
        finally:
            kept.end()
        if len(self._held) > AHEAD + 1:
            self.answered()  # whoever asks for more is done with it
        return read

    def answered(self) -> None:
        """Let the oldest message go."""
        if self._held and self._caller is not None:
            n_bytes, since = self._held.popleft()
            self._holding.let_go(self._caller, n_bytes, monotonic() - since)

    @contextmanager
    def asked(self, pause: asyncio.Timeout) -> Iterator[None]:
        """As `one_at_a_time`."""
        while self._held:
            self.answered()
        self._pause = pause
        try:
            yield
        finally:
            self._pause = None

    @contextmanager
    def _no_pause(self) -> Iterator[None]:
        """Stop the clock of the sender's pause for a while."""
        pause, now = self._pause, asyncio.get_running_loop().time
        end = None if pause is None or pause.expired() else pause.when()
        if pause is None or end is None:
            yield
            return
        left = end - now()
        pause.reschedule(None)
        try:
            yield
        finally:
            if self._pause is pause:  # or nobody waits for the message any more
                pause.reschedule(now() + left)

    def sends(self, context: Any) -> None:
        """Hold the room of the answer until gRPC has sent it, or the caller left.

        Args:
            context: gRPC's, of the call.
        """
        if self._room.is_taken:
            context.add_done_callback(self._room.let_go)
            self._is_sending = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._is_closed = True
        if not self._is_sending:
            self._room.let_go()
        while self._held:
            self.answered()


_CURRENT: Final[ContextVar[Hand | None]] = ContextVar("icecore_hand", default=None)


@contextmanager
def one_at_a_time(pause: asyncio.Timeout) -> Iterator[None]:
    """Ask for the current call's next message, done with all before it.

    Or an upload would wait for room that only its own messages take.

    Args:
        pause: ends when the sender has been silent for too long. It stands still while there
            is no room for the message, for which the sender is waiting too.
    """
    hand = _CURRENT.get()
    if hand is None:
        yield
        return
    with hand.asked(pause):
        yield


class _Kept:
    """Room that is kept for a message until it is there, or for some time."""

    def __init__(self, holding: Holding, caller: Caller, n_bytes: int) -> None:
        self._holding = holding
        self._caller = caller
        self._n_bytes = n_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def end_after(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        if not self._is_over:
            self._is_over = True
            if self._timer is not None:
                self._timer.cancel()
            self._holding.give_back(self._caller, self._n_bytes)

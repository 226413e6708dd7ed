"""How many bytes of messages and answers the server has in hand: of all callers, and of each.

Of a message gRPC tells nothing before all of it is there, and a caller may open as many
calls as it likes. So room is taken before a message is read, for one as large as those of
this caller and method were lately, and corrected when it is there; until then it waits at
the sender's. Each caller may have as much as is left free, so that with k who want all
there is room for one more (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from icecore.server.errors import Overloaded
from icecore.server.rpc.tidying import Tidying

MAX_READS: Final = 64
"""Messages of one caller on their way at once, however small they were lately."""

MAX_WAIT_S: Final = 2.0
"""How long a call waits for others of its caller whose messages are on their way."""

_FIRST_GUESS: Final = 16 << 20
"""Bytes of the first message of a caller and method: the most that our own client sends."""

_FORGETTING: Final = 0.9
_SHORTEST_STAY_S: Final = 0.05
_LONGEST_STAY_S: Final = 5.0


@dataclass(slots=True, eq=False)
class Caller:
    name: str
    n_bytes: int = 0
    """Of messages that are here, and answers that are made or not yet sent."""
    n_answer_bytes: int = 0
    """Of these answers alone."""
    n_foreseen: int = 0
    """Kept free for those on their way."""
    n_reads: int = 0
    guesses: dict[str, float] = field(default_factory=dict)
    waiting: "dict[asyncio.Future[None], int]" = field(default_factory=dict)
    """For room of so many bytes, in the order they came."""


class Holding:
    """Bounds the bytes in hand. Lives on one event loop.

    Args:
        max_bytes: of all callers; at least those of one message.
    """

    def __init__(self, max_bytes: int, *, tidying: Tidying | None = None) -> None:
        self._tidying = tidying or Tidying()
        self._max_bytes = max_bytes
        self._first_guess = min(_FIRST_GUESS, max_bytes // 4)
        self._callers: dict[str, Caller] = {}
        self._waiting: OrderedDict[str, Caller] = OrderedDict()
        self._stay_s = _SHORTEST_STAY_S
        self.n_bytes = 0
        self.n_foreseen = 0

    def caller(self, name: str) -> "Caller":
        found = self._callers.get(name)
        if found is None:
            found = self._callers[name] = Caller(name)
        return found

    async def take_room(self, caller: Caller, method: str, *, may_be_refused: bool) -> int:
        """Keep room for a message on its way; return how many bytes of it.

        Raises:
            Overloaded: what is here leaves none, or what was on its way has not come in time.
        """
        n_bytes = int(caller.guesses.get(method, self._first_guess))
        if not caller.waiting and self._fits(caller, n_bytes):
            self._reserve(caller, n_bytes)
            return n_bytes
        if may_be_refused and caller.n_bytes + n_bytes > self._max_bytes - self.n_bytes:
            raise self._overloaded(caller, n_bytes)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        caller.waiting[turn] = n_bytes
        self._waiting[caller.name] = caller
        try:
            async with asyncio.timeout(MAX_WAIT_S if may_be_refused else None):
                await turn
        except TimeoutError:
            self._leave(caller, turn, n_bytes)
            raise self._overloaded(caller, n_bytes) from None
        except BaseException:
            self._leave(caller, turn, n_bytes)
            raise
        return n_bytes

    def _leave(self, caller: Caller, turn: "asyncio.Future[None]", n_bytes: int) -> None:
        """Wait no longer; give back what came at the same moment."""
        caller.waiting.pop(turn, None)
        if turn.cancelled():
            self._wake()  # it may have stood before others
        else:
            self.give_back(caller, n_bytes)

    def _fits(self, caller: Caller, n_bytes: int) -> bool:
        here = caller.n_bytes + caller.n_foreseen
        left = self._max_bytes - self.n_bytes - self.n_foreseen
        return caller.n_reads < MAX_READS and here + n_bytes <= left

    def _reserve(self, caller: Caller, n_bytes: int) -> None:
        caller.n_reads += 1
        caller.n_foreseen += n_bytes
        self.n_foreseen += n_bytes

    def give_back(self, caller: Caller, n_bytes: int) -> None:
        caller.n_reads -= 1
        caller.n_foreseen -= n_bytes
        self.n_foreseen -= n_bytes
        self._wake()

    def count(self, caller: Caller, method: str, n_bytes: int) -> None:
        """Raises Overloaded: the message is larger than what is left."""
        before = caller.guesses.get(method, float(n_bytes))
        caller.guesses[method] = max(
            float(n_bytes), _FORGETTING * before + (1 - _FORGETTING) * n_bytes
        )
        if caller.n_bytes + n_bytes > self._max_bytes - self.n_bytes:
            raise self._overloaded(caller, n_bytes)
        caller.n_bytes += n_bytes
        self.n_bytes += n_bytes
        self._tidying.has(self.n_bytes)

    def let_go(self, caller: Caller, n_bytes: int, stay_s: float) -> None:
        caller.n_bytes -= n_bytes
        self.n_bytes -= n_bytes
        self._tidying.has(self.n_bytes)
        self._stay_s += (1 - _FORGETTING) * (stay_s - self._stay_s)
        self._wake()

    def has_room(self, caller: Caller, n_bytes: int) -> bool:
        """Return whether an answer fits.

        It is held against the caller's answers, and not against its messages as well: or one
        that has its share of messages in hand would be refused the answers to all of them.
        The first of whoever is alone always fits, or a small house would never give it.
        """
        left = self._max_bytes - self.n_bytes
        is_alone = caller.n_bytes == self.n_bytes and not caller.n_answer_bytes
        return is_alone or caller.n_answer_bytes + n_bytes <= left

    def count_answer(self, caller: Caller, n_bytes: int) -> None:
        """Raises Overloaded: the answer is larger than what is left."""
        if not self.has_room(caller, n_bytes):
            raise self._overloaded(caller, n_bytes, is_answer=True)
        caller.n_answer_bytes += n_bytes
        caller.n_bytes += n_bytes
        self.n_bytes += n_bytes
        self._tidying.has(self.n_bytes)

    def let_go_answer(self, caller: Caller, n_bytes: int, stay_s: float) -> None:
        caller.n_answer_bytes -= n_bytes
        self.let_go(caller, n_bytes, stay_s)

    def _wake(self) -> None:
        """Let those go on that there is room for now, one caller after another."""
        for _ in range(len(self._waiting)):
            name, caller = self._waiting.popitem(last=False)
            while caller.waiting:
                turn, n_bytes = next(iter(caller.waiting.items()))
                if not self._fits(caller, n_bytes):
                    self._waiting[name] = caller
                    break
                del caller.waiting[turn]
                if not turn.done():
                    self._reserve(caller, n_bytes)
                    turn.set_result(None)

    def _overloaded(self, caller: Caller, n_bytes: int, *, is_answer: bool = False) -> Overloaded:
        left = self._max_bytes - self.n_bytes
        has, what, way_out = (
            (caller.n_answer_bytes, "answers", "read answers as they come, or ask for less at once")
            if is_answer
            else (caller.n_bytes, "messages and answers", "send fewer or smaller images at once")
        )
        return Overloaded(
            f"{has:,} bytes of this caller's {what} are in hand and {n_bytes:,} more would be "
            f"more than its share of the {left:,} that are left; try again later, or {way_out}",
            retry_after_s=min(max(self._stay_s, _SHORTEST_STAY_S), _LONGEST_STAY_S),
        )

"""Turns and bounds in simulated time: workers that only wait, callers who come when told.

Nothing here reads a clock or starts a thread, so a minute of load takes a second and every
run is the same.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, cast

from icecore.server.embedding.scheduling.bounds import Bounds
from icecore.server.embedding.scheduling.costs import Mean
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay
from icecore.server.embedding.scheduling.turns import Turns
from icecore.server.errors import Overloaded
from icecore.server.telemetry.metrics import Metrics
from waiting_pieces import Answer, piece


@dataclass(eq=False)
class Call:
    """One call and what became of it. Times are seconds of the house."""

    tenant_id: str
    n_images: int
    cost_ms: float
    came: float
    told: "Callable[[Call], None] | None" = None
    stay: Stay | None = None
    to_put: deque[Piece] = field(default_factory=deque)
    in_line: list[Piece] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    error: BaseException | None = None
    leave: ExitStack | None = None

    @property
    def ms(self) -> float:
        assert self.ended is not None
        return (self.ended - self.came) * 1e3


class House:
    """`threads` workers behind turns and bounds.

    Args:
        speed: what a thread does in a millisecond of what it would do on a core of its own.
        guess: what is thought of the cost of an image, given what it will be.
        first_ms: what is thought at first; what images took is learned then, as `Costs` does.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        max_queue_ms: float = 1000.0,
        speed: float = 1.0,
        guess: Callable[[float], float] = lambda ms: ms,
        first_ms: float | None = None,
        weights: dict[str, float] | None = None,
    ) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.turns = Turns(metrics=self.metrics, clock=lambda: self.now)
        self.bounds = Bounds(
            threads=threads, max_queue_ms=max_queue_ms, clock=lambda: self.now, random=Random(1)
        )
        self.calls: list[Call] = []
        self.served_ms: dict[str, float] = {}
        self._weights = weights or {}
        self._ahead = 2 * threads
        self._idle = threads
        self._speed = speed
        self._guess = guess
        self._mean = None if first_ms is None else Mean(first_ms)
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, do: Callable[[], None]) -> None:
        heappush(self._events, (time, next(self._numbers), do))

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until then, or until nothing happens any more."""
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heappop(self._events)
            do()

    def come(
        self,
        tenant_id: str,
        n_images: int = 1,
        *,
        cost_ms: float = 30.0,
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
        may_wait: bool = False,
        told: Callable[[Call], None] | None = None,
    ) -> Call:
        """Let a call come now, as `Embedder.embed` takes it in; `told` when it is answered."""
        call = Call(tenant_id, n_images, cost_ms, self.now, told)
        self.calls.append(call)
        away_s = None if may_wait else self.bounds.away_s(tenant_id)
        if away_s is not None:
            call.error, call.ended = Overloaded("by its headers", retry_after_s=away_s), self.now
            if told is not None:
                told(call)
            return call
        guess_ms = self._guess(cost_ms) if self._mean is None else self._mean.value
        call.leave = ExitStack()
        try:
            stay = call.leave.enter_context(
                self.bounds.admit(
                    tenant_id,
                    n_images,
                    cost_ms=guess_ms,
                    weight=self._weights.get(tenant_id, 1.0),
                    priority=priority,
                    may_wait=may_wait,
                    deadline=deadline,
                )
            )
        except Overloaded as error:
            call.error, call.ended = error, self.now
            if told is not None:
                told(call)
            return call
        call.stay = stay
        call.to_put.extend(
            piece(
                tenant_id, cost_ms=guess_ms, stay=stay, priority=priority, deadline=deadline,
                name=call,
            )
            for _ in range(n_images)
        )  # fmt: skip
        for _ in range(min(self._ahead, n_images)):
            self._put(call)
        self._wake()
        return call

    def poisson(self, tenant_id: str, rate: float, *, until: float, seed: int, **call: Any) -> None:
        """Let calls come from now on, `rate` a second on average."""
        random = Random(seed)

        def one() -> None:
            self.come(tenant_id, **call)
            later = self.now + random.expovariate(rate)
            if later < until:
                self.at(later, one)

        self.at(self.now + random.expovariate(rate), one)

    def of(self, tenant_id: str) -> list[Call]:
        return [call for call in self.calls if call.tenant_id == tenant_id]

    def _wake(self) -> None:
        while self._idle and (turn := self.turns.take(wait=False)) is not None:
            self._start(turn)

    def _start(self, turn: Piece) -> None:
        call: Call = cast("Any", turn.backbone)
        self._idle -= 1
        if call.started is None:
            call.started = self.now
        seconds = call.cost_ms / 1e3 / self._speed
        self.at(self.now + seconds, lambda: self._end(turn, call))

    def _end(self, turn: Piece, call: Call) -> None:
        self._idle += 1
        _answer(turn).is_done = True
        self.turns.settle(turn, call.cost_ms)
        self.bounds.served(call.cost_ms)
        if self._mean is not None:
            self._mean.learn(call.cost_ms)
        self.served_ms[call.tenant_id] = self.served_ms.get(call.tenant_id, 0.0) + call.cost_ms
        if call.stay is not None and call.ended is None:
            self.bounds.ended(call.stay)
            if call.to_put:
                self._put(call)
            elif not call.stay.n_left:
                assert call.leave is not None
                call.leave.close()
                call.ended = self.now
                if call.told is not None:
                    call.told(call)
        self._wake()

    def _put(self, call: Call) -> None:
        turn = call.to_put.popleft()
        _answer(turn).told = lambda error: self.leave(call, error)
        call.in_line.append(turn)
        self.turns.put(turn)

    def leave(self, call: Call, error: BaseException | None = None) -> None:
        """Let the caller go, who waits no longer or was told why."""
        if call.ended is not None:
            return
        call.error, call.ended = error, self.now
        for turn in call.in_line:
            self.turns.forget(turn)
            _answer(turn).is_done = True
        assert call.leave is not None
        call.leave.close()
        if call.told is not None:
            call.told(call)


def _answer(turn: Piece) -> Answer:
    answer: Any = turn.answer
    assert isinstance(answer, Answer)
    return answer

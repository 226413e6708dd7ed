"""Who is next when many want the same thing: each gets its share, whoever asks for more.

Start-time fair queueing (Goyal, Vin and Cheng 1996): every flow has a tag, the virtual time
at which its next piece may start. The flow with the lowest tag is served, its tag grows by
cost / weight, and the clock of virtual time stands at the tag last served. With several
servers the same order is fair up to one piece a server (Jin, Chase and Kaur 2004, "SFQ(D)").

Costs may be corrected later: a flow whose work took more than was said pays the rest with
its tag. It knows nothing of pieces, threads or clocks, and is not thread-safe.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FAR: Final = 2.0**30
"""Virtual time is set back to 0 from here: tags of 1e15 would not tell a cost from another."""

_LEFT_OVER: Final = 8
"""Places in the heap a flow; beyond, those that no longer count are thrown out."""


@dataclass(slots=True)
class _Flow:
    tag: float
    weight: float
    is_waiting: bool = True
    number: int = 0
    """Of its one place in a heap that counts; others are left over."""


class Shares(Generic[Key]):
    """The flows that wait, in the order of their turns; O(log n) a turn.

    A flow that leaves and comes back starts where it was, at most `credit` before the
    present virtual time: who asked for less than its share may have a few pieces in a row,
    but nobody saves up more by being idle. What it owes it still owes, until virtual time
    has caught up or nobody waits any more. So over any time a flow that waits gets its
    share less `credit` and one piece (the idea: borrowed virtual time, Duda and Cheriton 1999).
    """

    def __init__(self, credit: float = 0.0) -> None:
        self._credit = credit
        self._now = 0.0
        self._flows: dict[Key, _Flow] = {}
        self._order: list[tuple[float, int, Key]] = []
        self._resting: list[tuple[float, int, Key]] = []
        self._n_numbers = 0

    def __len__(self) -> int:
        """Flows that are known: those that wait, and those that owe or have less credit."""
        return len(self._flows)

    def join(self, key: Key, weight: float = 1.0) -> None:
        """Let a flow wait; one that waits already only takes the new weight."""
        flow = self._flows.get(key)
        if flow is None:
            self._place(key, _Flow(self._earliest, weight))
            return
        flow.weight = weight
        if not flow.is_waiting:
            flow.is_waiting = True
            flow.tag = max(flow.tag, self._earliest)
            self._place(key, flow)

    def leave(self, key: Key) -> None:
        """Let a flow wait no more."""
        flow = self._flows[key]
        flow.is_waiting = False
        self._rest(key, flow)

    def first(self) -> Key | None:
        """Return whose turn it is; None where nobody waits, and then all is forgiven."""
        key = self._first()
        if key is None:
            self._flows.clear()
            self._resting.clear()
        return key

    def waiting(self, most: int) -> list[Key]:
        """Return up to `most` flows that wait, in the order of their turns."""
        found: list[Key] = []
        places = []
        while len(found) < most and self._first() is not None:
            place = heappop(self._order)
            places.append(place)
            found.append(place[2])
        for place in places:
            heappush(self._order, place)
        return found

    def charge(self, key: Key, cost: float, *, in_turn: bool = True) -> None:
        """Serve a flow that waits: it pays the cost, and virtual time goes on to its tag.

        Not so where it is served before its turn: whoever comes then starts no later for it.
        """
        flow = self._flows[key]
        if in_turn:
            self._now = max(self._now, flow.tag)
            if self._now > _FAR:
                self._set_back()
        flow.tag += cost / flow.weight
        self._place(key, flow)
        self._forget()

    def correct(self, key: Key, extra: float, weight: float = 1.0) -> None:
        """Charge a flow what its work took more than was said; negative: less.

        `weight` is that of a flow that was forgotten meanwhile.
        """
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow(self._earliest, weight, is_waiting=False)
        flow.tag = max(flow.tag + extra / flow.weight, self._earliest)
        if flow.is_waiting:
            self._place(key, flow)
        else:
            self._rest(key, flow)

    @property
    def _earliest(self) -> float:
        """The lowest tag that a flow may have which did not wait."""
        return self._now - self._credit

    def _set_back(self) -> None:
        """Count all tags from the present virtual time; nobody's turn or debt changes."""
        for flow in self._flows.values():
            flow.tag -= self._now
        self._order = [(tag - self._now, number, key) for tag, number, key in self._order]
        self._resting = [(tag - self._now, number, key) for tag, number, key in self._resting]
        self._now = 0.0

    def _first(self) -> Key | None:
        while self._order:
            _, number, key = self._order[0]
            flow = self._flows.get(key)
            if flow is not None and flow.is_waiting and flow.number == number:
                return key
            heappop(self._order)
        return None

    def _place(self, key: Key, flow: _Flow) -> None:
        self._n_numbers += 1
        flow.number = self._n_numbers
        self._flows[key] = flow
        heappush(self._order, (flow.tag, flow.number, key))
        if len(self._order) > _LEFT_OVER * (len(self._flows) + _LEFT_OVER):
            self._order = [
                (flow.tag, flow.number, key) for key, flow in self._flows.items() if flow.is_waiting
            ]
            heapify(self._order)

    def _rest(self, key: Key, flow: _Flow) -> None:
        """Remember a flow that does not wait for as long as it makes a difference."""
        if flow.tag <= self._earliest:
            del self._flows[key]
            return
        self._n_numbers += 1
        flow.number = self._n_numbers
        heappush(self._resting, (flow.tag, flow.number, key))

    def _forget(self) -> None:
        """Let go of those that would be treated as if they had never been there."""
        while self._resting and self._resting[0][0] <= self._earliest:
            _, number, key = heappop(self._resting)
            flow = self._flows.get(key)
            if flow is not None and not flow.is_waiting and flow.number == number:
                del self._flows[key]

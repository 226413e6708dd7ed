"""How long those stay who are let in, and so when one who is not may come again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

_LEARNING: Final = 0.3
_SHORTEST_S: Final = 1.0
"""Also where the oldest has stayed longer than most do: it may go on."""

_LONGEST_S: Final = 60.0


class Stays:
    """Safe for threads. `first_s` is what is foreseen as long as nobody has left."""

    def __init__(self, first_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mean_s = first_s
        self._clock = clock
        self._since: dict[int, float] = {}
        self._n = 0
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one for as long as it is here."""
        began = self._clock()
        with self._lock:
            self._n += 1
            number = self._n
            self._since[number] = began
        try:
            yield
        finally:
            with self._lock:
                del self._since[number]
                self._mean_s += _LEARNING * (self._clock() - began - self._mean_s)

    @property
    def next_leaves_s(self) -> float:
        """When the one that came first has stayed as long as they do, within reason."""
        with self._lock:
            stayed_s = self._clock() - min(self._since.values(), default=self._clock())
            return min(max(self._mean_s - stayed_s, _SHORTEST_S), _LONGEST_S)

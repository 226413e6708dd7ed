"""Values that are made when they are first wanted, once, whichever thread wants them first."""

from collections.abc import Callable
from threading import RLock
from typing import TypeVar, cast

T = TypeVar("T")


class Once:
    """What was made, by name. Others wait while one makes it."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._made: dict[str, object] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return cast(T, self._made[name])

"""Gives memory back to the system after large messages: what is freed in pieces malloc keeps."""

import asyncio
from collections.abc import Callable
from typing import Final

from icecore.server.backbones.running import freed_memory

LARGE_BYTES: Final = 16 << 20
"""Of messages in hand at once: less is not worth walking over all that is free."""

QUIET_S: Final = 2.0
"""Others may come soon, and use what is free."""


class Tidying:
    """Waits until there is a quarter left of what was in hand, then tidies in a thread.

    Lives on one event loop.
    """

    def __init__(self, give_back: Callable[[], None] = freed_memory.give_back) -> None:
        self._give_back = give_back
        self._most = 0
        self._n_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def has(self, n_bytes: int) -> None:
        """Take note of how many bytes are in hand now."""
        self._n_bytes = n_bytes
        self._most = max(self._most, n_bytes)
        if self._timer is None and self._is_worth_it():
            self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._tidy)

    def _tidy(self) -> None:
        self._timer = None
        if self._is_worth_it():
            self._most = self._n_bytes
            asyncio.get_running_loop().run_in_executor(None, self._give_back)

    def _is_worth_it(self) -> bool:
        return self._most >= LARGE_BYTES and self._n_bytes <= self._most // 4

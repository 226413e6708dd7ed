"""Who waits for an advice, and whose turn is next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from icecore.server.errors import Overloaded
from icecore.server.stays import Stays
from icecore.server.training.turns import Turns

MOST_WAITING: Final = 16
"""Of all tenants. An advice takes a minute or some: further back nobody would wait for it."""

_TAKES_S: Final = 60.0
"""What one is thought to take as long as none has ended."""


class Line:
    """Lets `at_once` in; tenants take turns. Lives on one event loop."""

    def __init__(self, at_once: int) -> None:
        self._room = at_once
        self._turns: Turns[asyncio.Future[None]] = Turns()
        self._stays = Stays(_TAKES_S)

    @asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        Raises:
            Overloaded: too many wait already.
        """
        if len(self._turns) >= MOST_WAITING:
            raise Overloaded(
                f"{len(self._turns)} collections wait to be judged; try again when fewer do",
                retry_after_s=self._stays.next_leaves_s,
            )
        mine = asyncio.get_running_loop().create_future()
        self._turns.put(tenant_id, mine)
        self._let_in()
        try:
            await mine
        except asyncio.CancelledError:
            if not self._turns.drop(tenant_id, mine):  # its turn had come
                self._leave(tenant_id)
            raise
        try:
            with self._stays.one():
                yield
        finally:
            self._leave(tenant_id)

    def _let_in(self) -> None:
        while self._room and (next_one := self._turns.take()) is not None:
            self._room -= 1
            next_one.set_result(None)

    def _leave(self, tenant_id: str) -> None:
        self._turns.end(tenant_id)
        self._room += 1
        self._let_in()

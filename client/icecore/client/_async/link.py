"""A channel to the server and, with an embedded one, the call that keeps it up."""

import asyncio
import contextlib
from typing import Any

import grpc
from grpc import aio

from icecore.client import local
from icecore.client._address import Endpoint
from icecore.client._channel import open_aio_channel, open_channel
from icecore.client._stream import bytes_of
from icecore.client._where import Embedded


class Link:
    """`hold` is the open Health.Watch of an embedded server, which counts its clients."""

    def __init__(self, endpoint: Endpoint, channel: aio.Channel, hold: Any = None) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self._hold = hold
        self._streams: grpc.Channel | None = None
        # Read on, since a call that nobody reads does not notice its end.
        self._reading = None if hold is None else asyncio.create_task(_read_on(hold))

    def is_alive(self) -> bool:
        """Whether the embedded server still wants calls; others are not asked."""
        return self._hold is None or not self._hold.done()

    def stream_channel(self) -> grpc.Channel:
        """Return the channel of calls with a stream each way, which is not an aio one.

        In grpc.aio a write that meets the server's refusal of an earlier one replaces
        that refusal by "Internal error from Core" (grpc#36066): reason, sentence and
        answers not read yet would be lost.
        """
        if self._streams is None:
            self._streams = open_channel(self.endpoint)
        return self._streams

    async def close(self) -> None:
        if self._streams is not None:
            self._streams.close()
        if self._reading is not None:
            self._hold.cancel()
            await self._reading
        await self.channel.close()


async def link_to(where: Endpoint | Embedded) -> Link:
    """Return a link; a data folder's server is found or started, and serves.

    Raises:
        LocalServerError: it cannot be found or started.
    """
    if isinstance(where, Endpoint):
        return Link(where, open_aio_channel(where))
    search = local.Search(where)
    while True:
        endpoint = where.endpoint(await asyncio.to_thread(search.address))
        channel = open_aio_channel(endpoint)
        hold = channel.unary_stream(local.WATCH_PATH, bytes_of, local.read_health)(
            local.WATCH_REQUEST
        )
        # A server that ends between being found and being called is looked for again.
        with contextlib.suppress(grpc.RpcError):
            answer = await hold.read()
            # From its first answer on this client counts, so the server stays.
            if answer is not aio.EOF and local.is_serving(answer):
                return Link(endpoint, channel, hold)
        await channel.close()
        await asyncio.to_thread(search.again)


async def _read_on(hold: Any) -> None:
    """Read until the server ends or says that it is about to."""
    with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
        while (answer := await hold.read()) is not aio.EOF:
            if not local.is_serving(answer):
                break
    hold.cancel()

"""A stream whose answers are awaited: a thread reads them into the event loop."""

import asyncio
import contextlib
import threading

from google.protobuf.message import Message

from icecore.client._stream import Stream
from icecore.client.errors import IcecoreError


class AwaitedStream:
    """Takes over a stream of the sync kind, and its end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        # Never longer than there are requests in flight.
        self._told: asyncio.Queue[Message | IcecoreError] = asyncio.Queue()
        threading.Thread(target=self._read_on, name="icecore-stream", daemon=True).start()

    def send(self, request: Message) -> None:
        self._stream.send(request)

    def end(self) -> None:
        """Say that no more requests come. Idempotent."""
        self._stream.end()

    async def next(self) -> Message:
        """Return the next answer.

        Raises:
            IcecoreError: the call ended; Internal if it ended well.
        """
        told = await self._told.get()
        if isinstance(told, IcecoreError):
            raise told
        return told

    async def finish(self) -> None:
        """Let the call end by itself, all answers being there; how it ends changes nothing."""
        self.end()
        while not isinstance(await self._told.get(), IcecoreError):
            pass

    def close(self) -> None:
        self._stream.close()

    def _read_on(self) -> None:
        # A loop that is closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            try:
                while True:
                    self._tell(self._stream.next())
            except IcecoreError as error:
                self._tell(error)

    def _tell(self, told: Message | IcecoreError) -> None:
        self._loop.call_soon_threadsafe(self._told.put_nowait, told)

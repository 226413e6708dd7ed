"""A stream ends between two messages when the server is about to end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from icecore.server.errors import ShuttingDown
from icecore.server.rpc.draining import Draining


class Sender:
    """Sends what it is given, when it is told."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[int | None] = asyncio.Queue()
        self.is_asked = asyncio.Event()
        self.was_cancelled = False

    async def messages(self) -> AsyncIterator[int]:
        while True:
            self.is_asked.set()
            try:
                message = await self.sent.get()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise
            if message is None:
                return
            yield message


async def test_what_is_sent_passes_until_the_sender_ends() -> None:
    sender = Sender()
    for message in (1, 2, None):
        sender.sent.put_nowait(message)
    assert [one async for one in Draining().each(sender.messages())] == [1, 2]


async def test_who_waits_for_the_next_message_is_told_of_the_end_in_its_place() -> None:
    draining, sender = Draining(), Sender()
    passed = draining.each(sender.messages())
    sender.sent.put_nowait(1)
    assert await anext(passed) == 1
    sender.is_asked.clear()
    waiting = asyncio.ensure_future(anext(passed))
    await sender.is_asked.wait()
    draining.begin()
    with pytest.raises(ShuttingDown):
        await waiting
    assert not sender.was_cancelled, "gRPC may be writing into what it reads"
    sender.sent.put_nowait(None)  # as the end of the call does


async def test_a_message_that_comes_too_late_is_not_taken() -> None:
    draining, sender = Draining(), Sender()
    draining.begin()
    sender.sent.put_nowait(1)
    with pytest.raises(ShuttingDown):
        await anext(draining.each(sender.messages()))
    sender.sent.put_nowait(None)


async def test_an_error_of_the_sender_is_the_readers() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise KeyError("broken")

    passed = Draining().each(broken())
    assert await anext(passed) == 1
    with pytest.raises(KeyError, match="broken"):
        await anext(passed)


async def test_a_call_that_is_cancelled_reads_no_more() -> None:
    sender = Sender()
    waiting = asyncio.ensure_future(anext(Draining().each(sender.messages())))
    await sender.is_asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert sender.was_cancelled

"""A stream ends between two messages when the server is about to end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from icecore.server.errors import ShuttingDown
from icecore.server.rpc.draining import QUIET_S, Draining


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


async def test_new_calls_are_told_and_awaited_to_be_few() -> None:
    draining = Draining()
    draining.let_in()
    draining.begin()
    quiet = asyncio.ensure_future(draining.quiet())
    loop = asyncio.get_running_loop()
    for _ in range(3):
        await asyncio.sleep(QUIET_S / 2)
        last = loop.time()
        with pytest.raises(ShuttingDown):
            draining.let_in()
    await quiet
    assert loop.time() - last >= QUIET_S * 0.99  # the clock's own grain


async def test_clients_that_never_stop_do_not_keep_a_server() -> None:
    draining = Draining()
    draining.begin()
    quiet = asyncio.ensure_future(draining.quiet())

    async def call() -> None:
        while not quiet.done():
            with contextlib.suppress(ShuttingDown):
                draining.let_in()
            await asyncio.sleep(QUIET_S / 5)

    await asyncio.wait_for(call(), 60)


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

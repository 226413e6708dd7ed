"""Room for answers: taken before they are made, and let go however calls end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from icecore.server.embedding.orders import CALL_LIMITS, Order
from icecore.server.errors import Overloaded
from icecore.server.rpc import answer_room, calls
from icecore.server.rpc.answer_room import values_at
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.rpc.reading import Read
from icecore.server.rpc.streams import in_order
from icecore.server.tenants import Principal
from icecore.wire.taps import Pooling, PoolingKind
from toys import toy_backbone

MB = 1 << 20
BYTES = np.dtype(np.float32)
"""Four a value; `_take` is told bytes."""

BACKBONE = toy_backbone()


class Context:
    """The part of gRPC's that tells when a call is over."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def end(self) -> None:
        for callback in self.callbacks:
            callback(self)


async def _take(n_bytes: int) -> None:
    await answer_room.take(n_bytes // 4, 1, BYTES)


async def _messages(*sizes: int) -> AsyncIterator[Read]:
    for size in sizes:
        yield Read(size)


def _hand(house: Holding, caller: str) -> Hand:
    calls.begin(calls.Call("r", "Embed", Principal(caller)))
    return Hand(house, "Embed")


async def _call(house: Holding, caller: str, n_bytes: int, *, n_message: int = 0) -> Context:
    """A unary call that has answered; its answer is not sent before its context ends."""
    context = Context()
    async with _hand(house, caller) as hand:
        if n_message:
            await anext(hand.each(_messages(n_message)))
        await _take(n_bytes)
        hand.sends(context)
    return context


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_answers_that_nobody_reads_are_bounded_for_each_caller() -> None:
    house = Holding(100 * MB)
    unread = [await _call(house, "a", 10 * MB) for _ in range(5)]
    with pytest.raises(Overloaded, match="52,428,800 bytes of this caller's answers") as said:
        await _call(house, "a", 10 * MB)
    assert said.value.retry_after_s is not None
    assert house.n_bytes == 50 * MB
    await _call(house, "b", 20 * MB)
    for context in unread:
        context.end()
    assert house.n_bytes == 20 * MB
    await _call(house, "a", 10 * MB)


async def test_who_reads_nothing_is_refused_before_its_next_message_is_read() -> None:
    house = Holding(100 * MB)
    for _ in range(5):
        await _call(house, "a", 10 * MB)
    with pytest.raises(Overloaded, match="of this caller's messages and answers"):
        await anext(_hand(house, "a").each(_messages(1)))


async def test_a_share_full_of_messages_is_answered() -> None:
    """They were taken in: to refuse them then, for want of room for their answers, is waste."""
    house = Holding(100 * MB)
    hands = []
    for _ in range(2):
        hand = _hand(house, "a")
        await anext(hand.each(_messages(25 * MB)))
        await _take(MB)
        hands.append(hand)
    assert house.n_bytes == 52 * MB
    for hand in hands:
        async with hand:
            pass
    assert house.n_bytes == 0


async def test_whoever_is_alone_gets_one_answer_however_large() -> None:
    house = Holding(10 * MB)
    unread = await _call(house, "a", 30 * MB)
    for caller in "ab":
        with pytest.raises(Overloaded):
            await _call(house, caller, MB)
    unread.end()
    async with _hand(house, "b") as hand:
        await anext(hand.each(_messages(MB)))
        with pytest.raises(Overloaded):
            await _call(house, "a", 30 * MB)


async def test_an_answer_that_failed_or_was_begun_again_is_counted_once_or_not_at_all() -> None:
    house = Holding(100 * MB)
    async with _hand(house, "a"):
        await _take(10 * MB)
        await _take(20 * MB)
        assert house.n_bytes == 20 * MB
    assert house.n_bytes == 0
    with pytest.raises(ValueError, match="bad"):
        await _failing(house)
    assert (house.n_bytes, house.caller("a").n_answer_bytes) == (0, 0)


async def _failing(house: Holding) -> None:
    async with _hand(house, "a"):
        await _take(10 * MB)
        raise ValueError("bad")


async def test_what_is_taken_when_all_is_over_is_not_counted() -> None:
    house = Holding(100 * MB)
    context = await _call(house, "a", MB)
    context.end()
    context.end()
    await _take(MB)
    assert house.n_bytes == 0


async def test_what_the_embedder_refuses_anyway_takes_no_room() -> None:
    """Or it would be called a lack of room, and the caller come again with it for ever."""
    house = Holding(100 * MB)
    async with _hand(house, "a"):
        await _take(CALL_LIMITS.max_code_bytes + 4)
        assert house.n_bytes == 0


@pytest.mark.parametrize("caller", [None, "b"])
async def test_who_needs_no_key_takes_no_room(caller: str | None) -> None:
    house = Holding(100 * MB)
    calls.begin(calls.Call("r", "Check", None if caller is None else Principal(caller)))
    async with Hand(house, "Check"):
        await _take(MB)
        assert house.n_bytes == (0 if caller is None else MB)


async def test_an_answer_of_a_stream_waits_for_those_before_it_to_be_written() -> None:
    """A stream alone always gets on, in however small a house."""
    house = Holding(10 * MB)
    peak = 0

    async def act(number: int) -> int:
        nonlocal peak
        await _take(8 * MB)
        peak = max(peak, house.n_bytes)
        return number

    got = []
    async with _hand(house, "a"):
        async for answer in in_order(_numbers(5), act):
            await _settled()
            assert house.n_bytes == 8 * MB, "until it was written, and no other"
            got.append(answer)
    assert (got, peak, house.n_bytes) == ([0, 1, 2, 3, 4], 8 * MB, 0)


async def test_each_answer_that_a_stream_works_on_is_counted() -> None:
    house = Holding(100 * MB)
    in_hand = []

    async def act(number: int) -> int:
        await _take(10 * MB)
        await _settled()  # so that the next one is begun
        return number

    async with _hand(house, "a"):
        async for _ in in_order(_numbers(4), act):
            await _settled()
            in_hand.append(house.n_bytes // MB)
    assert (max(in_hand), in_hand[-1]) == (20, 10)


async def test_in_a_stream_only_its_own_answers_are_waited_for() -> None:
    house = Holding(10 * MB)
    await _call(house, "b", 8 * MB)

    async def act(number: int) -> int:
        await _take(8 * MB)
        return number

    async with _hand(house, "a"):
        with pytest.raises(Overloaded):
            await anext(in_order(_numbers(2), act))
    assert house.n_bytes == 8 * MB


async def test_requests_of_a_stream_that_fail_do_not_let_go_what_others_took() -> None:
    """Such a request is answered with its error, and takes no room or some."""
    house = Holding(100 * MB)

    async def act(number: int) -> int:
        if number % 2:
            await _take(10 * MB)
        return number

    async with _hand(house, "a"):
        async for answer in in_order(_numbers(6), act):
            await _settled()
            if answer % 2:
                assert house.n_bytes == 10 * MB
    assert house.n_bytes == 0


@pytest.mark.parametrize("how", ["leaves", "fails", "is cancelled"])
async def test_a_stream_lets_all_go_however_it_ends(how: str) -> None:
    house = Holding(100 * MB)

    async def act(number: int) -> int:
        await _take(10 * MB)
        if number == 2 and how == "fails":
            raise ValueError("two")
        return number

    async def follow() -> None:
        given: Any = in_order(_numbers(5), act)
        async with _hand(house, "a"), aclosing(given) as answers:
            async for answer in answers:
                if answer == 1 and how == "leaves":
                    return
                if answer == 1 and how == "is cancelled":
                    await asyncio.Event().wait()

    task = asyncio.create_task(follow())
    await _settled()
    await _settled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (house.n_bytes, house.caller("a").n_answer_bytes) == (0, 0)


@pytest.mark.parametrize("kind", [one for one in PoolingKind if one is not PoolingKind.CLS])
def test_values_are_those_that_the_embedder_makes_room_for(kind: PoolingKind) -> None:
    pooling = Pooling(kind, 3.0) if kind is PoolingKind.GEM else Pooling(kind)
    taps = tuple(BACKBONE.tap(layer, pooling=pooling) for layer in BACKBONE.select(["*"]))
    order = Order(BACKBONE, taps, ())
    assert values_at(BACKBONE, taps) == sum(np.empty(shape).size for shape in order.shapes) > 0


async def _numbers(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number

"""Bytes of messages in hand: bounded for all and for each, and let go however calls end."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from icecore.server.errors import ImageInvalid, Overloaded
from icecore.server.rpc import calls, holding, in_hand
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.rpc.reading import Read, opened
from icecore.server.tenants import Principal

MB = 1 << 20


class Wire:
    """Messages that come when the test says so; counts how many were asked for."""

    def __init__(self, *sizes: int) -> None:
        self.come: asyncio.Queue[Read | None] = asyncio.Queue()
        self.n_asked = 0
        for size in sizes:
            self.come.put_nowait(Read(size, f"{size} bytes"))

    def __aiter__(self) -> "Wire":
        return self

    async def __anext__(self) -> Read:
        self.n_asked += 1
        read = await self.come.get()
        if read is None:
            raise StopAsyncIteration
        return read


def _hand(house: Holding, caller: str | None = "a", method: str = "Embed") -> Hand:
    calls.begin(calls.Call("r", method, None if caller is None else Principal(caller)))
    return Hand(house, method)


async def _taken(house: Holding, caller: str, size: int) -> Hand:
    """A call that has a message of this size in hand."""
    hand = _hand(house, caller)
    await anext(hand.each(Wire(size)))
    return hand


async def _fill(house: Holding, caller: str, size: int) -> int:
    """How many calls with messages of this size a caller gets in."""
    n = 0
    while True:
        try:
            await _taken(house, caller, size)
        except Overloaded:
            return n
        n += 1


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
async def test_k_callers_who_want_all_leave_room_for_one_more(k: int) -> None:
    """Taking turns each has a share of k + 1, whatever the others want beyond it."""
    house = Holding(840 * MB)
    held = dict.fromkeys((f"{number}" for number in range(k)), 0)
    grew = True
    while grew:
        grew = False
        for caller in held:
            try:
                await _taken(house, caller, MB)
            except Overloaded:
                continue
            held[caller] += 1
            grew = True
    share = 840 / (k + 1)
    assert all(abs(n - share) <= k for n in held.values()), held
    await _taken(house, "another", int((share - k) * MB))


async def test_one_alone_has_half_and_what_it_lets_go_is_there_again() -> None:
    house = Holding(100 * MB)
    hands = [await _taken(house, "a", 10 * MB) for _ in range(5)]
    with pytest.raises(Overloaded, match="52,428,800 bytes of this caller's") as said:
        await _taken(house, "a", 10 * MB)
    assert said.value.retry_after_s is not None
    async with hands[0]:
        pass
    await _taken(house, "a", 10 * MB)
    assert house.n_bytes == 50 * MB


async def test_who_is_refused_is_to_come_again_when_what_is_there_may_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is as long as messages stayed lately, but neither at once nor much later."""
    now = 0.0
    monkeypatch.setattr(in_hand, "monotonic", lambda: now)
    house = Holding(100 * MB)

    await _taken(house, "b", 40 * MB)

    async def told() -> float:
        with pytest.raises(Overloaded) as said:
            await _taken(house, "b", 40 * MB)
        assert said.value.retry_after_s is not None
        return said.value.retry_after_s

    async def stay(seconds: float, *, times: int) -> None:
        nonlocal now
        for _ in range(times):
            async with await _taken(house, "a", MB):
                now += seconds

    assert await told() == 0.05, "nothing is known yet"
    await stay(1.0, times=1)
    assert await told() == pytest.approx(0.05 + 0.1 * 0.95), "one may be an exception"
    await stay(1.0, times=100)
    assert await told() == pytest.approx(1.0, rel=1e-3)
    await stay(60.0, times=100)
    assert await told() == 5.0
    await stay(0.0, times=200)
    assert await told() == 0.05


async def test_what_is_refused_is_not_even_read() -> None:
    house = Holding(100 * MB)
    await _fill(house, "a", 10 * MB)
    wire = Wire(10)
    with pytest.raises(Overloaded):
        await anext(_hand(house).each(wire))
    assert wire.n_asked == 0


async def test_one_larger_than_foreseen_is_refused_where_it_has_no_room() -> None:
    house = Holding(100 * MB)
    for _ in range(80):
        async with await _taken(house, "a", 10):
            pass
    hands = [await _taken(house, "a", 49 * MB)]
    wires = [Wire(), Wire()]
    house.caller("a").guesses["Embed"] = 10.0  # as if there had been many small ones since
    reads = [asyncio.ensure_future(anext(_hand(house).each(wire))) for wire in wires]
    await _settled()
    assert [wire.n_asked for wire in wires] == [1, 1]
    for wire in wires:
        wire.come.put_nowait(Read(3 * MB))
    with pytest.raises(Overloaded):
        await reads[0]
    with pytest.raises(Overloaded):
        await reads[1]
    assert house.n_bytes == 49 * MB
    async with hands[0]:
        pass
    assert (house.n_bytes, house.n_foreseen) == (0, 0)


async def test_a_call_waits_for_messages_on_their_way_and_goes_on_when_they_are_small() -> None:
    """Nothing is known of a new caller: a few messages are let come first."""
    house = Holding(100 * MB)
    wires = [Wire() for _ in range(50)]
    reads = [asyncio.ensure_future(anext(_hand(house).each(wire))) for wire in wires]
    await _settled()
    n_first = sum(wire.n_asked for wire in wires)
    assert 1 <= n_first <= 4
    for wire in wires:
        wire.come.put_nowait(Read(1000))
    done = await asyncio.gather(*reads)
    assert len(done) == 50
    assert (house.n_bytes, house.n_foreseen) == (50_000, 0)


async def test_no_more_than_so_many_of_a_caller_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding, "MAX_READS", 5)
    house = Holding(100 * MB)
    await _taken(house, "a", 1)
    house.caller("a").guesses["Embed"] = 1.0
    wires = [Wire() for _ in range(9)]
    reads = [asyncio.ensure_future(anext(_hand(house).each(wire))) for wire in wires]
    await _settled()
    assert sum(wire.n_asked for wire in wires) == 5
    other = Wire(1)
    await anext(_hand(house, "b").each(other))
    for wire in wires:
        wire.come.put_nowait(Read(1))
    await asyncio.gather(*reads)


async def test_who_waits_too_long_for_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_WAIT_S", 0.0)
    house = Holding(100 * MB)
    never = [asyncio.ensure_future(anext(_hand(house).each(Wire()))) for _ in range(4)]
    await _settled()
    with pytest.raises(Overloaded):
        await anext(_hand(house).each(Wire(1)))
    await anext(_hand(house, "b").each(Wire(1)))
    for read in never:
        read.cancel()
    await asyncio.gather(*never, return_exceptions=True)
    await anext(_hand(house).each(Wire(1)))


async def test_who_leaves_while_waiting_does_not_stand_before_others() -> None:
    house = Holding(100 * MB)
    wires = [Wire() for _ in range(8)]
    reads = [asyncio.ensure_future(anext(_hand(house).each(wire))) for wire in wires]
    await _settled()
    waiting = [read for read, wire in zip(reads, wires, strict=True) if not wire.n_asked]
    waiting[0].cancel()
    for wire in wires:
        wire.come.put_nowait(Read(10))
    await asyncio.gather(*reads, return_exceptions=True)
    assert sum(wire.n_asked for wire in wires) == len(wires) - 1
    assert house.n_foreseen == 0


async def test_who_leaves_lets_smaller_ones_behind_go_on() -> None:
    house = Holding(100 * MB)
    await _taken(house, "a", 10 * MB)
    house.caller("a").guesses.update(Large=30.0 * MB, Small=10.0)
    on_its_way = asyncio.ensure_future(anext(_hand(house, method="Large").each(Wire())))
    await _settled()
    large = asyncio.ensure_future(anext(_hand(house, method="Large").each(Wire(10))))
    await _settled()
    small = asyncio.ensure_future(anext(_hand(house, method="Small").each(Wire(10))))
    await _settled()
    assert (large.done(), small.done()) == (False, False)
    large.cancel()
    await small
    on_its_way.cancel()
    await asyncio.gather(large, on_its_way, return_exceptions=True)
    assert house.n_foreseen == 0


async def test_who_leaves_at_the_moment_of_its_turn_gives_the_room_back() -> None:
    house = Holding(100 * MB)
    held = await _taken(house, "a", 10 * MB)
    house.caller("a").guesses["Embed"] = 30.0 * MB
    on_its_way = asyncio.ensure_future(anext(_hand(house).each(Wire())))
    await _settled()
    waiting = asyncio.ensure_future(anext(_hand(house).each(Wire(10))))
    await _settled()
    assert house.n_foreseen == 30 * MB
    held.answered()
    assert house.n_foreseen == 60 * MB, "it is its turn"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert house.n_foreseen == 30 * MB
    on_its_way.cancel()
    await asyncio.gather(on_its_way, return_exceptions=True)
    assert (house.n_foreseen, house.caller("a").n_reads) == (0, 0)


async def test_a_streams_later_messages_wait_instead_of_being_refused() -> None:
    house = Holding(100 * MB)
    stream, wire = _hand(house), Wire(30 * MB, 20 * MB, 20 * MB)
    messages = stream.each(wire)
    await anext(messages)
    await anext(messages)
    third = asyncio.ensure_future(_next(messages))
    await _settled()
    assert (third.done(), wire.n_asked) == (False, 2)
    stream.answered()
    await third
    assert house.n_bytes == 40 * MB
    async with stream:
        pass
    assert house.n_bytes == 0


async def test_a_reader_that_asks_on_without_answering_is_done_with_the_oldest() -> None:
    house = Holding(100 * MB)
    messages = _hand(house).each(Wire(*[MB] * 40))
    for _ in range(40):
        await anext(messages)
    assert house.n_bytes == 3 * MB


async def test_for_a_stream_that_rests_no_room_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_hand, "IDLE_S", 0.0)
    house = Holding(100 * MB)
    stream, wire = _hand(house), Wire(20 * MB)
    messages = stream.each(wire)
    await anext(messages)
    stream.answered()
    resting = asyncio.ensure_future(_next(messages))
    await asyncio.sleep(0)
    assert house.n_foreseen == 20 * MB
    while house.n_foreseen:  # noqa: ASYNC110
        await asyncio.sleep(0)
    wire.come.put_nowait(Read(20 * MB))
    await resting
    assert (house.n_bytes, house.n_foreseen) == (20 * MB, 0)


async def test_what_comes_when_the_call_has_ended_is_not_held() -> None:
    """A read that was begun is left to itself where the server ends a stream."""
    house = Holding(10 * MB)
    hand, wire = _hand(house), Wire()
    reading = asyncio.ensure_future(anext(hand.each(wire)))
    await _settled()
    async with hand:
        pass
    wire.come.put_nowait(Read(MB))
    await reading
    assert (house.n_bytes, house.n_foreseen) == (0, 0)


async def test_what_needs_no_key_is_not_counted() -> None:
    house = Holding(10 * MB)
    for _ in range(20):
        await anext(_hand(house, None).each(Wire(5 * MB)))
    assert house.n_bytes == 0


async def test_a_message_that_is_none_is_not_held() -> None:
    house = Holding(10 * MB)
    wire = Wire()
    wire.come.put_nowait(Read(MB, error=ImageInvalid("not this one")))
    read = await anext(_hand(house).each(wire))
    assert (house.n_bytes, house.n_foreseen) == (0, 0)
    with pytest.raises(ImageInvalid):
        opened(read)


def test_what_was_read_forgets_its_message_when_it_is_opened() -> None:
    """gRPC keeps what it read last for a while after the call."""
    read = Read(5, "message")
    assert opened(read) == "message"
    assert read.message is None


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_calls_do_nothing_is_left_and_never_too_much_there(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls and streams of several callers that come, are refused, leave, fail and end."""
    monkeypatch.setattr(holding, "MAX_WAIT_S", 0.001)
    monkeypatch.setattr(in_hand, "IDLE_S", 0.0)
    chosen = random.Random(seed)
    house = Holding(64 * MB)
    outcomes: set[str] = set()

    async def call(number: int) -> None:
        caller, n_messages = chosen.choice("abc"), chosen.choice([1, 1, 1, 4])
        sizes = [chosen.choice([10, 50_000, MB, 8 * MB, 30 * MB]) for _ in range(n_messages)]
        hand = _hand(house, caller)
        async with hand:
            messages = hand.each(_slowly(sizes, chosen))
            for _ in range(n_messages):
                await anext(messages)
                assert house.n_bytes <= 64 * MB
                for _ in range(chosen.randrange(5)):
                    await asyncio.sleep(0)
                if chosen.random() < 0.1:
                    raise ImageInvalid("bad")
                hand.answered()

    running: list[asyncio.Task[None]] = []
    for number in range(400):
        running.append(asyncio.ensure_future(call(number)))
        if chosen.random() < 0.15:
            chosen.choice(running).cancel()
        for _ in range(chosen.randrange(3)):
            await asyncio.sleep(0)
    for ended in await asyncio.gather(*running, return_exceptions=True):
        outcomes.add(type(ended).__name__)
    assert outcomes == {"NoneType", "Overloaded", "ImageInvalid", "CancelledError"}
    assert (house.n_bytes, house.n_foreseen) == (0, 0)
    for name in "abc":
        caller = house.caller(name)
        assert (caller.n_bytes, caller.n_foreseen, caller.n_reads) == (0, 0, 0)
        assert not caller.waiting
    assert await _fill(house, "a", MB) >= 30


async def _slowly(sizes: list[int], chosen: random.Random) -> AsyncIterator[Read]:
    for size in sizes:
        for _ in range(chosen.randrange(6)):
            await asyncio.sleep(0)
        yield Read(size)


def _next(messages: AsyncIterator[Read]) -> Awaitable[Read]:
    """A coroutine, as `asyncio` wants it."""
    step: Callable[[], Awaitable[Read]] = messages.__anext__
    return step()

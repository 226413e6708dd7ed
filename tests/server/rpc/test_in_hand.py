"""Uploads, which take many messages and answer once: none waits for room that only it holds."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from icecore.server.backbones.catalog import Catalog
from icecore.server.errors import ImageInvalid, InvalidArgument, ShuttingDown
from icecore.server.rpc import calls
from icecore.server.rpc.backbone_adding import BackboneAdding
from icecore.server.rpc.backbone_quantising import BackboneQuantising
from icecore.server.rpc.collection_service import CollectionService
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand, one_at_a_time
from icecore.server.rpc.parts import STALL_S, Parts, Turns
from icecore.server.rpc.reading import Read, opened
from icecore.server.rpc.recipe_checking import RecipeChecking
from icecore.server.tenants import Principal
from icecore.v1 import backbone_pb2 as pb
from icecore.v1 import common_pb2

MB = 1 << 20
HEADER = pb.AddBackboneRequest(header=pb.AddBackboneRequest.Header(name="x"))
CHUNK = pb.AddBackboneRequest(chunk=b"12")


class Clock:
    """The running loop's, which goes on when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def passes(self, seconds: float) -> None:
        await _settled()
        self.now += seconds
        await _settled()


class Sender:
    """Sends a header and chunks: those of `n_chunks` at once, others when the test says so."""

    def __init__(self, size: int, n_chunks: int) -> None:
        self._sent: asyncio.Queue[Read | None] = asyncio.Queue()
        self._size = size
        self._sent.put_nowait(Read(20, HEADER))
        for _ in range(n_chunks):
            self.chunk()

    def chunk(self) -> None:
        self._sent.put_nowait(Read(self._size, CHUNK))

    def end(self) -> None:
        self._sent.put_nowait(None)

    async def messages(self) -> AsyncIterator[Read]:
        while (read := await self._sent.get()) is not None:
            yield read


class Upload:
    """A call as the door and a handler see it."""

    def __init__(self, house: Holding, sender: Sender, draining: Draining | None = None) -> None:
        self._house = house
        self._sender = sender
        self._draining = draining or Draining()
        self.n_read = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> int:
        calls.begin(calls.Call("r", "Add", Principal(None, "admin")))
        async with Hand(self._house, "Add") as hand:
            parts = Parts(self._each(hand))
            await parts.header()
            async for _ in parts.rest():
                self.n_read += 1
                await self.goes_on.wait()  # it is written to the disk
            return self.n_read

    async def _each(self, hand: Hand) -> AsyncIterator[Any]:
        async for read in self._draining.each(hand.each(self._sender.messages())):
            yield opened(read)


async def _settled() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def _is_empty(house: Holding) -> bool:
    caller = house.caller("")
    return (house.n_bytes, house.n_foreseen, caller.n_reads, len(caller.waiting)) == (0, 0, 0, 0)


@asynccontextmanager
async def _waiting(house: Holding, *uploads: Upload) -> AsyncIterator[None]:
    """Uploads that have read a chunk wait for room for the next one meanwhile."""
    for upload in uploads:
        upload.goes_on.clear()
    await _settled()
    ours, other = house.caller(""), house.caller("other")
    ours.guesses["Add"] = float(64 * MB)  # as if there had been such large ones
    house.count(other, "Embed", MB)
    for upload in uploads:
        assert upload.n_read == 1
        upload.goes_on.set()
    await _settled()
    assert (len(ours.waiting), ours.n_bytes) == (len(uploads), 0)
    yield
    house.let_go(other, MB, 0.0)


async def _of_senders(house: Holding, *senders: Sender) -> list[int | BaseException]:
    """What became of uploads that need no more of anybody; -1: it waits."""
    uploads = [Upload(house, sender) for sender in senders]
    for sender in senders:
        sender.end()
    for _ in range(100):
        await _settled()
    left = [upload.task.cancel() for upload in uploads]
    ended = await asyncio.gather(*[upload.task for upload in uploads], return_exceptions=True)
    return [-1 if was_left else end for was_left, end in zip(left, ended, strict=True)]


async def test_an_upload_of_many_large_chunks_ends_well_under_a_bound_of_four() -> None:
    house = Holding(64 * MB)
    assert await _of_senders(house, Sender(16 * MB, 20)) == [20]
    assert _is_empty(house)


async def test_one_whose_chunks_are_each_all_that_may_be_there_ends_well() -> None:
    house = Holding(64 * MB)
    assert await _of_senders(house, Sender(64 * MB, 20)) == [20]
    assert _is_empty(house)


async def test_two_uploads_at_once_end_well_under_a_small_bound() -> None:
    """Each has one message, and what may be there is as much as both and what is left free."""
    house = Holding(48 * MB)
    assert await _of_senders(house, Sender(16 * MB, 20), Sender(16 * MB, 20)) == [20, 20]
    assert _is_empty(house)


async def test_an_upload_has_one_message_in_hand_and_none_while_it_waits() -> None:
    house = Holding(64 * MB)
    sender = Sender(16 * MB, 0)
    upload = Upload(house, sender)
    for n_read in range(1, 6):
        sender.chunk()
        await _settled()
        assert (upload.n_read, house.n_bytes) == (n_read, 0)
    sender.end()
    assert await upload.task == 5


async def test_a_wait_for_room_is_no_pause_of_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, house, sender = Clock(monkeypatch), Holding(64 * MB), Sender(MB, 2)
    upload = Upload(house, sender)
    async with _waiting(house, upload):
        await clock.passes(3 * STALL_S)
        assert not upload.task.done()
    sender.end()
    assert await upload.task == 2


async def _is_given_up(clock: Clock, upload: Upload) -> None:
    """After the whole time from now on, and not sooner."""
    await clock.passes(STALL_S - 1)
    assert not upload.task.done()
    await clock.passes(2)
    assert upload.task.done()
    with pytest.raises(InvalidArgument, match="nothing came for 60 s"):
        await upload.task


async def test_a_sender_that_is_idle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, house, sender = Clock(monkeypatch), Holding(64 * MB), Sender(MB, 1)
    upload = Upload(house, sender)
    await clock.passes(STALL_S - 1)
    sender.chunk()
    await _is_given_up(clock, upload)
    assert _is_empty(house)


async def test_a_sender_that_is_idle_once_there_is_room_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, house = Clock(monkeypatch), Holding(64 * MB)
    upload = Upload(house, Sender(MB, 1))
    async with _waiting(house, upload):
        await clock.passes(3 * STALL_S)
    await _is_given_up(clock, upload)
    assert _is_empty(house)


async def test_after_a_wait_for_room_only_the_rest_of_the_pause_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or whoever makes others wait for room could stand still for ever."""
    clock, house, sender = Clock(monkeypatch), Holding(64 * MB), Sender(MB, 0)
    ours, other = house.caller(""), house.caller("other")

    async def read() -> None:
        calls.begin(calls.Call("r", "Add", Principal(None, "admin")))
        async with Hand(house, "Add") as hand:
            messages = hand.each(sender.messages())
            await anext(messages)
            async with asyncio.timeout(STALL_S) as pause:
                with one_at_a_time(pause):
                    while True:
                        await anext(messages)

    task = asyncio.create_task(read())
    await clock.passes(STALL_S - 20)
    ours.guesses["Add"] = float(64 * MB)  # as if there had been such large ones
    house.count(other, "Embed", 8 * MB)
    sender.chunk()
    await clock.passes(3 * STALL_S)
    assert len(ours.waiting) == 1
    house.let_go(other, 8 * MB, 0.0)
    await clock.passes(19)
    assert (len(ours.waiting), task.done()) == (0, False)
    await clock.passes(2)
    assert task.done()
    with pytest.raises(TimeoutError):
        await task
    assert _is_empty(house)


async def test_who_leaves_or_is_sent_away_while_it_waits_leaves_nothing() -> None:
    house, draining = Holding(64 * MB), Draining()
    uploads = [Upload(house, Sender(MB, 3), draining) for _ in range(2)]
    async with _waiting(house, *uploads):
        uploads[0].task.cancel()
        await _settled()
        draining.begin()
        left, sent_away = await asyncio.gather(
            *[upload.task for upload in uploads], return_exceptions=True
        )
        assert isinstance(left, asyncio.CancelledError)
        assert isinstance(sent_away, ShuttingDown)
    await _settled()  # the read that was begun is left to itself
    assert _is_empty(house)


class Chunk(bytearray):
    """Bytes that a weak reference can be held to."""


class Photo:
    """A part as both reports take it."""

    image = common_pb2.Image(encoded=b"x")
    label = name = ""

    def SerializeToString(self, *, deterministic: bool) -> bytes:  # noqa: N802 - protobuf's
        return b"x"


class Sent:
    """A message that holds a part, whatever its kind is called."""

    def __init__(self, kind: str, part: object) -> None:
        self._kind = kind
        setattr(self, kind, part)

    def WhichOneof(self, _: str) -> str:  # noqa: N802 - protobuf's
        return self._kind


class Backbones(Catalog):
    """Has one of any name."""

    def __init__(self) -> None:
        pass

    def get(self, name: str = "") -> Any:
        return SimpleNamespace(name="plain", precision="float32")


async def _add(folder: Path, messages: AsyncIterator[Any]) -> None:
    await BackboneAdding(Backbones(), folder).add(messages)


async def _check(folder: Path, messages: AsyncIterator[Any]) -> None:
    await anext(RecipeChecking(Backbones(), cast(Any, None), Turns(1, "")).check(messages))


async def _quantise(folder: Path, messages: AsyncIterator[Any]) -> None:
    await anext(BackboneQuantising(Backbones(), Turns(1, "")).quantise(messages))


class Examples(CollectionService):
    """Adds examples without looking at them."""

    def __init__(self) -> None:
        pass

    async def _tenant(self) -> Any:
        return None

    async def _add(self, tenant: Any, request: Any) -> Any:
        return None


async def _add_examples(_: Path, messages: AsyncIterator[Any]) -> None:
    async for _answer in Examples().AddExamples(messages, None):
        pass


@pytest.mark.parametrize(
    ("act", "header", "kind", "part"),
    [
        (_add, HEADER, "chunk", lambda: Chunk(b"x")),
        (_check, pb.CheckRecipeRequest(header=pb.CheckRecipeRequest.Header()), "image", Photo),
        (
            _quantise,
            pb.QuantiseBackboneRequest(header=pb.QuantiseBackboneRequest.Header()),
            "calibration",
            Photo,
        ),
        (_add_examples, None, "example", Photo),
    ],
    ids=["AddBackbone", "CheckRecipe", "QuantiseBackbone", "AddExamples"],
)
async def test_whoever_asks_for_the_next_message_keeps_none(
    tmp_path: Path,
    act: Callable[[Path, AsyncIterator[Any]], Awaitable[None]],
    header: Any,
    kind: str,
    part: Callable[[], object],
) -> None:
    """What is let go is free: what is made of a photo is counted by the report itself."""
    kept: list[int] = []
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    async def messages() -> AsyncIterator[Any]:
        yield header
        given: list[weakref.ref[Any]] = []
        for _ in range(5):
            now = [Sent(kind, part())]
            given += [weakref.ref(now[0]), weakref.ref(getattr(now[0], kind))]
            yield now.pop()
            await asyncio.to_thread(int)  # the thread is done with what it did before
            kept.append(sum(one() is not None for one in given))
        raise ImageInvalid("the end")

    with pytest.raises(ImageInvalid, match="the end"):
        await act(tmp_path, messages())
    assert kept == [0] * 5

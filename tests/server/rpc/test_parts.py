"""A stream of a header and parts: its order, its pauses, and how many at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icecore.server.errors import GraphTooLarge, InvalidArgument, Overloaded, StorageFull
from icecore.server.rpc.parts import Parts, Turns
from icecore.server.rpc.spool import Spool
from icecore.server.rpc.status import PUSHBACK_KEY, failure_of
from icecore.v1 import backbone_pb2 as pb

HEADER = pb.AddBackboneRequest(header=pb.AddBackboneRequest.Header(name="x"))
CHUNK = pb.AddBackboneRequest(chunk=b"12")


async def sent(*messages: pb.AddBackboneRequest) -> AsyncIterator[pb.AddBackboneRequest]:
    for message in messages:
        yield message


async def read(*messages: pb.AddBackboneRequest) -> tuple[str, list[bytes]]:
    parts = Parts(sent(*messages))
    header = await parts.header()
    return header.name, [chunk async for _, chunk in parts.rest()]


async def test_the_header_comes_first_and_the_parts_in_order() -> None:
    other = pb.AddBackboneRequest(chunk=b"3")
    assert await read(HEADER, CHUNK, other) == ("x", [b"12", b"3"])
    assert await read(HEADER) == ("x", [])


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ((), "ended before its header came"),
        ((CHUNK, HEADER), "first message of the stream holds no header"),
        ((pb.AddBackboneRequest(),), "first message of the stream holds no header"),
        ((HEADER, CHUNK, HEADER), "message 3 of the stream holds a header again"),
        ((HEADER, pb.AddBackboneRequest()), "message 2 of the stream holds nothing"),
    ],
)
async def test_another_order_is_refused(
    messages: tuple[pb.AddBackboneRequest, ...], sentence: str
) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        await read(*messages)


async def test_a_sender_who_stands_still_is_given_up() -> None:
    async def pausing() -> AsyncIterator[pb.AddBackboneRequest]:
        yield HEADER
        await asyncio.Event().wait()

    parts = Parts(pausing(), stall_s=0.05)
    await parts.header()
    with pytest.raises(InvalidArgument, match=r"nothing came for 0\.05 s"):
        async for _ in parts.rest():
            pass


def test_more_than_the_most_at_once_are_refused_until_one_is_done() -> None:
    turns = Turns(2, "full")
    with turns.take():
        with turns.take(), pytest.raises(Overloaded, match="full"), turns.take():
            pass
        with turns.take():
            pass
    with pytest.raises(ValueError, match="x"), turns.take():
        raise ValueError("x")
    with turns.take(), turns.take():
        pass


def test_who_has_no_turn_is_told_when_one_is_given_back() -> None:
    now = 0.0
    turns = Turns(1, "full", clock=lambda: now)
    for _ in range(50):
        with turns.take():
            now += 5.0
    with turns.take():
        now += 2.0
        with pytest.raises(Overloaded) as caught, turns.take():
            pass
    assert caught.value.retry_after_s == pytest.approx(3.0, abs=0.01)
    told = dict(failure_of(caught.value, request_id="r").trailers("r"))
    assert int(told[PUSHBACK_KEY]) == pytest.approx(3000, abs=10)


def test_a_spool_gives_back_what_came_and_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=10) as spool:
        for chunk in (b"abc", b"", b"defghij"):
            spool.write(chunk)
        assert spool.read() == b"abcdefghij"
        assert spool.sha256 == "72399361da6a7754fec986dca5b7cbaf1c810a28ded4abaf56b2106d06cb78b0"
        assert list(tmp_path.iterdir()) == [], "it has no name even while it is there"
        with pytest.raises(GraphTooLarge, match="more than 10 bytes"):
            spool.write(b"k")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with Spool(tmp_path, max_bytes=1 << 30) as spool:
        spool._file.close()
        spool._file = Path("/dev/full").open("w+b", buffering=0)  # noqa: SIM115 - the spool closes it
        with pytest.raises(StorageFull, match="no room on the server's disk for the file"):
            spool.write(b"x")

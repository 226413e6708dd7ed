"""Frames come out as they went in, from either end, and a broken one is noticed."""

import asyncio
import io
import os

import numpy as np
import pytest

from icecore.server.training.frames import (
    read_frame,
    read_message,
    receive_frame,
    receive_message,
    send_frame,
    write_frame,
    write_message,
)


def test_what_is_written_is_read() -> None:
    stream = io.BytesIO()
    for data in (b"", b"ice", bytes(100_000)):
        write_frame(stream, data)
    write_message(stream, {"ä": [1, None]})
    stream.seek(0)
    assert [read_frame(stream) for _ in range(3)] == [b"", b"ice", bytes(100_000)]
    assert read_message(stream) == {"ä": [1, None]}


@pytest.mark.parametrize("kept", range(10))
def test_a_frame_that_ends_early_is_an_end_of_file(kept: int) -> None:
    stream = io.BytesIO()
    write_frame(stream, b"ice")
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(stream.getvalue()[:kept]))


async def test_an_array_passes_a_pipe_that_is_smaller_than_it() -> None:
    """5 MB through a pipe of 64 KB: the sender waits for the reader."""
    codes = np.random.default_rng(0).random((1000, 1280)).astype(np.float16)
    down, up = os.pipe()
    loop = asyncio.get_running_loop()
    with os.fdopen(up, "wb") as writing, os.fdopen(down, "rb") as reading:
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, writing
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        taken = asyncio.create_task(asyncio.to_thread(read_frame, reading))
        await send_frame(writer, codes.data)
        data = await taken
        writer.close()
        await asyncio.sleep(0)
    assert np.array_equal(np.frombuffer(data, np.float16).reshape(codes.shape), codes)


async def test_what_a_worker_writes_is_received() -> None:
    stream = io.BytesIO()
    write_message(stream, {"event": "ready"})
    write_frame(stream, b"ice")
    reader = asyncio.StreamReader()
    reader.feed_data(stream.getvalue() + b"\x09")
    reader.feed_eof()
    assert await receive_message(reader) == {"event": "ready"}
    assert await receive_frame(reader) == b"ice"
    with pytest.raises(EOFError):
        await receive_frame(reader)

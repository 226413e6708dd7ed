"""What the benches' figures rest on: percentiles, arrivals, requests that differ, processes."""

import asyncio
import io
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from load import generator
from load.arrivals import arrivals
from load.bodies import Body, as_tensor, jpeg_body, tensor_body, with_comment
from load.calling import Answer, Target, caller
from load.outcome import Outcome, merged, percentile
from load.processes import cpu_seconds, descendants, memory_mb, tree


@pytest.mark.parametrize("n", [1, 2, 7, 99, 100, 101, 1000])
@pytest.mark.parametrize("percent", [1, 50, 90, 99, 100])
def test_a_percentile_is_numpys_without_interpolation(n: int, percent: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    theirs = np.percentile(values, percent, method="inverted_cdf")
    assert percentile([float(value) for value in values], percent) == theirs


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 99))


def test_arrivals_are_a_poisson_process() -> None:
    moments = np.array(arrivals(rate=200.0, seconds=100.0, seed=3))
    gaps = np.diff(moments)
    assert (gaps > 0).all()
    assert moments[0] > 0
    assert moments[-1] < 100.0
    # 20,000 gaps: means and deviations lie within 4 standard errors of 1 / rate.
    assert abs(gaps.mean() * 200 - 1) < 4 / math.sqrt(20_000)
    assert abs(gaps.std() * 200 - 1) < 4 * math.sqrt(2 / 20_000)
    assert arrivals(200.0, 100.0, 3) == moments.tolist()
    assert arrivals(200.0, 100.0, 4) != moments.tolist()
    assert arrivals(0.0, 100.0, 3) == []


def test_tensors_differ_in_their_first_value_alone() -> None:
    tensor = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    body = tensor_body(tensor, lambda data: b"head" + data + b"middle" + data + b"tail", 2)
    seen = set()
    for number in (0, 1, 2, 4_000_000):
        message = body.filled(number)
        assert message[:4] == b"head"
        assert message[-4:] == b"tail"
        first = as_tensor(message[4 : 4 + tensor.nbytes], tensor.shape)
        second = as_tensor(message[10 + tensor.nbytes : -4], tensor.shape)
        for one in (first, second):
            assert 1 <= one[0, 0, 0] < 2
            assert np.array_equal(one.ravel()[1:], tensor.ravel()[1:])
            seen.add(float(one[0, 0, 0]))
    assert len(seen) == 8, "two images of a run are the same"


def test_jpegs_differ_in_bytes_and_not_in_pixels() -> None:
    kept = io.BytesIO()
    random = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(random).save(kept, "JPEG")
    pixels = np.asarray(Image.open(io.BytesIO(kept.getvalue())))
    body = jpeg_body(kept.getvalue(), lambda data: data)
    messages = [body.filled(number) for number in range(3)]
    assert len(set(messages)) == 3
    for number, message in enumerate(messages):
        with Image.open(io.BytesIO(message)) as image:
            assert image.info["comment"] == b"%020d" % number
            assert np.array_equal(np.asarray(image), pixels)


def test_a_message_that_lost_the_image_is_no_body() -> None:
    tensor = np.zeros((3, 8, 8), np.float32)
    with pytest.raises(ValueError, match="0 times, not 1"):
        tensor_body(tensor, lambda data: data.hex().encode())
    with pytest.raises(ValueError, match="no JPEG"):
        with_comment(b"GIF89a", b"a comment")


def test_rounds_are_added_up() -> None:
    one = Outcome(2.0, 0.5, 1.0, [0.0, 1.5], [10.0, 600.0], [0, 0], ["OK", "OK"])
    other = Outcome(2.0, 0.5, 1.0, [0.1], [5.0], [0], ["TIMEOUT"], complaint="TIMEOUT: late")
    whole = merged([one, other])
    assert (whole.n_ok, whole.rate, whole.server_cpu_ms) == (2, 0.5, 1000.0)
    assert whole.own_cpu_ms == pytest.approx(1000 / 3)
    assert whole.failures() == {"TIMEOUT": 1}
    assert whole.complaint == "TIMEOUT: late"
    assert whole.ms_of("OK") == [10.0, 600.0]
    assert one.rate_of_ends(0, 2.0) == 0.5, "what ended after the time does not count"


CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
GRANDCHILD = (
    "import time; x = sum(i * i for i in range(3_000_000)); print(x, flush=True); time.sleep(600)"
)


def test_a_tree_is_measured_with_its_children_and_ends_with_them(tmp_path: Path) -> None:
    with tree([sys.executable, "-c", CHILD, GRANDCHILD], tmp_path / "log") as started:
        while not started.log.read_bytes():
            started.check()
            os.sched_yield()
        members = started.members()
        assert len(members) == 2
        assert set(members) == set(descendants(started.pid))
        child, grandchild = (cpu_seconds([pid]) for pid in members)
        assert cpu_seconds(members) >= child + grandchild > 0
        assert memory_mb(members) > memory_mb(members[:1]) > 0
    for pid in members:
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


async def test_http_answers_are_read_in_both_framings() -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy",
    ]
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers:
            head = await reader.readuntil(b"\r\n\r\n")
            heard.append((head.split(b"\r\n")[0], await reader.readexactly(2)))
            writer.write(answers.pop(0))
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        calling = caller(Target("http", f"127.0.0.1:{port}", "/codes"), 1)
        got = [await calling.call(b"xy", 5.0) for _ in range(3)]
        await calling.close()
    assert [(one.end, one.body) for one in got] == [
        ("OK", b"abc"),
        ("OK", b"abc"),
        ("HTTP 503", b""),
    ]
    assert got[2].told == "busy"
    assert heard == [(b"POST /codes HTTP/1.1", b"xy")] * 3


class Busy:
    """Sends callers away `n_times`, with a time to come again or without one."""

    def __init__(self, n_times: int, pushback_ms: int | None) -> None:
        self.n_times = n_times
        self.pushback_ms = pushback_ms

    async def call(self, message: bytes, timeout_s: float) -> Answer:
        if self.n_times == 0:
            return Answer("OK", message)
        self.n_times -= 1
        return Answer("RESOURCE_EXHAUSTED", told="full", pushback_ms=self.pushback_ms)

    async def close(self) -> None:
        self.n_times = 0


async def _seen(
    monkeypatch: pytest.MonkeyPatch, busy: Busy, **job: float
) -> tuple[list[str], int, str]:
    monkeypatch.setattr(generator, "caller", lambda *_: busy)
    body = jpeg_body(_jpeg(), lambda data: data)
    numbers: dict[str, Any] = {"seconds": 0.02, "first": 0, **job}
    outcome = await generator.perform(
        generator.Job(Target("grpc", "nowhere", "/s/m"), body, **numbers)
    )
    return outcome.ends, outcome.pushbacks, outcome.complaint


async def test_in_a_closed_loop_who_is_told_to_come_again_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends, n_pushbacks, complaint = await _seen(monkeypatch, Busy(3, 1), concurrency=1)
    assert (set(ends), n_pushbacks, complaint) == ({"OK"}, 3, "")


@pytest.mark.parametrize("pushback_ms", [-1, 60_000])
async def test_who_is_told_never_to_come_or_too_late_does_not(
    monkeypatch: pytest.MonkeyPatch, pushback_ms: int
) -> None:
    ends, n_pushbacks, complaint = await _seen(monkeypatch, Busy(1, pushback_ms), concurrency=1)
    assert ends[0] == "RESOURCE_EXHAUSTED"
    assert (n_pushbacks, complaint) == (1, "RESOURCE_EXHAUSTED: full")


async def test_in_an_open_loop_nobody_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, n_pushbacks, _ = await _seen(monkeypatch, Busy(2, 1), rate=500.0, seconds=0.1)
    assert (ends.count("RESOURCE_EXHAUSTED"), n_pushbacks) == (2, 2)
    assert len(ends) == len(arrivals(500.0, 0.1, 0))


def test_bodies_are_values() -> None:
    body = jpeg_body(_jpeg(), lambda data: data)
    assert body == Body(body.data, body.hole, body.offsets)


def _jpeg() -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (8, 8)).save(kept, "JPEG")
    return kept.getvalue()

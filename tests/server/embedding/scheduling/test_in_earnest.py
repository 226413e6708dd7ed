"""Turns, bounds and workers together, on threads of their own; callers change their minds."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from random import Random
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.sessions import Readied, Sessions
from icecore.server.embedding import orders
from icecore.server.embedding.embedder import Embedder, Priority
from icecore.server.embedding.images import Pixels
from icecore.server.errors import DeadlineExceeded, Overloaded, ShuttingDown
from icecore.server.telemetry.metrics import Metrics
from icecore.wire.taps import TapId
from seen_metrics import seen
from toys import toy_backbone

BACKBONE = toy_backbone()
LAST = (BACKBONE.tap(BACKBONE.layer("-1")),)


class Gated(Sessions):
    """Sessions whose passes wait to be let through."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 20, threads=1)
        self.began = threading.Event()
        self.may_end = threading.Event()

    def readied(
        self, backbone: Backbone, taps: Sequence[TapId], inputs: npt.NDArray[Any], **named: Any
    ) -> Readied:
        self.began.set()
        assert self.may_end.wait(60), "nobody opened the gate"
        return super().readied(backbone, taps, inputs, **named)


def images(seed: int, n: int = 1) -> list[Pixels]:
    random = np.random.default_rng(seed)
    return [Pixels(random.integers(0, 256, (12, 10, 3), np.uint8)) for _ in range(n)]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def sessions() -> AsyncIterator[Gated]:
    sessions = Gated()
    yield sessions
    sessions.may_end.set()
    sessions.close()


@pytest.mark.parametrize("is_cached", [False, True])
async def test_every_call_ends_and_none_is_started_late(
    sessions: Gated, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, is_cached: bool
) -> None:
    """400 calls of 8 tenants on two threads, with all kinds of deadlines, left at any moment."""
    started_late: list[float] = []
    prepare = orders.Order._prepare

    def watched(order: orders.Order, index: int) -> Any:
        # 0.05 s: the thread may lose its core between its last look and here.
        if order.deadline is not None and not is_cached and monotonic() > order.deadline + 0.05:
            started_late.append(monotonic() - order.deadline)
        return prepare(order, index)

    monkeypatch.setattr(orders.Order, "_prepare", watched)
    sessions.may_end.set()
    embedder = Embedder(sessions, threads=2, max_queue_ms=20, cache_bytes=1 << 20, metrics=metrics)
    random = Random(9)
    ends: Counter[str] = Counter()

    async def call(number: int) -> None:
        n_images = random.choice([1, 1, 1, 5, 40])
        deadline = monotonic() + random.choice([0.0, 0.001, 0.005, 0.05, 60.0])
        task = asyncio.create_task(
            embedder.embed(
                BACKBONE,
                LAST,
                images(number % 50, n_images),
                tenant_id=f"t{number % 8}",
                priority=random.choice(list(Priority)),
                deadline=random.choice([None, deadline]),
                is_cached=is_cached,
            )
        )
        for _ in range(random.choice([1, 3, 10, 10_000])):
            await asyncio.sleep(0)
            if task.done():
                break
        else:
            task.cancel()
        try:
            embedded = await task
            assert embedded.codes[0].shape == (n_images, 6)
            ends["answered"] += 1
        except (asyncio.CancelledError, DeadlineExceeded, Overloaded) as error:
            ends[type(error).__name__] += 1

    for _ in range(8):
        await asyncio.gather(*(call(50 * _ + number) for number in range(50)))
    assert sum(ends.values()) == 400
    assert min(ends[one] for one in ("answered", "CancelledError", "Overloaded")) > 0, ends
    assert not started_late
    assert seen(metrics, "icecore_started_late_total") == 0
    # A thread may still be at work for a caller who left.
    await asyncio.to_thread(embedder.close)
    assert seen(metrics, "icecore_waiting_images") == 0
    assert seen(metrics, "icecore_images_in_flight") == 0
    assert seen(metrics, "icecore_image_bytes_in_flight") == 0


async def test_a_call_whose_deadline_passes_while_it_waits_is_answered(
    sessions: Gated, metrics: Metrics
) -> None:
    """Nobody cancels it, as gRPC would: its turn comes, and it is told instead of run."""
    embedder = Embedder(sessions, threads=1, metrics=metrics)
    first = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(1)))
    await asyncio.to_thread(sessions.began.wait, 60)
    late = asyncio.create_task(
        embedder.embed(BACKBONE, LAST, images(2, 3), tenant_id="b", deadline=monotonic() + 1e-6)
    )
    await asyncio.sleep(0)
    sessions.may_end.set()
    await first
    with pytest.raises(DeadlineExceeded, match="before its images had a turn"):
        await late
    assert seen(metrics, "icecore_passes_total") == 1
    assert seen(metrics, "icecore_never_started_total", why="expired") >= 1
    embedder.close()


async def test_what_waits_is_counted_out_the_moment_its_caller_leaves(
    sessions: Gated, metrics: Metrics
) -> None:
    embedder = Embedder(sessions, threads=1, metrics=metrics)
    first = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(1)))
    await asyncio.to_thread(sessions.began.wait, 60)
    left = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(2, 100)))
    await asyncio.sleep(0)
    assert seen(metrics, "icecore_images_in_flight") == 101
    assert seen(metrics, "icecore_waiting_images") >= 1
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert seen(metrics, "icecore_images_in_flight") == 1
    assert seen(metrics, "icecore_waiting_images") == 0
    sessions.may_end.set()
    await first
    embedder.close()


async def test_answered_images_of_a_call_under_way_make_room(metrics: Metrics) -> None:
    """Else a large call would hold up its tenant's next ones until its very end."""
    steps = threading.Semaphore(0)

    class Stepping(Sessions):
        def readied(self, *given: Any, **named: Any) -> Readied:
            assert steps.acquire(timeout=60), "nobody let the pass through"
            return super().readied(*given, **named)

    sessions = Stepping(max_bytes=1 << 20, threads=1)
    embedder = Embedder(sessions, threads=1, metrics=metrics)
    call = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(1, 30)))
    await asyncio.sleep(0)
    assert seen(metrics, "icecore_images_in_flight") == 30
    for _ in range(12):
        steps.release()
    async with asyncio.timeout(60):
        while seen(metrics, "icecore_images_in_flight") != 18:  # noqa: ASYNC110
            await asyncio.sleep(0)
    for _ in range(18):
        steps.release()
    await call
    assert seen(metrics, "icecore_images_in_flight") == 0
    embedder.close()
    sessions.close()


async def test_background_work_goes_behind_interactive_work_of_its_tenant(
    sessions: Gated, metrics: Metrics
) -> None:
    embedder = Embedder(sessions, threads=1, max_queue_ms=600_000, metrics=metrics)
    order: list[str] = []

    async def call(name: str, seed: int, **named: Any) -> None:
        await embedder.embed(BACKBONE, LAST, images(seed), tenant_id="t", **named)
        order.append(name)

    first = asyncio.create_task(call("first", 1))
    await asyncio.to_thread(sessions.began.wait, 60)
    rest = [
        asyncio.create_task(call("background", 2, is_background=True)),
        asyncio.create_task(call("bulk", 3, priority=Priority.BULK)),
        asyncio.create_task(call("interactive", 4)),
    ]
    await asyncio.sleep(0)
    sessions.may_end.set()
    await asyncio.gather(first, *rest)
    assert order == ["first", "interactive", "background", "bulk"]
    embedder.close()


async def test_a_closed_embedder_tells_those_who_wait(sessions: Gated) -> None:
    embedder = Embedder(sessions, threads=1, max_queue_ms=600_000)
    first = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(1)))
    await asyncio.to_thread(sessions.began.wait, 60)
    waiting = asyncio.create_task(embedder.embed(BACKBONE, LAST, images(2, 5)))
    await asyncio.sleep(0)
    sessions.may_end.set()
    embedder.close()
    with pytest.raises(ShuttingDown):
        await waiting
    await first

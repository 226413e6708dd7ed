"""Passes over several images: formed under load, shared by tenants, never waited for.

ONNX Runtime's own processor plays a GPU that takes one pass at a time.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio

from icecore.server.backbones.running import sessions as running
from icecore.server.backbones.running.devices import CPU, Device
from icecore.server.backbones.running.kept_sessions import Session
from icecore.server.backbones.running.sessions import Readied, Sessions
from icecore.server.cores import IdleCores
from icecore.server.embedding import orders
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded, ImageInput, Prepared
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.embedding.scheduling.costs import Guess
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.embedding.working.plans import Plan
from icecore.server.embedding.working.sharing import costs_less
from icecore.server.errors import ImageInvalid
from icecore.wire.taps import TapId
from toys import toy_backbone

TOY = toy_backbone()
ONE, TWO, THREE = ((tap,) for tap in TOY.core)
GPU = Device("cuda", 1, ("CPUExecutionProvider",))
PATIENCE_S = 30.0


class Recording(Sessions):
    """Sessions that tell the taps and images of each pass; the first waits to be let through."""

    def __init__(self, device: Device) -> None:
        super().__init__(max_bytes=1 << 24, threads=1, device=device)
        self.passes: list[tuple[tuple[TapId, ...], int]] = []
        self.began = threading.Event()
        self.gate = threading.Event()

    def readied(
        self, backbone: Any, taps: Sequence[TapId], inputs: npt.NDArray[Any], **named: Any
    ) -> Readied:
        self.passes.append((tuple(taps), len(inputs)))
        self.began.set()
        assert self.gate.wait(PATIENCE_S), "nobody opened the gate"
        return super().readied(backbone, taps, inputs, **named)


class House:
    """An embedder on a device, with a plan for the toy."""

    def __init__(self, device: Device, plan: Plan, threads: int) -> None:
        self.sessions = Recording(device)
        self.embedder = Embedder(self.sessions, threads=threads, max_queue_ms=1e7)
        self.embedder._planner.plans.decide(TOY.digest, plan)

    async def busy(self) -> "asyncio.Task[npt.NDArray[Any]]":
        """Begin a first image, and return when its pass is under way."""
        first = asyncio.create_task(self.codes(0))
        await asyncio.to_thread(self.sessions.began.wait, PATIENCE_S)
        return first

    async def prepared(self, n: int) -> None:
        """Return when so many images are ready for their pass."""
        await self._until(lambda: len(self.embedder._workers._passes._ready) >= n)

    async def waiting(self, n: int) -> None:
        """Return when so many images are ready, or wait for a turn."""
        passes, turns = self.embedder._workers._passes, self.embedder._turns
        await self._until(lambda: len(passes._ready) + turns.n_waiting >= n)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)

    async def codes(
        self, seed: int, taps: tuple[TapId, ...] = THREE, tenant_id: str = ""
    ) -> npt.NDArray[Any]:
        embedded = await self.embedder.embed(TOY, taps, [image(seed)], tenant_id=tenant_id)
        return np.asarray(embedded.codes[0][0])


def image(seed: int) -> ImageInput:
    random = np.random.default_rng(seed)
    return Prepared(random.normal(size=TOY.recipe.shape).astype(np.float32))


def alone(seed: int, taps: tuple[TapId, ...] = THREE) -> npt.NDArray[np.float32]:
    inputs = image(seed)
    assert isinstance(inputs, Prepared)
    codes = Sessions(max_bytes=1 << 24, threads=1).run(TOY, taps, inputs.array[None])
    return np.asarray(codes[0][0])


@pytest_asyncio.fixture
async def gpu() -> AsyncIterator[House]:
    house = House(GPU, Plan(1, 8), threads=3)
    yield house
    house.sessions.gate.set()
    await asyncio.to_thread(house.embedder.close)


async def test_batches_form_under_load_and_codes_stay_the_same(gpu: House) -> None:
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 13)]
    await gpu.prepared(12)
    gpu.sessions.gate.set()
    made = await asyncio.gather(first, *rest)
    assert [n for _, n in gpu.sessions.passes] == [1, 8, 4]
    for seed, codes in enumerate(made):
        assert np.allclose(codes, alone(seed), rtol=1e-5, atol=1e-6), seed


async def test_a_lone_image_waits_for_no_batch(gpu: House) -> None:
    gpu.sessions.gate.set()
    for seed in range(3):
        assert np.allclose(await gpu.codes(seed), alone(seed), rtol=1e-5, atol=1e-6)
    assert [n for _, n in gpu.sessions.passes] == [1, 1, 1]


async def test_tenants_share_a_pass(gpu: House) -> None:
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed, tenant_id=f"t{seed}")) for seed in range(1, 5)]
    await gpu.prepared(4)
    gpu.sessions.gate.set()
    await asyncio.gather(first, *rest)
    assert [n for _, n in gpu.sessions.passes] == [1, 4]


async def test_layers_share_a_pass_where_that_costs_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cut at both is made once it was missed often, here twice."""
    monkeypatch.setattr(running, "MISSED_OFTEN", 2)
    house = House(GPU, Plan(1, 8, a_pass_ms=10.0, an_image_ms=1.0), threads=3)
    try:
        for passes in ([1, 2, 2], [1, 2, 2], [1, 4]):
            house.sessions.began.clear()
            house.sessions.gate.clear()
            house.sessions.passes.clear()
            first = await house.busy()
            rest = [
                asyncio.create_task(house.codes(seed, taps))
                for seed, taps in ((1, ONE), (2, THREE), (3, ONE), (4, THREE))
            ]
            await house.prepared(4)
            house.sessions.gate.set()
            made = await asyncio.gather(first, *rest)
            assert [n for _, n in house.sessions.passes] == passes
            for seed, taps in ((1, ONE), (2, THREE), (3, ONE), (4, THREE)):
                assert np.allclose(made[seed], alone(seed, taps), rtol=1e-5, atol=1e-6)
            await asyncio.to_thread(house.sessions._wishes.wait)
    finally:
        house.sessions.gate.set()
        await asyncio.to_thread(house.embedder.close)


async def test_an_image_that_is_none_harms_no_other_of_its_batch(gpu: House) -> None:
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 4)]
    bad = asyncio.create_task(gpu.embedder.embed(TOY, THREE, [Encoded(b"no image")]))
    await gpu.prepared(3)
    gpu.sessions.gate.set()
    with pytest.raises(ImageInvalid):
        await bad
    await asyncio.gather(first, *rest)
    assert sum(n for _, n in gpu.sessions.passes) == 4


async def test_a_pass_that_fails_is_told_to_all_of_it(
    gpu: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 4)]
    await gpu.prepared(3)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Recording, "readied", fails)
    gpu.sessions.gate.set()
    await first
    for one in await asyncio.gather(*rest, return_exceptions=True):
        assert isinstance(one, RuntimeError)
    monkeypatch.undo()
    assert np.allclose(await gpu.codes(5), alone(5), rtol=1e-5, atol=1e-6)


async def test_no_more_is_prepared_than_the_next_passes_take(gpu: House) -> None:
    """What is prepared has left its place in line, and its tenant's share was counted."""
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 61)]
    await gpu.waiting(60)
    n_ready = len(gpu.embedder._workers._passes._ready)
    assert n_ready <= 2 * 8 + 3
    gpu.sessions.gate.set()
    await asyncio.gather(first, *rest)
    assert max(n for _, n in gpu.sessions.passes) == 8


async def test_on_a_processor_a_plan_may_take_several_too() -> None:
    house = House(CPU, Plan(1, 4), threads=1)
    try:
        first = await house.busy()
        rest = [asyncio.create_task(house.codes(seed)) for seed in range(1, 8)]
        rest.append(asyncio.create_task(house.codes(8, TWO)))
        await house.waiting(8)
        house.sessions.gate.set()
        made = await asyncio.gather(first, *rest)
        assert [n for _, n in house.sessions.passes] == [1, 4, 3, 1]
        for seed in range(8):
            assert np.allclose(made[seed], alone(seed), rtol=1e-5, atol=1e-6)
        assert np.allclose(made[8], alone(8, TWO), rtol=1e-5, atol=1e-6)
    finally:
        house.sessions.gate.set()
        await asyncio.to_thread(house.embedder.close)


async def test_no_thread_takes_more_than_its_share() -> None:
    """Else one would run what two could."""
    house = House(CPU, Plan(1, 8), threads=2)
    try:
        first = await house.busy()
        rest = [asyncio.create_task(house.codes(seed)) for seed in range(1, 8)]
        await asyncio.sleep(0.2)  # the second thread has taken one or some, and the rest waits
        house.sessions.gate.set()
        await asyncio.gather(first, *rest)
        assert max(n for _, n in house.sessions.passes) <= 4
        assert len(house.sessions.passes) < 8, "some were run together"
    finally:
        house.sessions.gate.set()
        await asyncio.to_thread(house.embedder.close)


@pytest.mark.parametrize(("n_idle", "n_threads"), [(3, 4), (2, 1)])
async def test_a_lone_image_has_all_threads_where_all_find_a_core(
    n_idle: int, n_threads: int
) -> None:
    asked: list[int] = []

    class Told(Sessions):
        def readied(self, *given: Any, threads: int | None = None) -> Readied:
            asked.append(threads or 0)
            return super().readied(*given, threads=1)

    class Idle(IdleCores):
        def at_least(self, n: int) -> bool:
            return n_idle >= n

    sessions = Told(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=4)
    embedder._planner.plans.decide(TOY.digest, Plan(lone_threads=4, batch=1))
    embedder._workers._idle_cores = Idle()
    try:
        await embedder.embed(TOY, ONE, [image(1)])
    finally:
        await asyncio.to_thread(embedder.close)
        sessions.close()
    assert asked == [n_threads]


async def test_what_was_prepared_for_callers_who_left_is_not_run(gpu: House) -> None:
    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 5)]
    await gpu.prepared(4)
    for one in rest[:3]:
        one.cancel()
    await asyncio.gather(*rest[:3], return_exceptions=True)
    gpu.sessions.gate.set()
    await asyncio.gather(first, rest[3])
    assert [n for _, n in gpu.sessions.passes] == [1, 1]


@pytest.mark.parametrize("n_threads", [1, 4])
async def test_a_pass_costs_the_threads_that_it_had(
    n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that were asked for: a session of more may not be there yet."""
    learned: list[Ran] = []
    monkeypatch.setattr(Guess, "learn", lambda _, ran: learned.append(ran))

    class Told(Sessions):
        def readied(self, *given: Any, **named: Any) -> Readied:
            ready = super().readied(*given, **named)

            def run() -> Any:
                until = time.thread_time() + 0.05
                while time.thread_time() < until:
                    pass
                return ready.run()

            return Readied(run, n_threads)

    sessions = Told(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=4)
    try:
        await embedder.embed(TOY, ONE, [image(1)])
    finally:
        await asyncio.to_thread(embedder.close)
        sessions.close()
    assert 50 * n_threads <= learned[0].pass_cpu_ms < 100 * n_threads


async def test_who_holds_a_thread_while_it_waits_pays_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sessions are made one after another: else who asks for ever new ones has all threads."""

    class Waiting(Sessions):
        def _made(self, *given: Any) -> Session:
            time.sleep(0.2)
            return super()._made(*given)

    sessions = Waiting(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=1)
    charged: list[float] = []
    monkeypatch.setattr(embedder._turns, "settle", lambda _, ms: charged.append(ms))
    try:
        await embedder.embed(TOY, ONE, [image(1)])
    finally:
        await asyncio.to_thread(embedder.close)
        sessions.close()
    assert charged[0] >= 200


async def test_a_mistake_in_a_batch_is_told_to_all_who_left_their_images_to_it(
    gpu: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose threads have gone on; and the device is free again."""

    def fails(*_: object) -> None:
        raise KeyError("no such plan")

    first = await gpu.busy()
    rest = [asyncio.create_task(gpu.codes(seed)) for seed in range(1, 12)]
    await gpu.prepared(11)
    monkeypatch.setattr("icecore.server.embedding.working.passes.shared", fails)
    gpu.sessions.gate.set()
    await first
    async with asyncio.timeout(PATIENCE_S):
        told = await asyncio.gather(*rest, return_exceptions=True)
    assert [type(one) for one in told] == [KeyError] * 11
    monkeypatch.undo()
    async with asyncio.timeout(PATIENCE_S):
        assert np.allclose(await gpu.codes(5), alone(5), rtol=1e-5, atol=1e-6)


async def test_a_mistake_of_ours_is_told_and_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(CPU, Plan(1, 1), threads=1)
    house.sessions.gate.set()
    try:

        def fails(*_: object, **__: object) -> None:
            raise OSError("no thread can be started")

        monkeypatch.setattr(house.embedder._workers._passes, "run", fails)
        for seed in (1, 2):
            with pytest.raises(OSError, match="no thread"):
                await asyncio.wait_for(house.codes(seed), PATIENCE_S)
        monkeypatch.undo()
        await asyncio.wait_for(house.codes(3), PATIENCE_S)
    finally:
        await asyncio.to_thread(house.embedder.close)
    assert [one.message for one in caplog.records].count("worker_failed") == 2


async def test_a_mistake_of_ours_is_told_to_all_of_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(CPU, Plan(1, 4), threads=1)
    try:

        def fails(*_: object, **__: object) -> None:
            raise KeyError("no such plan")

        first = await house.busy()
        rest = [asyncio.create_task(house.codes(seed)) for seed in range(1, 4)]
        await house.waiting(3)
        monkeypatch.setattr(house.embedder._workers._passes, "run", fails)
        house.sessions.gate.set()
        await first
        async with asyncio.timeout(PATIENCE_S):
            told = await asyncio.gather(*rest, return_exceptions=True)
        assert [type(one) for one in told] == [KeyError] * 3
    finally:
        house.sessions.gate.set()
        await asyncio.to_thread(house.embedder.close)


async def test_who_takes_note_of_passes_harms_none(
    gpu: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also not those that wait for another thread's pass."""
    noted = threading.Event()

    def fails(_: Any) -> None:
        noted.set()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(gpu.embedder._workers, "_saw", fails)
    first = await gpu.busy()
    other = asyncio.create_task(gpu.codes(1))
    assert await asyncio.to_thread(noted.wait, PATIENCE_S)
    gpu.sessions.gate.set()
    made = await asyncio.gather(first, other)
    await asyncio.to_thread(gpu.embedder.close)
    for seed, codes in enumerate(made):
        assert np.allclose(codes, alone(seed), rtol=1e-5, atol=1e-6), seed
    assert [one.message for one in caplog.records] == ["not_planned"] * 2


async def test_who_leaves_while_others_of_the_batch_are_prepared_is_not_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(CPU, Plan(1, 4), threads=1)
    prepared: list[str] = []
    began, may_end = threading.Event(), threading.Event()

    def slow(_: ImageInput, *rest: object, what: str, **named: object) -> npt.NDArray[np.float32]:
        prepared.append(what)
        if what == "b":
            began.set()
            assert may_end.wait(PATIENCE_S), "nobody opened the gate"
        return np.zeros(TOY.recipe.shape, np.float32)

    def call(name: str) -> "asyncio.Task[Any]":
        return asyncio.create_task(house.embedder.embed(TOY, THREE, [image(1)], names=[name]))

    try:
        monkeypatch.setattr(orders, "prepare", slow)
        a = call("a")
        assert await asyncio.to_thread(house.sessions.began.wait, PATIENCE_S)
        b, c, d = map(call, "bcd")
        await house.waiting(3)
        house.sessions.gate.set()
        assert await asyncio.to_thread(began.wait, PATIENCE_S)
        c.cancel()
        await asyncio.gather(c, return_exceptions=True)
        may_end.set()
        await asyncio.gather(a, b, d)
    finally:
        house.sessions.gate.set()
        may_end.set()
        await asyncio.to_thread(house.embedder.close)
    assert prepared == ["a", "b", "d"]
    assert [n for _, n in house.sessions.passes] == [1, 2]


async def test_a_pass_that_fails_is_paid_for() -> None:
    """Else who makes passes fail has as many as it likes."""

    class Failing(Sessions):
        def readied(self, *_: Any, **__: Any) -> Readied:
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                pass
            raise RuntimeError("out of memory")

    sessions = Failing(max_bytes=1 << 24, threads=1)
    allowances = Allowances()
    embedder = Embedder(sessions, threads=1, allowances=allowances)
    charged: list[float] = []
    settle = embedder._turns.settle

    def told(piece: Piece, spent_ms: float) -> None:
        charged.append(spent_ms)
        settle(piece, spent_ms)

    embedder._turns.settle = told  # type: ignore[method-assign]
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            await embedder.embed(TOY, ONE, [image(1)], tenant_id="t")
    finally:
        await asyncio.to_thread(embedder.close)
        sessions.close()
    assert charged[0] >= 50, "by its turns"
    assert allowances.used("t").cpu_s >= 0.05, "and in what is counted"


async def test_what_a_session_cost_is_not_taken_for_the_cost_of_a_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever asks for a layer that was never read is refused for what it would cost."""
    learned: list[Ran] = []
    monkeypatch.setattr(Guess, "learn", lambda _, ran: learned.append(ran))

    class Slow(Sessions):
        def _made(self, *given: Any) -> Session:
            until = time.thread_time() + 0.2
            while time.thread_time() < until:
                pass
            return super()._made(*given)

    sessions = Slow(max_bytes=1 << 24, threads=1)
    charged: list[float] = []
    embedder = Embedder(sessions, threads=1)
    monkeypatch.setattr(embedder._turns, "settle", lambda _, cpu_ms: charged.append(cpu_ms))
    try:
        for _ in range(2):
            await embedder.embed(TOY, ONE, [image(1)])
    finally:
        await asyncio.to_thread(embedder.close)
        sessions.close()
    assert learned[0].compute_ms > 200
    assert all(0 < ran.pass_cpu_ms < 100 for ran in learned)
    assert charged[0] > 200 > charged[1], "whoever needed it pays"


def test_what_goes_deeper_than_it_had_to_is_weighed_against_a_pass() -> None:
    layers = {layer.name: layer.macs for layer in TOY.layers}
    whole = max(layers.values())
    one, three = layers["one"] / whole, layers["three"] / whole
    for n in (1, 5, 50):
        gain = n * (three - one) * 2.0
        for a_pass, expected in ((gain * 1.01, True), (gain * 0.99, False)):
            plan = Plan(1, 8, a_pass_ms=a_pass, an_image_ms=2.0)
            assert costs_less(TOY, plan, (ONE, n), (THREE, 3)) is expected
            assert costs_less(TOY, plan, (THREE, 3), (ONE, n)) is expected

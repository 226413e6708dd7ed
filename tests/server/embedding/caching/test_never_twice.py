"""Never twice: what is known or under way is not run, and nobody gets what is another's."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from PIL import Image

from counting_sessions import CountingSessions
from icecore.server.embedding.caching import code_cache, hashing
from icecore.server.embedding.caching.disk import DiskCache
from icecore.server.embedding.caching.first_sights import FirstSights
from icecore.server.embedding.caching.keys import image_digest
from icecore.server.embedding.embedder import Embedded, Embedder, Priority
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.errors import ImageInvalid, ShuttingDown, TensorInvalid
from icecore.wire.taps import Pooling, PoolingKind, TapId
from toys import toy_backbone

BACKBONE = toy_backbone()
CORE = BACKBONE.core
LAST = (CORE[-1],)


def noise(seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)


def png(seed: int) -> Encoded:
    file = io.BytesIO()
    Image.fromarray(noise(seed)).save(file, "PNG")
    return Encoded(file.getvalue())


def prepared(seed: int) -> Prepared:
    return Prepared(BACKBONE.recipe.apply(Image.fromarray(noise(seed))))


@pytest_asyncio.fixture
async def house() -> AsyncIterator["House"]:
    house = House()
    yield house
    house.close()


class House:
    """An embedder with a cache over sessions that count."""

    def __init__(self, **named: Any) -> None:
        self.sessions = CountingSessions(is_gated=named.pop("is_gated", False))
        named = {"cache_bytes": 1 << 20, **named}
        # On a busy machine too: nothing here is about being refused.
        self.embedder = Embedder(self.sessions, threads=1, max_queue_ms=600_000, **named)

    async def embed(
        self, *images: ImageInput, taps: tuple[TapId, ...] = LAST, **named: Any
    ) -> Embedded:
        return await self.embedder.embed(BACKBONE, taps, images, is_cached=True, **named)

    @property
    def n_runs(self) -> int:
        return len(self.sessions.runs)

    async def began(self) -> None:
        await asyncio.to_thread(self.sessions.began.wait, 30)

    def close(self) -> None:
        self.sessions.gate.set()
        self.embedder.close()
        self.sessions.close()


async def alone(image: ImageInput, taps: tuple[TapId, ...] = LAST) -> list[npt.NDArray[Any]]:
    """The codes without any cache."""
    house = House()
    try:
        return list((await house.embedder.embed(BACKBONE, taps, [image])).codes)
    finally:
        house.close()


@pytest.mark.parametrize("image", [png(0), Pixels(noise(0))], ids=["encoded", "pixels"])
async def test_the_second_time_is_not_run_and_says_the_same(
    house: House, image: ImageInput
) -> None:
    first, second = await house.embed(image), await house.embed(image)
    assert house.n_runs == 1
    assert np.array_equal(first.codes[0], second.codes[0])
    assert (first.timings.n_cached, second.timings.n_cached) == (0, 1)
    assert second.timings.compute_ms == second.timings.decode_ms == 0
    assert np.array_equal(second.codes[0], (await alone(image))[0])


async def test_a_tensor_of_floats_is_hashed_at_its_second_sight(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[ImageInput] = []

    def counting(image: ImageInput) -> bytes:
        hashed.append(image)
        return image_digest(image)

    monkeypatch.setattr(hashing, "image_digest", counting)
    for n_hashed in (0, 2, 3, 4):  # the second one and the first
        found = await house.embed(prepared(0))
        assert house.n_runs == 1
        assert len(hashed) == n_hashed
        assert np.array_equal(found.codes[0], (await alone(prepared(0)))[0])


async def test_tensors_of_the_same_fingerprint_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_cache, "fingerprint", lambda _: 7)
    house = House()
    for seed in (0, 1, 0, 2, 2, 1, 0):
        found = await house.embed(prepared(seed))
        assert np.array_equal(found.codes[0], (await alone(prepared(seed)))[0])
    house.close()


async def test_of_tensors_that_came_once_few_are_held() -> None:
    """Each is a few kilobytes, and so are those that came to their codes right before."""
    house = House(cache_bytes=256 * 1024)
    for seed in range(20):
        await house.embed(prepared(seed))
    first = house.embedder._cache._first
    assert 0 < len(first._landed) < 20
    assert first.n_bytes == sum(one.n_bytes for one in first._landed.values()) <= 16 * 1024
    await house.embed(prepared(0))
    assert house.n_runs == 21, "it came too long ago"
    await house.embed(prepared(19))
    assert house.n_runs == 21
    await house.embedder.forget("")
    assert (first.n_bytes, len(first._landed)) == (0, 0)
    house.close()


@pytest.mark.parametrize(
    "image", [png(1), Pixels(noise(1)), prepared(1)], ids=["encoded", "pixels", "floats"]
)
async def test_a_hundred_at_once_are_one_run(image: ImageInput) -> None:
    house = House(is_gated=True)
    calls = [asyncio.create_task(house.embed(image)) for _ in range(100)]
    await house.began()
    calls += [asyncio.create_task(house.embed(image)) for _ in range(10)]
    await asyncio.sleep(0.01)
    house.sessions.gate.set()
    expected = (await alone(image))[0]
    answers = await asyncio.gather(*calls)
    assert house.n_runs == 1
    assert all(np.array_equal(answer.codes[0], expected) for answer in answers)
    assert sum(answer.timings.n_cached for answer in answers) == 109
    house.close()


async def test_only_the_layers_that_are_missing_are_run(house: House) -> None:
    one, two = CORE[0], CORE[-1]
    await house.embed(png(2), taps=(one,))
    both = await house.embed(png(2), taps=(two, one))
    assert house.sessions.runs == [(one,), (two,)]
    for found, expected in zip(both.codes, await alone(png(2), (two, one)), strict=True):
        assert np.allclose(found, expected, rtol=1e-6)
    again = await house.embed(png(2), taps=(one, two, one))
    assert house.n_runs == 2
    assert [codes.shape for codes in again.codes] == [
        (1, codes.shape[1]) for codes in (both.codes[1], both.codes[0], both.codes[1])
    ]


async def test_layers_under_way_for_one_caller_are_not_run_for_another() -> None:
    house = House(is_gated=True)
    first = asyncio.create_task(house.embed(png(3), taps=(CORE[0],)))
    await house.began()
    second = asyncio.create_task(house.embed(png(3), taps=CORE))
    await asyncio.sleep(0.01)
    house.sessions.gate.set()
    await asyncio.gather(first, second)
    assert [taps for taps in house.sessions.runs if CORE[0] in taps] == [(CORE[0],)]
    house.close()


async def test_tenants_share_nothing() -> None:
    house = House(is_gated=True)
    calls = [asyncio.create_task(house.embed(png(4), tenant_id=name)) for name in "abab"]
    await house.began()
    house.sessions.gate.set()
    await asyncio.gather(*calls)
    assert house.n_runs == 2
    await house.embed(png(4), tenant_id="c")
    assert house.n_runs == 3
    house.close()


async def test_who_asks_for_half_precision_is_served_from_the_same_codes(house: House) -> None:
    wide = await house.embed(png(5))
    narrow = await house.embed(png(5), dtype=np.float16)
    assert house.n_runs == 1
    assert narrow.codes[0].dtype == np.float16
    assert np.array_equal(narrow.codes[0], wide.codes[0].astype(np.float16))


async def test_other_poolings_and_images_are_other_codes(house: House) -> None:
    layer = BACKBONE.layer("-1")
    taps = [
        BACKBONE.tap(layer, pooling=Pooling(kind)) for kind in (PoolingKind.MAX, PoolingKind.AVG)
    ]
    for seed in range(3):
        for tap in taps:
            found = await house.embed(png(seed), taps=(tap,))
            assert np.array_equal(found.codes[0], (await alone(png(seed), (tap,)))[0])
    assert house.n_runs == 6


async def test_a_first_caller_who_leaves_takes_nothing_from_the_others() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    calls = [asyncio.create_task(house.embed(png(7))) for _ in range(5)]
    await asyncio.sleep(0.01)
    calls[0].cancel()
    calls[3].cancel()
    await asyncio.sleep(0.01)
    house.sessions.gate.set()
    await blocking
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == [
        "CancelledError", "Embedded", "Embedded", "CancelledError", "Embedded",
    ]  # fmt: skip
    assert house.n_runs == 2
    house.close()


async def test_what_nobody_waits_for_any_more_is_not_run() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    calls = [asyncio.create_task(house.embed(png(7))) for _ in range(5)]
    await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    late = asyncio.create_task(house.embed(png(7)))
    await asyncio.sleep(0.01)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    house.sessions.gate.set()
    await blocking
    await house.embed(png(8))
    assert house.n_runs == 2
    house.close()


async def test_the_latest_deadline_of_those_who_wait_counts() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    soon = asyncio.create_task(house.embed(png(7), deadline=time.monotonic() + 0.01))
    await asyncio.sleep(0)
    patient = asyncio.create_task(house.embed(png(7)))
    await asyncio.sleep(0.05)
    house.sessions.gate.set()
    await blocking
    assert np.array_equal((await patient).codes[0], (await alone(png(7)))[0])
    await asyncio.gather(soon, return_exceptions=True)
    assert house.n_runs == 2
    house.close()


async def test_a_bad_image_is_named_for_each_as_they_sent_it() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    bad = Encoded(b"hello")
    calls = [
        asyncio.create_task(house.embed(*[png(9)] * index, bad, names=[f"n{i}" for i in range(9)]))
        for index in range(3)
    ]
    await asyncio.sleep(0.01)
    house.sessions.gate.set()
    await blocking
    for index, call in enumerate(calls):
        with pytest.raises(ImageInvalid, match=f"^n{index} is no image") as caught:
            await call
        assert caught.value.details["image"] == str(index)
    house.close()


async def test_a_bad_image_is_named_as_they_sent_it_to_those_who_stay() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    bad = Encoded(b"hello")
    first = asyncio.create_task(house.embed(png(9), bad, names=["mine", "secret"]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(house.embed(bad, names=["ours"]))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    house.sessions.gate.set()
    await blocking
    with pytest.raises(ImageInvalid, match=r"^ours is no image") as caught:
        await second
    assert caught.value.details["image"] == "0"
    house.close()


async def test_what_an_interactive_call_joins_goes_before_the_bulk_it_was_part_of() -> None:
    house = House(is_gated=True)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    images = [png(seed) for seed in range(10, 15)]
    bulk = asyncio.create_task(house.embed(*images, priority=Priority.BULK))
    await asyncio.sleep(0.01)
    interactive = asyncio.create_task(house.embed(images[3]))
    await asyncio.sleep(0.01)
    n_waiting = house.embedder._turns.n_waiting
    first = house.embedder._turns.take(wait=False)
    assert first is not None
    assert first.image is images[3]
    assert n_waiting == 5
    house.embedder._workers.submit(first)
    house.sessions.gate.set()
    await blocking
    expected = [(await alone(image))[0][0] for image in images]
    assert np.array_equal((await interactive).codes[0][0], expected[3])
    assert np.array_equal((await bulk).codes[0], expected)
    assert house.n_runs == 6
    house.close()


async def test_a_call_of_many_known_images_lets_others_have_their_turn(house: House) -> None:
    await house.embed(png(5))
    n_turns = 0

    async def others() -> None:
        nonlocal n_turns
        while True:
            n_turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    found = await house.embed(*[png(5)] * 80)
    beside.cancel()
    assert found.timings.n_cached == 80
    assert n_turns >= 9


async def test_tensors_that_come_again_long_after_are_answered_all() -> None:
    house = House(is_gated=True)
    house.embedder._cache._first = FirstSights(most=1)
    blocking = asyncio.create_task(house.embed(png(6)))
    await house.began()
    calls = []
    for seed in (1, 2, 1, 1, 2, 2, 1):
        calls.append(asyncio.create_task(house.embed(prepared(seed))))
        await asyncio.sleep(0.01)
    house.sessions.gate.set()
    await blocking
    expected = {seed: (await alone(prepared(seed)))[0] for seed in (1, 2)}
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*calls)
    for seed, answer in zip((1, 2, 1, 1, 2, 2, 1), answers, strict=True):
        assert np.array_equal(answer.codes[0], expected[seed])
    house.close()


async def test_who_joins_what_could_not_be_put_in_line_does_not_wait_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = house.embedder._workers.submit
    pieces: list[Any] = []

    def submit_from_the_second_on(piece: Any) -> None:
        pieces.append(piece)
        if len(pieces) == 1:
            raise ShuttingDown("not now")
        submit(piece)

    monkeypatch.setattr(house.embedder._workers, "submit", submit_from_the_second_on)
    calls = [asyncio.create_task(house.embed(png(5))) for _ in range(2)]
    async with asyncio.timeout(30):
        first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, ShuttingDown)
    assert isinstance(second, Embedded)


async def test_codes_that_are_not_finite_are_refused_each_time(house: House) -> None:
    huge = Prepared(np.full((3, 8, 8), 3e38, np.float32))
    for _ in range(4):
        with pytest.raises(TensorInvalid, match="not finite"):
            await house.embed(huge)


async def test_what_a_caller_does_with_its_codes_changes_nothing_kept(house: House) -> None:
    first = await house.embed(png(5))
    expected = first.codes[0].copy()
    first.codes[0][:] = 7
    second = await house.embed(png(5))
    second.codes[0][:] = 8
    assert np.array_equal((await house.embed(png(5))).codes[0], expected)


async def test_whole_maps_above_a_megabyte_are_neither_kept_nor_copied_about(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icecore.server.embedding.filling.LARGEST_CACHED_BYTES", 100)
    taps = (BACKBONE.tap(BACKBONE.layer("one"), pooling=Pooling(PoolingKind.NONE)),)
    for _ in range(2):
        await house.embed(png(5), taps=taps)
    assert house.n_runs == 2


async def test_without_room_nothing_is_kept_but_those_at_once_still_share() -> None:
    house = House(cache_bytes=0, is_gated=True)
    calls = [asyncio.create_task(house.embed(png(5))) for _ in range(5)]
    await house.began()
    house.sessions.gate.set()
    await asyncio.gather(*calls)
    assert house.n_runs == 1
    await house.embed(png(5))
    assert house.n_runs == 2
    house.close()


async def test_a_tenant_that_is_deleted_leaves_no_codes(tmp_path: Path) -> None:
    house = House(disk=DiskCache(tmp_path / "codes", 1 << 20))
    await house.embed(png(5), tenant_id="a")
    await house.embed(png(5), tenant_id="b")
    await house.embedder.forget("a")
    await house.embed(png(5), tenant_id="b")
    assert house.n_runs == 2
    await house.embed(png(5), tenant_id="a")
    assert house.n_runs == 3
    house.close()


async def test_what_is_under_way_for_a_tenant_that_is_deleted_is_not_kept(tmp_path: Path) -> None:
    house = House(disk=DiskCache(tmp_path / "codes", 1 << 20), is_gated=True)
    under_way = asyncio.create_task(house.embed(png(5), tenant_id="a"))
    await house.began()
    await house.embedder.forget("a")
    house.sessions.gate.set()
    await under_way
    assert house.embedder._cache.n_bytes == 0
    await house.embed(png(5), tenant_id="a")
    assert house.n_runs == 2
    house.close()


async def test_of_a_call_whose_tenant_is_deleted_meanwhile_nothing_is_kept_or_told(
    tmp_path: Path,
) -> None:
    """Neither of its images that come later: another tenant may have the name by then."""
    house = House(disk=DiskCache(tmp_path / "codes", 1 << 20), is_gated=True)
    images = [png(seed) for seed in range(40)]
    under_way = asyncio.create_task(house.embed(*images, tenant_id="a"))
    await house.began()
    await house.embedder.forget("a")
    new = asyncio.create_task(house.embed(*images, tenant_id="a"))
    house.sessions.gate.set()
    await under_way
    assert (await new).timings.n_cached == 0
    assert house.n_runs == 80
    tensor = Prepared(np.ones((3, 8, 8), np.float32))
    house.sessions.gate.clear()
    house.sessions.began.clear()
    first = asyncio.create_task(house.embed(tensor, tenant_id="a"))
    await house.began()
    await house.embedder.forget("a")
    second = asyncio.create_task(house.embed(tensor, tenant_id="a"))
    house.sessions.gate.set()
    assert (await second).timings.n_cached == 0
    await first
    house.close()


async def test_a_disk_is_read_also_where_memory_has_no_room(tmp_path: Path) -> None:
    house = House(cache_bytes=0, disk=DiskCache(tmp_path / "codes", 1 << 20))
    made = await house.embed(png(5))
    house.close()
    house = House(cache_bytes=0, disk=DiskCache(tmp_path / "codes", 1 << 20))
    found = await house.embed(png(5))
    assert (house.n_runs, found.timings.n_cached) == (0, 1)
    assert np.array_equal(made.codes[0], found.codes[0])
    house.close()


async def test_codes_on_disk_outlive_the_process(tmp_path: Path) -> None:
    first = House(disk=DiskCache(tmp_path / "codes", 1 << 20))
    made = await first.embed(png(5), png(6), taps=CORE)
    first.close()
    second = House(disk=DiskCache(tmp_path / "codes", 1 << 20))
    found = await second.embed(png(5), png(6), taps=CORE)
    assert second.n_runs == 0
    assert found.timings.n_cached == 2
    for one, other in zip(made.codes, found.codes, strict=True):
        assert np.array_equal(one, other)
    second.close()


async def test_nobody_ever_gets_anothers_codes() -> None:
    """Many callers, few images, a cache too small for them, tenants and layers mixed."""
    house = House(cache_bytes=40_000)
    rng = np.random.default_rng(0)
    images: list[ImageInput] = [
        *(png(seed) for seed in range(6)),
        *(Pixels(noise(seed)) for seed in range(10, 14)),
        *(prepared(seed) for seed in range(20, 24)),
    ]
    expected = [await alone(image, CORE) for image in images]

    async def call(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(10):
            chosen = [int(one) for one in rng.integers(0, len(images), rng.integers(1, 4))]
            places = [int(one) for one in rng.permutation(len(CORE))[: rng.integers(1, 3)]]
            asked = house.embed(
                *(images[one] for one in chosen),
                taps=tuple(CORE[place] for place in places),
                tenant_id=str(rng.integers(0, 3)),
            )
            if rng.random() < 0.2:
                task = asyncio.create_task(asked)
                await asyncio.sleep(0.001 * rng.random())
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                continue
            found = (await asked).codes
            for place, codes in zip(places, found, strict=True):
                for row, one in enumerate(chosen):
                    # A cut at another layer may add in another order.
                    assert np.allclose(codes[row], expected[one][place][0], rtol=1e-5, atol=1e-7)

    await asyncio.gather(*(call(int(seed)) for seed in rng.integers(0, 1 << 30, 20)))
    house.close()

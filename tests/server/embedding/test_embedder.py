"""The embedder: images to codes, whoever else is embedding."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import pytest_asyncio
from PIL import Image

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.running.loaded import InputArray
from icecore.server.backbones.running.sessions import Readied, Sessions
from icecore.server.embedding import orders
from icecore.server.embedding.decoding import Limits
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.orders import CallLimits
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.errors import (
    DTypeInvalid,
    DTypeOverflow,
    ImageInvalid,
    ImagesEmpty,
    ImagesTooMany,
    ImageTooLarge,
    InvalidArgument,
    Overloaded,
    ShuttingDown,
    TapMismatch,
    TensorInvalid,
)
from icecore.server.quotas import Used
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId
from toys import toy_backbone

BACKBONE = toy_backbone()
LAST = (BACKBONE.tap(BACKBONE.layer("-1")),)


def noise(seed: int, height: int = 12, width: int = 10) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(array: npt.NDArray[np.uint8]) -> Encoded:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return Encoded(file.getvalue())


def prepared(array: npt.NDArray[np.uint8]) -> Prepared:
    return Prepared(BACKBONE.recipe.apply(Image.fromarray(array)))


def whole_graph(array: npt.NDArray[np.uint8], layer: str) -> npt.NDArray[np.float32]:
    """A map of the toy, from its own graph with that tensor as one more output."""
    import onnx

    model = onnx.load_from_string(BACKBONE.graph)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(layer))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run([layer], {"image": prepared(array).array[None]})
    whole: npt.NDArray[np.float32] = np.asarray(found, np.float32)[0]
    return whole


class GatedSessions(Sessions):
    """Sessions whose passes wait to be let through, and that count images."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 20, threads=1)
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.n_images = 0

    def readied(
        self, backbone: Backbone, taps: Sequence[TapId], inputs: InputArray, **named: Any
    ) -> Readied:
        self.began.set()
        assert self.may_end.wait(30), "nobody opened the gate"
        self.n_images += len(inputs)
        return super().readied(backbone, taps, inputs, **named)


@pytest_asyncio.fixture
async def embedder() -> AsyncIterator[Embedder]:
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    embedder = Embedder(sessions, threads=2, limits=CallLimits(max_images=50))
    yield embedder
    embedder.close()
    sessions.close()


async def test_codes_are_what_the_whole_graph_says(embedder: Embedder) -> None:
    taps = [
        BACKBONE.tap(BACKBONE.layer("one")),
        BACKBONE.tap(BACKBONE.layer("two"), pooling=Pooling(PoolingKind.NONE)),
        BACKBONE.tap(BACKBONE.layer("two"), Activation.AS_TRAINED, Pooling(PoolingKind.MAX)),
    ]
    embedded = await embedder.embed(BACKBONE, taps, [png(noise(0)), png(noise(1))])
    one, two = whole_graph(noise(1), "one"), whole_graph(noise(1), "two")
    assert np.allclose(embedded.codes[0][1], one.mean(axis=(1, 2)), rtol=1e-6)
    assert np.array_equal(embedded.codes[1][1], two)
    assert np.array_equal(embedded.codes[2][1], two.max(axis=(1, 2)))
    assert all(codes.min() >= 0 for codes in embedded.codes), "codes are never negative"


async def test_the_three_ways_to_send_an_image_give_the_same_codes(embedder: Embedder) -> None:
    images: list[ImageInput] = [png(noise(2)), Pixels(noise(2)), prepared(noise(2))]
    [codes] = (await embedder.embed(BACKBONE, LAST, images)).codes
    assert np.array_equal(codes[0], codes[1])
    assert np.array_equal(codes[0], codes[2])


async def test_codes_do_not_depend_on_the_neighbours(embedder: Embedder) -> None:
    """Also over the edge of a batch: 11 images in batches of 4."""
    images = [png(noise(seed)) for seed in range(11)]
    taps = BACKBONE.core
    together = (await embedder.embed(BACKBONE, taps, images)).codes
    for index, image in enumerate(images):
        alone = (await embedder.embed(BACKBONE, taps, [image])).codes
        for one, all_ in zip(alone, together, strict=True):
            # The toy's quarters add up exactly, but its pixels / 255 do not.
            assert np.allclose(one[0], all_[index], rtol=1e-6, atol=1e-7), index


async def test_the_order_of_the_images_is_kept_whoever_else_embeds(embedder: Embedder) -> None:
    alone = {
        seed: (await embedder.embed(BACKBONE, LAST, [png(noise(seed))])).codes[0][0]
        for seed in range(20)
    }
    orders = [np.random.default_rng(i).permutation(20) for i in range(8)]
    answers = await asyncio.gather(
        *(
            embedder.embed(BACKBONE, LAST, [png(noise(s)) for s in order], tenant_id=str(i % 3))
            for i, order in enumerate(orders)
        )
    )
    for order, answer in zip(orders, answers, strict=True):
        expected = np.stack([alone[seed] for seed in order])
        assert np.allclose(answer.codes[0], expected, rtol=1e-6, atol=1e-7)


async def test_float16_codes_are_the_float32_ones_rounded(embedder: Embedder) -> None:
    wide = (await embedder.embed(BACKBONE, LAST, [png(noise(3))])).codes[0]
    narrow = (await embedder.embed(BACKBONE, LAST, [png(noise(3))], dtype=np.float16)).codes[0]
    assert (wide.dtype.name, narrow.dtype.name) == ("float32", "float16")
    assert np.array_equal(wide.astype(np.float16), narrow)


async def test_values_past_float16_are_refused_not_made_infinite(embedder: Embedder) -> None:
    huge = Prepared(np.full((3, 8, 8), 1e6, np.float32))
    taps = BACKBONE.core[:1]
    with pytest.raises(DTypeOverflow, match=r"toy@.*/1:one/avg' reach .* float16 ends at 65,504"):
        await embedder.embed(BACKBONE, taps, [huge], dtype=np.float16)
    assert np.isfinite((await embedder.embed(BACKBONE, taps, [huge])).codes[0]).all()


async def test_images_that_have_names_are_called_by_them(embedder: Embedder) -> None:
    """Also where it is their codes that cannot be told."""
    good = Prepared(np.zeros((3, 8, 8), np.float32))
    for bad in (3e38, np.nan):
        image = Prepared(np.full((3, 8, 8), bad, np.float32))
        for names, name in ((["the first", "the other"], "the other"), ((), "image 1")):
            with pytest.raises(TensorInvalid, match=f"^{name} ") as caught:
                await embedder.embed(BACKBONE, BACKBONE.core, [good, image], names=names)
            assert caught.value.details["image"] == "1"


async def test_times_add_up(embedder: Embedder) -> None:
    timings = (await embedder.embed(BACKBONE, LAST, [png(noise(4))])).timings
    parts = timings.queue_ms + timings.decode_ms + timings.compute_ms
    assert 0 < parts <= timings.total_ms


async def test_no_images_and_too_many_are_refused(embedder: Embedder) -> None:
    with pytest.raises(ImagesEmpty):
        await embedder.embed(BACKBONE, LAST, [])
    with pytest.raises(ImagesTooMany, match="there are 51 images, but 50 at once are the most"):
        await embedder.embed(BACKBONE, LAST, [png(noise(0))] * 51)


@pytest.mark.parametrize("dtype", [np.float64, "uint8", ">f4", "nonsense"])
async def test_other_dtypes_are_refused(embedder: Embedder, dtype: npt.DTypeLike) -> None:
    with pytest.raises(DTypeInvalid, match="float32 or float16"):
        await embedder.embed(BACKBONE, LAST, [png(noise(0))], dtype=dtype)


async def test_whole_maps_are_refused_before_they_fill_the_memory() -> None:
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    embedder = Embedder(sessions, threads=1, limits=CallLimits(max_code_bytes=4096))
    taps = [BACKBONE.tap(BACKBONE.layer("one"), pooling=Pooling(PoolingKind.NONE))]
    await embedder.embed(BACKBONE, taps, [Pixels(noise(0))] * 4)
    with pytest.raises(ImagesTooMany, match="5,120 bytes, but 4,096 are the most: send 4 at once"):
        await embedder.embed(BACKBONE, taps, [Pixels(noise(0))] * 5)
    with pytest.raises(ImagesTooMany, match=r"5,120 bytes.*: read fewer layers or pool them"):
        await embedder.embed(BACKBONE, taps * 5, [Pixels(noise(0))])
    embedder.close()


@pytest.mark.parametrize(
    ("image", "error", "sentence"),
    [
        (Encoded(b"hello"), ImageInvalid, "image 2 is no image"),
        (Pixels(np.zeros((4, 4), np.uint8)), TensorInvalid, "must be (h, w, 3) pixels"),
        (Pixels(np.zeros((4, 4, 4), np.uint8)), TensorInvalid, "shape (4, 4, 4), but must be"),
        (Pixels(np.zeros((0, 4, 3), np.uint8)), TensorInvalid, "shape (0, 4, 3), but must be"),
        (Pixels(np.zeros((4, 4, 3), np.float64)), TensorInvalid, "a tensor of float64, but must"),
        (Pixels(np.zeros((1, 60_000_000, 3), np.uint8)), ImageTooLarge, "60,000,000 x 1 pixels"),
        (Prepared(np.zeros((3, 8, 9), np.float32)), TensorInvalid, "but must be (3, 8, 8)"),
        (Prepared(np.zeros((8, 8, 3), np.float32)), TensorInvalid, "but must be (3, 8, 8)"),
        (Prepared(np.zeros((3, 8, 8), np.float16)), TensorInvalid, "a tensor of float16"),
        (
            Prepared(np.where(np.arange(192) == 9, np.nan, 0).reshape(3, 8, 8).astype("f4")),
            TensorInvalid,
            "image 2 has the value nan at (0, 1, 1), but must be finite",
        ),
    ],
)
async def test_an_error_names_the_bad_image_and_what_would_be_right(
    embedder: Embedder, image: ImageInput, error: type[InvalidArgument], sentence: str
) -> None:
    good = png(noise(0))
    with pytest.raises(error) as caught:
        await embedder.embed(BACKBONE, LAST, [good, good, image, good])
    assert sentence in caught.value.message
    assert caught.value.message.startswith("image 2 ")
    assert caught.value.details["image"] == "2"
    assert len((await embedder.embed(BACKBONE, LAST, [good])).codes[0]) == 1, "it goes on"


async def test_the_first_of_several_bad_images_is_the_one_named(embedder: Embedder) -> None:
    images = [png(noise(0))] * 9 + [Encoded(b"first"), Encoded(b"second")]
    for _ in range(5):
        with pytest.raises(ImageInvalid, match="image 9 is no image: it begins b'first'"):
            await embedder.embed(BACKBONE, LAST, images)


async def test_taps_of_another_backbone_are_refused(embedder: Embedder) -> None:
    other = toy_backbone(1)
    with pytest.raises(TapMismatch):
        await embedder.embed(other, LAST, [png(noise(0))])


async def test_a_full_house_refuses_at_the_door_but_lets_background_work_wait() -> None:
    sessions = GatedSessions()
    embedder = Embedder(sessions, threads=1, max_queue_ms=0.01)
    first = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(0))] * 2))
    await asyncio.to_thread(sessions.began.wait, 30)
    with pytest.raises(Overloaded, match=r"that come first take \d+ ms, and 0 ms is the most"):
        await embedder.embed(BACKBONE, LAST, [png(noise(0))] * 2)
    background = asyncio.create_task(
        embedder.embed(BACKBONE, LAST, [png(noise(0))] * 2, is_background=True)
    )
    sessions.may_end.set()
    await asyncio.gather(first, background)
    await embedder.embed(BACKBONE, LAST, [png(noise(0))] * 3)
    embedder.close()


async def test_a_caller_who_left_costs_no_more_passes() -> None:
    sessions = GatedSessions()
    embedder = Embedder(sessions, threads=1)
    left = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(0))] * 40))
    await asyncio.to_thread(sessions.began.wait, 30)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    sessions.may_end.set()
    await embedder.embed(BACKBONE, LAST, [png(noise(0))] * 100)
    assert sessions.n_images == 1 + 100, "the pass under way ended, and no other began"
    embedder.close()


async def test_a_caller_who_left_costs_no_more_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Event(), threading.Event()
    n_prepared = 0

    def slow(image: ImageInput, *rest: object, **named: object) -> npt.NDArray[np.float32]:
        nonlocal n_prepared
        n_prepared += 1
        began.set()
        assert may_end.wait(30), "nobody opened the gate"
        return np.zeros((3, 8, 8), np.float32)

    monkeypatch.setattr(orders, "prepare", slow)
    sessions = Sessions(max_bytes=1 << 20, threads=1)
    embedder = Embedder(sessions, threads=1)
    left = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(0))] * 40))
    await asyncio.to_thread(began.wait, 30)
    left.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    await embedder.embed(BACKBONE, LAST, [png(noise(0))])
    assert n_prepared == 1 + 1, "the image under way, and the other call's"
    embedder.close()


async def test_an_image_whose_thread_cannot_be_started_stands_in_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sessions = GatedSessions()
    sessions.may_end.set()
    embedder = Embedder(sessions, threads=1, cache_bytes=1 << 20)
    for is_cached in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fails)
            with pytest.raises(RuntimeError, match="new thread"):
                await embedder.embed(BACKBONE, LAST, [png(noise(0))], is_cached=is_cached)
        assert embedder._turns.n_waiting == 0, is_cached
    await embedder.embed(BACKBONE, LAST, [png(noise(1))])
    assert sessions.n_images == 1
    embedder.close()


async def test_images_refused_by_their_headers_hold_up_nobody() -> None:
    """Whatever those say: at 49 megapixels they would be foreseen to take a second each."""
    sessions = GatedSessions()
    limits = CallLimits(image=Limits(max_pixels=1_000_000))
    embedder = Embedder(sessions, threads=1, limits=limits)
    side = (7000).to_bytes(4, "big")
    huge = Encoded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + side * 2 + b"\x08\x02\0\0\0")
    first = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(0)), *[huge] * 7]))
    await asyncio.to_thread(sessions.began.wait, 30)
    other = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(1))]))
    await asyncio.sleep(0)  # it is taken in, or refused
    sessions.may_end.set()
    try:
        with pytest.raises(ImageTooLarge, match="image 1 is 7,000 x 7,000 pixels"):
            await first
        await other
    finally:
        embedder.close()


async def test_what_a_deleted_tenant_had_done_is_not_the_next_ones_of_its_name() -> None:
    sessions = GatedSessions()
    allowances = Allowances()
    embedder = Embedder(sessions, threads=1, allowances=allowances)
    deleted = allowances.account("t")
    call = asyncio.create_task(embedder.embed(BACKBONE, LAST, [png(noise(0))], tenant_id="t"))
    await asyncio.to_thread(sessions.began.wait, 30)
    allowances.forget("t")
    sessions.may_end.set()
    await call
    embedder.close()
    assert deleted is not None
    assert (deleted.used.n_images, deleted.used.cpu_s > 0) == (1, True)
    assert allowances.used("t") == Used()


async def test_a_closed_embedder_embeds_no_more(embedder: Embedder) -> None:
    embedder.close()
    embedder.close()
    with pytest.raises(ShuttingDown):
        await embedder.embed(BACKBONE, LAST, [png(noise(0))])


async def test_codes_of_the_default_backbone_are_the_same_alone_and_in_a_batch(
    shared: Path,
) -> None:
    """At all 33 layers, on real photos. Convolutions are computed image by image,
    so equal to the bit here; 1e-5 of a layer's peak is promised, for machines where
    ONNX Runtime splits a batch otherwise.
    """
    backbone = Backbone.read(
        efficientnet_lite0.NAME,
        efficientnet_lite0.build(efficientnet_lite0.read_weights()),
        efficientnet_lite0.RECIPE,
    )
    files = sorted((shared / "datasets" / "hymenoptera").glob("*/*.jpg"))[::60]
    images = [Encoded(file.read_bytes()) for file in files]
    sessions = Sessions(max_bytes=1 << 28, threads=1)
    embedder = Embedder(sessions, threads=2)
    together = (await embedder.embed(backbone, backbone.core, images)).codes
    assert len(together) == 33
    for index, image in enumerate(images):
        alone = (await embedder.embed(backbone, backbone.core, [image])).codes
        for tap, one, all_ in zip(backbone.core, alone, together, strict=True):
            assert one.min() >= 0, str(tap)
            assert np.abs(one[0] - all_[index]).max() <= 1e-5 * all_.max(), str(tap)
    embedder.close()
    sessions.close()

"""Examples in, codes out again: ingest and the reading of a collection's codes."""

import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from PIL import Image

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Readied, Sessions
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.ingest import ExampleInput, Ingest, compact
from icecore.server.errors import (
    CollectionNotFound,
    ExampleExists,
    IcecoreError,
    IdDuplicate,
    ImageInvalid,
    ImagesEmpty,
    ImagesNotKept,
    ImagesTooMany,
    MetadataInvalid,
    NameInvalid,
    PoolingInvalid,
    RequestIdReused,
    StorageCorrupt,
    TapMismatch,
    TensorInvalid,
)
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    AddedCounts,
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
    Snapshot,
)
from icecore.wire.taps import Activation, Pooling, PoolingKind
from toy_store import put_toy_backbone
from toys import toy_backbone

BACKBONE = toy_backbone(is_default=True)
ANOTHER = 1
"""The seed of a backbone with the same layers and other weights."""


def noise(seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)


def png(seed: int) -> Encoded:
    file = io.BytesIO()
    Image.fromarray(noise(seed)).save(file, "PNG")
    return Encoded(file.getvalue())


def example(
    example_id: str,
    image: ImageInput,
    label: str = "ant",
    metadata: Mapping[str, object] | None = None,
) -> ExampleInput:
    return ExampleInput(example_id, label, metadata or {}, image)


class CountingSessions(Sessions):
    """Counts the images that went through the network."""

    n_images = 0
    meanwhile: Callable[[], None] | None = None
    """Called once, while images are in the network."""

    def readied(self, backbone: Backbone, *rest: Any, **named: Any) -> Readied:
        self.n_images += len(rest[1])
        if self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        return super().readied(backbone, *rest, **named)


@dataclass
class House:
    store: Store
    tenant: TenantStore
    sessions: CountingSessions
    embedder: Embedder
    ingest: Ingest
    codes: CollectionCodes

    async def add(
        self,
        *examples: ExampleInput,
        to: str = "c",
        on_duplicate: OnDuplicate = OnDuplicate.REFUSE,
        mutation: Mutation | None = None,
    ) -> AddedCounts:
        return await self.ingest.add(
            self.tenant, to, examples, on_duplicate=on_duplicate, mutation=mutation
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_sqlite(tmp_path / "data")
    put_toy_backbone(store, seed=ANOTHER, name="another")
    put_toy_backbone(store)
    yield store
    store.close()


@pytest_asyncio.fixture
async def house(store: Store) -> AsyncIterator[House]:
    """Two collections over the toy: `c` keeps images, `bare` does not."""
    tenant = store.tenant("default")
    for collection_id, keep_images in (("c", True), ("bare", False)):
        tenant.create_collection(
            collection_id, backbone="toy", digest=BACKBONE.digest, keep_images=keep_images
        )
    catalog = Catalog(store, default="toy")
    sessions = CountingSessions(max_bytes=1 << 20, threads=1)
    embedder = Embedder(sessions, threads=2)
    yield House(
        store,
        tenant,
        sessions,
        embedder,
        Ingest(catalog, embedder, max_examples_a_batch=64),
        CollectionCodes(catalog, embedder, max_bytes=100_000),
    )
    embedder.close()
    sessions.close()


async def test_what_goes_in_comes_out_with_its_codes(house: House) -> None:
    counts = await house.add(
        example("b", png(1), "bee", {"n": 3, "ok": True, "who": "x"}), example("a", png(0))
    )
    assert counts == AddedCounts(2, 0, 0)
    first, second = house.tenant.list_examples("c")
    assert (first.example_id, second.example_id) == ("a", "b")
    assert second.metadata == {"n": 3.0, "ok": True, "who": "x"}
    assert second.image_sha256 == hashlib.sha256(png(1).data).hexdigest()
    assert house.tenant.image("c", "b") == png(1).data
    read = await house.codes.read(house.tenant, "c", BACKBONE.core)
    direct = await house.embedder.embed(BACKBONE, BACKBONE.core, [png(0), png(1)])
    for tap, codes in zip(BACKBONE.core, direct.codes, strict=True):
        assert np.array_equal(read.codes[tap], codes.astype(np.float16)), str(tap)


@pytest.mark.parametrize("collection_id", ["c", "bare"])
async def test_the_networks_own_answers_are_in_the_core(house: House, collection_id: str) -> None:
    await house.add(example("a", png(0)), to=collection_id)
    *_, outputs = core_of(BACKBONE, house.tenant.collection(collection_id))
    assert (outputs.layer, outputs.depth) == ("logits", 0)
    n_images = house.sessions.n_images
    [stored] = (await house.codes.read(house.tenant, collection_id, [outputs])).codes[outputs]
    assert house.sessions.n_images == n_images
    direct = await house.embedder.embed(BACKBONE, (outputs,), [png(0)])
    assert np.array_equal(stored, direct.codes[0][0].astype(np.float16))


async def test_a_collection_of_before_goes_on_without_the_answers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(type(BACKBONE), "outputs", None)
        await house.add(example("a", png(0)))
    old = replace(house.tenant.collection("c"), has_outputs=False)
    assert core_of(BACKBONE, old) == BACKBONE.core
    monkeypatch.setattr(type(house.tenant), "collection", lambda *_: old)
    await house.add(example("b", png(1)))
    outputs = BACKBONE.tap(BACKBONE.layer("logits"))
    n_images = house.sessions.n_images
    read = await house.codes.read(house.tenant, "c", [BACKBONE.core[0], outputs])
    assert house.sessions.n_images == n_images + 2, "computed again from kept images"
    assert [len(codes) for codes in read.codes.values()] == [2, 2]


@pytest.mark.parametrize(
    ("has_outputs", "layer", "sentence"),
    [
        (False, "logits", "stored since later, so add the images to a new collection"),
        (True, "branch", "for that add the images to one made with keep_images"),
    ],
)
async def test_what_is_not_stored_is_refused_with_the_way_out(
    house: House, has_outputs: bool, layer: str, sentence: str
) -> None:
    collection = replace(house.tenant.collection("bare"), has_outputs=has_outputs)
    tap = BACKBONE.tap(BACKBONE.layer(layer))
    with pytest.raises(ImagesNotKept, match=sentence) as refused:
        house.codes.check(collection, BACKBONE, [tap])
    assert f"its {3 + has_outputs} layers that are stored" in refused.value.message


def test_answers_of_very_many_classes_are_not_kept(house: House) -> None:
    logits = replace(BACKBONE.layer("logits"), dims=4097)
    wide = replace(BACKBONE, layers=(*BACKBONE.ranked, logits))
    assert core_of(wide, house.tenant.collection("c")) == BACKBONE.core


async def test_pixels_are_kept_as_a_file_of_the_same_pixels(house: House) -> None:
    await house.add(example("a", Pixels(noise(5))), example("b", png(5)))
    kept = house.tenant.image("c", "a")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(kept))), noise(5))
    [a, b] = (await house.codes.read(house.tenant, "c", BACKBONE.core[-1:])).codes[
        BACKBONE.core[-1]
    ]
    assert np.array_equal(a, b)


async def test_a_tensor_past_the_recipe_is_no_image_to_keep(house: House) -> None:
    tensor = Prepared(BACKBONE.recipe.apply(Image.fromarray(noise(0))))
    with pytest.raises(TensorInvalid, match=r"example 'a' .* keep_images false"):
        await house.add(example("a", tensor))
    assert await house.add(example("a", tensor), to="bare") == AddedCounts(1, 0, 0)


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_request_sent_twice_at_once_has_one_answer(is_deleted: bool, house: House) -> None:
    """Its twin is done between the first look for an answer and the look at what is there."""
    mutation = Mutation("twins", "AddExamples", "f" * 64)
    first = await house.add(example("a", png(0)), mutation=mutation)
    store = house.tenant
    if is_deleted:
        store.delete_collection("c")

    class Overtaken:
        n_asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def added_before(self, mutation: Mutation) -> AddedCounts | None:
            self.n_asked += 1
            return None if self.n_asked == 1 else store.added_before(mutation)

    house.tenant = cast(TenantStore, Overtaken())
    assert await house.add(example("a", png(0)), mutation=mutation) == first
    with pytest.raises(CollectionNotFound if is_deleted else ExampleExists):
        await house.add(example("a", png(0)))


async def test_a_retry_gets_its_first_answer_without_a_pass(house: House) -> None:
    mutation = Mutation("r1", "AddExamples", "f" * 64)
    first = await house.add(example("a", png(0)), mutation=mutation)
    again = await house.add(example("a", png(0)), mutation=mutation)
    assert first == again == AddedCounts(1, 0, 0)
    assert house.sessions.n_images == 1
    with pytest.raises(RequestIdReused):
        await house.add(example("b", png(0)), mutation=Mutation("r1", "AddExamples", "0" * 64))


async def test_examples_that_stay_as_they_are_cost_no_pass(house: House) -> None:
    await house.add(example("a", png(0)), example("b", png(1)), example("c", png(2)))
    batch = (
        example("a", png(0)),
        example("b", png(9)),
        example("c", png(2), "bee"),
        example("d", png(3)),
    )
    mutation = Mutation("r", "AddExamples", "f" * 64)
    for _ in range(2):
        counts = await house.add(*batch, on_duplicate=OnDuplicate.REPLACE, mutation=mutation)
        assert counts == AddedCounts(n_added=1, n_replaced=2, n_unchanged=1), "a retry's too"
    assert house.sessions.n_images == 3 + 3
    others = (example("a", png(7)), example("d", png(8)), example("e", png(4)))
    skipped = await house.add(*others, on_duplicate=OnDuplicate.SKIP)
    assert skipped == AddedCounts(n_added=1, n_replaced=0, n_unchanged=2)
    assert house.tenant.image("c", "a") == png(0).data
    assert house.sessions.n_images == 3 + 3 + 1
    nothing = await house.add(*batch, on_duplicate=OnDuplicate.REPLACE)
    assert nothing == AddedCounts(0, 0, 4)
    assert house.sessions.n_images == 3 + 3 + 1


async def test_an_id_that_is_there_is_refused_without_a_pass(house: House) -> None:
    await house.add(example("a", png(0)))
    with pytest.raises(ExampleExists, match="collection 'c' already has the example 'a'"):
        await house.add(example("b", png(1)), example("a", png(0)))
    assert house.sessions.n_images == 1
    assert house.tenant.collection("c").n_examples == 1


BAD_BATCHES: list[tuple[list[ExampleInput], type[IcecoreError], str]] = [
    ([], ImagesEmpty, "there are no examples"),
    ([example("", png(0))], NameInvalid, "the example's id is empty, in example 0"),
    ([example("a\0b", png(0))], NameInvalid, r"'\x00'"),
    ([example("x" * 2000, png(0))], NameInvalid, "2000 characters"),
    ([example("a", png(0), "x" * 300)], NameInvalid, "label"),
    ([example("a", png(0), "a\nb")], NameInvalid, "label"),
    ([example("a", png(0)), example("a", png(1))], IdDuplicate, "examples 0 and 1"),
    ([example("a", png(0), "", {"k": None})], MetadataInvalid, "at 'k' is a NoneType"),
    ([example("a", png(0), "", {"k": {}})], MetadataInvalid, "at 'k' is a dict"),
    ([example("a", png(0), "", {"k": float("nan")})], MetadataInvalid, "not finite"),
    ([example("a", png(0), "", {"k": 10**400})], MetadataInvalid, "not finite"),
    ([example("a", png(0), "", {"": 1})], MetadataInvalid, "metadata key is empty"),
    ([example("a", png(0), "", {"k": "x" * 5000})], MetadataInvalid, "5,000 characters"),
    ([example("a", png(0), "", {"k": "\0"})], MetadataInvalid, "NUL"),
    (
        [example("a", png(0), "", {str(i): 1 for i in range(65)})],
        MetadataInvalid,
        "65 keys, but 64",
    ),
    ([example(str(i), png(0)) for i in range(65)], ImagesTooMany, "65 examples, but 64"),
    (
        [example("a", png(0)), example("b/c.jpg", Encoded(b"hello"))],
        ImageInvalid,
        "the image of example 'b/c.jpg' is no image",
    ),
    ([example("a", Pixels(np.zeros((2, 2), np.uint8)))], TensorInvalid, "example 'a'"),
]


async def test_a_bad_batch_is_refused_whole(house: House) -> None:
    for bad, error, sentence in BAD_BATCHES:
        with pytest.raises(error) as caught:
            await house.add(*bad)
        assert sentence in caught.value.message
    assert house.tenant.collection("c").n_examples == 0


@pytest.mark.parametrize(
    "tap",
    [
        BACKBONE.tap(BACKBONE.layer("two"), pooling=Pooling(PoolingKind.MAX)),
        BACKBONE.tap(BACKBONE.layer("three"), Activation.NONE),
        BACKBONE.tap(BACKBONE.layer("one"), pooling=Pooling(PoolingKind.NONE)),
        BACKBONE.tap(BACKBONE.layer("branch")),
    ],
    ids=str,
)
async def test_taps_that_are_not_stored_are_computed_from_the_images(
    house: House, tap: Any
) -> None:
    await house.add(*(example(f"e{i:02}", png(i)) for i in range(40)))
    shares: list[float] = []
    stored = BACKBONE.core[0]
    read = await house.codes.read(house.tenant, "c", [tap, stored], on_progress=shares.append)
    direct = await house.embedder.embed(BACKBONE, [tap, stored], [png(i) for i in range(40)])
    assert set(read.codes) == {tap, stored}
    # The pass may be batched otherwise than when it was made alone.
    assert np.allclose(read.codes[tap], direct.codes[0].reshape(40, -1), rtol=1e-6, atol=1e-7)
    assert np.array_equal(read.codes[stored], direct.codes[1].astype(np.float16))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


async def test_without_images_only_the_core_can_be_read(house: House) -> None:
    await house.add(example("a", png(0)), to="bare")
    assert len((await house.codes.read(house.tenant, "bare", BACKBONE.core)).examples) == 1
    other = BACKBONE.tap(BACKBONE.layer("two"), pooling=Pooling(PoolingKind.MAX))
    with pytest.raises(ImagesNotKept, match="collection 'bare' keeps no images"):
        await house.codes.read(house.tenant, "bare", [other])


async def test_codes_that_would_fill_the_memory_are_refused(house: House) -> None:
    """256 values of 4 bytes an image: 100,000 bytes hold 97."""
    tap = BACKBONE.tap(BACKBONE.layer("one"), pooling=Pooling(PoolingKind.NONE))
    await house.add(*(example(str(i), png(0)) for i in range(60)))
    await house.codes.read(house.tenant, "c", [tap])
    await house.add(*(example(str(i), png(0)) for i in range(60, 98)))
    with pytest.raises(PoolingInvalid, match="100,352 bytes, but 100,000 are the most"):
        await house.codes.read(house.tenant, "c", [tap])


async def test_an_empty_collection_has_codes_of_the_right_width(house: House) -> None:
    taps = [BACKBONE.core[1], BACKBONE.tap(BACKBONE.layer("two"), Activation.NONE)]
    read = await house.codes.read(house.tenant, "c", taps)
    assert [read.codes[tap].shape for tap in taps] == [(0, 6), (0, 6)]


async def test_taps_of_another_backbone_are_refused(house: House) -> None:
    with pytest.raises(TapMismatch):
        await house.codes.read(house.tenant, "c", toy_backbone(1).core)


class ChangingStore:
    """A tenant's store in which something happens whenever an image is first read."""

    def __init__(self, tenant: TenantStore, happen: Any) -> None:
        self._tenant = tenant
        self._happen = happen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tenant, name)

    def image(self, collection_id: str, example_id: str) -> bytes:
        happen, self._happen = self._happen, None
        if happen is not None:
            happen()
        return self._tenant.image(collection_id, example_id)


async def test_codes_are_of_one_moment_also_while_examples_go(house: House) -> None:
    tap = BACKBONE.tap(BACKBONE.layer("two"), pooling=Pooling(PoolingKind.MAX))
    await house.add(*(example(f"e{i}", png(i)) for i in range(5)))
    changing: Any = ChangingStore(
        house.tenant, lambda: house.tenant.delete_examples("c", ["e1", "e3"])
    )
    read = await house.codes.read(changing, "c", [tap])
    assert [one.example_id for one in read.examples] == ["e0", "e2", "e4"]
    direct = await house.embedder.embed(BACKBONE, [tap], [png(0), png(2), png(4)])
    assert np.allclose(read.codes[tap], direct.codes[0], rtol=1e-6, atol=1e-7)


def make_again(tenant: TenantStore, *, seed: int = 0) -> None:
    """Another collection `c`, of nothing yet, perhaps over another backbone."""
    tenant.delete_collection("c")
    tenant.create_collection(
        "c", backbone="toy", digest=toy_backbone(seed).digest, keep_images=True
    )


@pytest.mark.parametrize("seed", [0, ANOTHER])
async def test_codes_never_reach_a_collection_made_anew_while_they_were_computed(
    house: House, seed: int
) -> None:
    await house.add(example("a", png(0)))
    house.sessions.meanwhile = lambda: make_again(house.tenant, seed=seed)
    with pytest.raises(CollectionNotFound, match="'c'"):
        await house.add(
            example("a", png(0)), example("b", png(1)), on_duplicate=OnDuplicate.REPLACE
        )
    assert house.tenant.collection("c").n_examples == 0


async def test_the_codes_of_just_one_making_of_a_collection_can_be_asked_for(
    house: House,
) -> None:
    await house.add(example("a", png(0)))
    number = house.tenant.collection("c").number
    assert (await house.codes.read(house.tenant, "c", (), number=number)).examples
    make_again(house.tenant, seed=ANOTHER)
    with pytest.raises(CollectionNotFound, match="made anew"):
        await house.codes.read(house.tenant, "c", BACKBONE.core[:1], number=number)


async def test_codes_of_a_collection_made_anew_are_never_taken_for_the_old_ones(
    house: House,
) -> None:
    """The same layer names, but another backbone: between the look at the collection and the
    reading of its codes."""
    await house.add(example("a", png(0)))

    class Remade:
        tenant_id = house.tenant.tenant_id
        collection = house.tenant.collection

        def snapshot(self, collection_id: str, layers: Sequence[str] = ()) -> Snapshot:
            if house.tenant.collection("c").digest == BACKBONE.digest:
                make_again(house.tenant, seed=ANOTHER)
                batch = NewBatch(
                    [NewExample("a", "ant", {}, "sha", b"image")],
                    {
                        tap.layer: np.ones((1, n), np.float16)
                        for tap, n in zip(BACKBONE.core, (4, 6, 6), strict=True)
                    },
                )
                house.tenant.add_examples("c", batch, on_duplicate=OnDuplicate.REFUSE)
            return house.tenant.snapshot(collection_id, layers)

    with pytest.raises(CollectionNotFound, match="made anew"):
        await house.codes.read(cast(TenantStore, Remade()), "c", BACKBONE.core[:1])


async def test_an_image_that_is_not_the_one_stored_is_corruption(house: House) -> None:
    tap = BACKBONE.tap(BACKBONE.layer("two"), pooling=Pooling(PoolingKind.MAX))
    await house.add(example("a", png(0)))

    class Rotten(ChangingStore):
        def image(self, collection_id: str, example_id: str) -> bytes:
            return png(1).data

    rotten: Any = Rotten(house.tenant, None)
    with pytest.raises(StorageCorrupt, match="image of example 'a' in collection 'c' is not the"):
        await house.codes.read(rotten, "c", [tap])


def test_codes_are_stored_in_float16_unless_they_pass_it() -> None:
    assert compact(np.array([[65504.0]], np.float32)).dtype == np.float16
    wide = compact(np.array([[65505.0, 1.0]], np.float32))
    assert wide.dtype == np.float32
    assert wide[0, 0] == 65505
    assert compact(np.zeros((0, 3), np.float32)).shape == (0, 3)

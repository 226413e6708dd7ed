"""Pixels of exactly the network's size are only normalised, as rows or as planes, and when kept."""

import io

import numpy as np
import pytest
from PIL import Image

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.decoding import LIMITS
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.keeping import keep, reopened
from icecore.server.embedding.preparing import check, prepare, to_floats
from icecore.server.errors import TensorInvalid
from toys import toy_graph

RECIPE = Recipe(
    8, 8, 10, channels="BGR", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), interpolation="bilinear"
)
ROWS = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
LARGER = np.random.default_rng(3).integers(0, 256, (11, 13, 3), np.uint8)


def png(pixels: np.ndarray) -> Encoded:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Encoded(file.getvalue())


def seen(image: ImageInput) -> np.ndarray:
    return to_floats(image, RECIPE, what="it")


def test_they_are_not_resized() -> None:
    assert np.array_equal(seen(Pixels(ROWS)), RECIPE.normalise(ROWS))
    assert np.array_equal(seen(Pixels(ROWS.transpose(2, 0, 1))), RECIPE.normalise(ROWS))


def test_a_file_of_that_size_and_pixels_of_another_go_the_whole_way() -> None:
    for pixels in (ROWS, LARGER):
        whole = RECIPE.apply(Image.fromarray(pixels))
        assert np.array_equal(seen(png(pixels)), whole)
        if pixels is LARGER:
            assert np.array_equal(seen(Pixels(pixels)), whole)
        else:
            assert not np.array_equal(seen(Pixels(pixels)), whole)


async def test_codes_are_those_of_the_same_pixels_normalised_before() -> None:
    backbone = Backbone.read("toy", toy_graph(), RECIPE)
    embedder = Embedder(Sessions(max_bytes=1 << 24, threads=1), threads=1)
    ways: list[ImageInput] = [
        Pixels(ROWS),
        Pixels(ROWS.transpose(2, 0, 1)),
        Pixels(np.asfortranarray(ROWS)),
        Prepared(RECIPE.normalise(ROWS)),
    ]
    for codes in (await embedder.embed(backbone, backbone.core, ways)).codes:
        assert all(np.array_equal(codes[0], one) for one in codes)
    embedder.close()


@pytest.mark.parametrize(
    "image",
    [Pixels(ROWS), Pixels(ROWS.transpose(2, 0, 1)), Pixels(LARGER), png(ROWS), png(LARGER)],
    ids=["rows", "planes", "larger", "file", "larger file"],
)
def test_what_is_kept_is_seen_as_it_was(image: Encoded | Pixels) -> None:
    kept = keep(image, RECIPE, what="it", keep_images=True)
    assert kept.data is not None
    assert np.array_equal(seen(reopened(kept.data)), seen(image))
    with Image.open(io.BytesIO(kept.data)) as file:
        assert file.format == "PNG"
        file.verify()


def test_what_is_fed_lies_in_order() -> None:
    for image in (
        Pixels(ROWS),
        Pixels(ROWS.transpose(2, 0, 1)),
        Pixels(LARGER),
        Pixels(LARGER[::-1, ::2]),
        png(LARGER),
        Prepared(RECIPE.normalise(ROWS)),
        Prepared(np.asfortranarray(RECIPE.normalise(ROWS))),
    ):
        fed = prepare(image, RECIPE, what="it")
        assert fed.flags.c_contiguous
        assert fed.flags.aligned
        assert fed.dtype == (np.float32 if isinstance(image, Prepared) else np.uint8)


def test_floats_that_lie_anywhere_in_a_message_are_fed_aligned() -> None:
    floats = RECIPE.normalise(ROWS)
    for shift in range(8):
        data = bytes(shift) + floats.tobytes()
        image = Prepared(np.frombuffer(data, np.float32, floats.size, shift).reshape(3, 8, 8))
        fed = prepare(image, RECIPE, what="it")
        assert fed.flags.aligned, shift
        assert np.array_equal(fed, floats)


def test_planes_of_another_size_are_refused() -> None:
    for shape in ((3, 8, 9), (3, 9, 8), (8, 3, 8), (4, 8, 8), (3, 8, 8, 1)):
        with pytest.raises(
            TensorInvalid,
            match=r"must be \(h, w, 3\) pixels, or \(3, 8, 8\) of the network's size",
        ):
            check(Pixels(np.zeros(shape, np.uint8)), RECIPE, what="image 0", limits=LIMITS)


def test_three_by_three_is_read_as_rows() -> None:
    tiny = Recipe(3, 3, 3)
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    fed = to_floats(Pixels(pixels), tiny, what="it")
    assert np.array_equal(fed, tiny.normalise(pixels))

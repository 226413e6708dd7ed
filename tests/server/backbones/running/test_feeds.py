"""Graphs that take pixels compute what the recipe does, to the bit."""

from itertools import product

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import TO_UNIT, Recipe
from icecore.server.backbones.running.cutting import cut
from icecore.server.backbones.running.feeds import Feed, fed, feed_of
from icecore.server.backbones.running.sessions import Sessions
from toys import toy_backbone, toy_graph

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RECIPES = [
    Recipe(8, 8, 8, channels=channels, scale=scale, mean=mean, std=std)
    for channels, scale, (mean, std) in product(
        ("RGB", "BGR"),
        (TO_UNIT, 1.0, 2 / 255),
        ((MEAN, STD), ((0.0,) * 3, (1.0,) * 3), (MEAN, (1.0,) * 3)),
    )
]


def pixels(n: int, side: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (n, side, side, 3), np.uint8)


def check(backbone: Backbone, seen: npt.NDArray[np.uint8]) -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    floats = np.stack([backbone.recipe.normalise(one) for one in seen])
    expected = sessions.run(backbone, backbone.core, floats)
    planes = np.ascontiguousarray(seen.transpose(0, 3, 1, 2))
    for inputs in (seen, planes):
        made = sessions.run(backbone, backbone.core, inputs)
        assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))
    assert sessions.n_kept == 3


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_codes_of_pixels_are_those_of_floats_to_the_bit(recipe: Recipe) -> None:
    check(Backbone.read("toy", toy_graph(), recipe), pixels(3, 8))


def test_codes_of_pixels_are_those_of_floats_on_a_real_network(lite0: Backbone) -> None:
    check(lite0, pixels(1, 224))


def test_weights_are_held_once_for_all_feeds(lite0: Backbone) -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    seen = pixels(1, 224)
    sessions.run(lite0, lite0.core, lite0.recipe.normalise(seen[0])[None])
    before = sessions.weight_bytes
    sessions.run(lite0, lite0.core, seen)
    assert sessions.weight_bytes == before


def test_names_of_the_graph_are_left_alone() -> None:
    """Also where it uses our own."""
    model = onnx.load_model_from_string(toy_graph())
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = {"one.conv": "icecore.pixels.0", "image": "icecore.pixels"}.get(
                    name, name
                )
    model.graph.input[0].name = "icecore.pixels"
    check(Backbone.read("clash", model.SerializeToString(), RECIPES[0]), pixels(2, 8))


def test_a_batch_that_is_fixed_stays_fixed() -> None:
    toy = toy_backbone()
    model = onnx.load_model_from_string(cut(toy.graph, toy.core))
    for first in (1, "n"):
        size = model.graph.input[0].type.tensor_type.shape.dim[0]
        size.Clear()
        if isinstance(first, int):
            size.dim_value = first
        else:
            size.dim_param = first
        made = onnx.load_model_from_string(fed(model.SerializeToString(), Feed.PIXELS, toy.recipe))
        (image,) = [v for v in made.graph.input if v.type.tensor_type.elem_type == 2]
        sizes = image.type.tensor_type.shape.dim
        assert [one.dim_value for one in sizes][1:] == [8, 8, 3]
        assert (sizes[0].dim_value or sizes[0].dim_param) == first


def test_what_fits_no_feed_is_refused() -> None:
    recipe = Recipe(8, 9, 8)
    assert feed_of(np.zeros((2, 3, 8, 9), np.float32), recipe) is Feed.FLOATS
    assert feed_of(np.zeros((2, 8, 9, 3), np.uint8), recipe) is Feed.PIXELS
    assert feed_of(np.zeros((2, 3, 8, 9), np.uint8), recipe) is Feed.PLANES
    for shape, dtype in (((2, 9, 8, 3), "u1"), ((2, 3, 9, 8), "f4"), ((2, 3, 8, 9), "f8")):
        with pytest.raises(ValueError, match=r"must be float32 of shape \(n, 3, 8, 9\), or pixels"):
            feed_of(np.zeros(shape, dtype), recipe)

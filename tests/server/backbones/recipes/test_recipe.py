"""A recipe does what torchvision's usual evaluation transform does."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from icecore.server.backbones.backbone import digest
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import RecipeInvalid

IMAGENET = Recipe(
    height=224,
    width=224,
    resize=256,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def torchvision_style(image: Image.Image, recipe: Recipe) -> npt.NDArray[np.float32]:
    """Resize, CenterCrop, ToTensor, Normalize, written from torchvision's source."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(recipe.resize * long / short)
    size = (recipe.resize, new_long) if width <= height else (new_long, recipe.resize)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    image = image.resize(size, filters[recipe.interpolation])
    top = round((size[1] - recipe.height) / 2.0)
    left = round((size[0] - recipe.width) / 2.0)
    image = image.crop((left, top, left + recipe.width, top + recipe.height))
    tensor = np.asarray(image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    mean = np.array(recipe.mean, np.float32)[:, None, None]
    std = np.array(recipe.std, np.float32)[:, None, None]
    return (tensor - mean) / std


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    "size", [(500, 375), (333, 500), (224, 224), (256, 256), (31, 17), (17, 31), (255, 257), (1, 1)]
)
def test_a_recipe_equals_torchvision_to_the_bit(size: tuple[int, int], interpolation: str) -> None:
    recipe = replace(IMAGENET, interpolation=interpolation)
    image = photo(*size)
    made = recipe.apply(image)
    assert made.shape == (3, 224, 224)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert np.array_equal(made, torchvision_style(image, recipe)), f"{size} {interpolation}"


def test_a_crop_may_be_wider_than_high() -> None:
    recipe = Recipe(height=20, width=40, resize=48, std=(0.5, 0.25, 1.0))
    image = photo(70, 64)
    assert np.array_equal(recipe.apply(image), torchvision_style(image, recipe))


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1)])
def test_a_very_long_image_costs_no_more_than_others(size: tuple[int, int]) -> None:
    """Resized whole, this one would take 39 GB."""
    made = IMAGENET.apply(Image.new("RGB", size, (255, 0, 0)))
    red = (1 - np.float32(0.485)) / np.float32(0.229)
    assert made.shape == (3, 224, 224)
    assert np.allclose(made[0], red, atol=1e-6), "a red image stays red"


def test_the_middle_of_a_very_long_image_is_kept() -> None:
    """Cutting the ends off moves nothing: white left of the centre, black right of it."""
    pixels = np.zeros((10, 1000, 3), np.uint8)
    pixels[:, :500] = 255
    made = Recipe(height=8, width=8, resize=8).apply(Image.fromarray(pixels))
    assert np.array_equal(made[0, :, 0], np.ones(8))
    assert np.array_equal(made[0, :, 7], np.zeros(8))
    assert np.allclose(made[:, :, ::-1], 1 - made, atol=1 / 255), "it is not centred"


def test_bgr_is_rgb_backwards() -> None:
    plain = Recipe(height=8, width=8, resize=8)
    image = photo(9, 12)
    assert np.array_equal(replace(plain, channels="BGR").apply(image), plain.apply(image)[::-1])


def test_json_gives_the_same_recipe_back() -> None:
    text = json.dumps(IMAGENET.to_json())
    assert Recipe.from_json(json.loads(text)) == IMAGENET


def test_numbers_are_what_float32_holds() -> None:
    """The contract carries float32; 0.485 here and there must be one recipe, so one digest."""
    carried = tuple(float(np.float32(value)) for value in (0.485, 0.456, 0.406))
    one, two, three = carried
    assert replace(IMAGENET, mean=(one, two, three)).to_json() == IMAGENET.to_json()


def test_digests_of_the_first_recipes_stay() -> None:
    """Fields that came later count only where they are used: stored codes keep their backbone."""
    wide = Recipe(height=20, width=40, resize=48, interpolation="bilinear", channels="BGR")
    first = "0f68b3a1fd74ffb06274616729abac9bf208840351543d519394b82324d73045"
    second = "5b325c406223aa322c8209db847f1281a78d71017520a69c5f41722b72787310"
    assert digest(b"a graph", IMAGENET) == first
    assert digest(b"a graph", wide) == second
    assert digest(b"a graph", replace(wide, resize_width=48)) == second, "the same as none"


def test_every_later_field_counts_in_the_digest() -> None:
    changes: list[dict[str, Any]] = [
        {"scale": 1.0},
        {"resize_rule": "longer"},
        {"resize_rule": "squash"},
        {"resize_width": 300},
        {"layout": "NHWC"},
        {"interpolation": "box"},
    ]
    digests = {digest(b"a graph", replace(IMAGENET, **change)) for change in changes}
    assert len(digests | {digest(b"a graph", IMAGENET)}) == len(changes) + 1


def test_json_without_the_later_fields_is_a_recipe_of_their_defaults() -> None:
    assert Recipe.from_json(IMAGENET.identity()) == IMAGENET
    assert Recipe.from_json(replace(IMAGENET, scale=1.0).identity()).scale == 1.0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"height": 0}, "height is 0"),
        ({"width": 2049}, "width is 2049"),
        ({"resize": True}, "resize is True"),
        ({"resize_width": -1}, "resize_width is -1, but must be a number of pixels from 0"),
        ({"resize_rule": "fit"}, "resize_rule is 'fit', but must be one of"),
        ({"interpolation": "spline"}, "interpolation is 'spline'"),
        ({"scale": 0}, "scale is 0, but must be a number above 0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"scale": 10**400}, "scale is 1000"),
        ({"layout": "HWC"}, "layout is 'HWC'"),
        ({"mean": [1e300, 0, 0]}, "three finite numbers"),
        ({"mean": [10**400, 0, 0]}, "three finite numbers"),
        ({"mean": [True, False, True]}, "three finite numbers"),
        ({"std": [1e-44, 1, 1]}, "must be above 0"),
        ({"resise_rule": "squash"}, "near it: 'resize_rule'"),
        ({"channels": "GRB"}, "channels is 'GRB'"),
        ({"mean": [0.5, 0.5]}, r"mean is \[0.5, 0.5\]"),
        ({"mean": [0.5, 0.5, "x"]}, "three finite numbers"),
        ({"std": [0.5, 0.5, float("nan")]}, "three finite numbers"),
        ({"std": [0.5, 0.0, 0.5]}, "must be above 0"),
        ({"gamma": 2.2}, "has a field 'gamma'"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeInvalid, match=sentence):
        Recipe.from_json({**IMAGENET.to_json(), **changes})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RecipeInvalid, match="no field 'resize'"):
        Recipe.from_json({"height": 8, "width": 8})

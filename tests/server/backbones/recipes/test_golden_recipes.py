"""Recipes make timm's pixels, also where timm is not installed."""

import json

import numpy as np
import pytest
from PIL import Image

import recipe_cases
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import RecipeFile, recipe_of_file
from icecore.wire.resizing import INTERPOLATIONS, centre, resized_size


def test_crops_are_timms_to_the_bit() -> None:
    golden = recipe_cases.golden()
    for name, config, size in recipe_cases.CASES:
        file = RecipeFile("cfg.json", json.dumps(config).encode())
        recipe = recipe_of_file(file, None, "NCHW")
        made = recipe.crop(recipe_cases.drawing(*size))
        assert np.array_equal(made, golden[name]), name


@pytest.mark.parametrize("interpolation", ["bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(900, 20), (20, 900), (2000, 9), (9, 331)])
def test_of_a_very_long_image_only_what_is_seen_is_resized(
    size: tuple[int, int], interpolation: str
) -> None:
    """To one grey level what resizing it whole and cropping then gives."""
    recipe = Recipe(height=28, width=28, resize=32, interpolation=interpolation)
    image = recipe_cases.drawing(*size)
    width, height = resized_size(*size, rule="shorter", resize=32, resize_width=0)
    filters = Image.Resampling
    whole = np.asarray(image.resize((width, height), filters[interpolation.upper()]))
    left, top = round((width - 28) / 2), round((height - 28) / 2)
    expected = whole[top : top + 28, left : left + 28].astype(int)
    assert np.abs(recipe.crop(image).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_crop_is_the_middle_of_the_image_resized_whole(interpolation: str) -> None:
    random = np.random.default_rng(4)
    resampling = INTERPOLATIONS[interpolation]
    for _ in range(25):
        height, width = (int(side) for side in random.integers(5, 300, 2))
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        size = (int(random.integers(10, 200)), int(random.integers(10, 200)))
        crop = (int(random.integers(1, size[0] + 1)), int(random.integers(1, size[1] + 1)))
        left, top = (round((one - other) / 2) for one, other in zip(size, crop, strict=True))
        whole = np.asarray(image.resize(size, Image.Resampling(resampling)))
        expected = whole[top : top + crop[1], left : left + crop[0]]
        made = centre(image, size, crop, resampling, (0, 0, 0))
        assert np.array_equal(made, expected), (image.size, size, crop)


def test_a_crop_larger_than_the_image_is_filled_around() -> None:
    image = Image.new("RGB", (3, 2), (9, 9, 9))
    made = centre(image, (3, 2), (6, 5), Image.Resampling.NEAREST, (1, 2, 3))
    assert made.shape == (5, 6, 3)
    assert np.all(made[1:3, 1:4] == 9), "the smaller half of the border is left and above"
    made[1:3, 1:4] = (1, 2, 3)
    assert np.all(made == (1, 2, 3))


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_border_of_longer_is_the_mean_colour(channels: str) -> None:
    """So it is about 0 after normalising, whatever the order of channels and the scale."""
    for scale, mean in ((1 / 255, (0.485, 0.456, 0.406)), (1.0, (103.939, 116.779, 123.68))):
        recipe = Recipe(
            height=8,
            width=8,
            resize=8,
            resize_rule="longer",
            channels=channels,
            mean=mean,
            scale=scale,
        )
        made = recipe.apply(Image.new("RGB", (8, 2), "white"))
        assert np.abs(made[:, :3]).max() <= 0.5 * scale + 1e-6
        assert made[:, 3:5].min() > 100 * scale


def test_scale_comes_before_mean_and_std() -> None:
    image = recipe_cases.drawing(8, 8)
    unit = Recipe(height=8, width=8, resize=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    raw = Recipe(
        height=8,
        width=8,
        resize=8,
        scale=1.0,
        mean=(0.5 * 255, 0.4 * 255, 0.3 * 255),
        std=(0.2 * 255, 0.3 * 255, 0.4 * 255),
    )
    assert np.allclose(raw.apply(image), unit.apply(image), atol=1e-5)
    around_zero = Recipe(height=8, width=8, resize=8, scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    pixels = np.asarray(image, np.float64).transpose(2, 0, 1)
    assert np.allclose(around_zero.apply(image), pixels / 127.5 - 1, atol=1e-6)

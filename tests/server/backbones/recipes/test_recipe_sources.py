"""Recipes of timm, Hugging Face, ONNX metadata and our TOML mean what their writers mean."""

import json
from dataclasses import replace
from typing import Any

import pytest

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.presets import PRESETS
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import (
    RecipeFile,
    assumed,
    card_of_file,
    recipe_of_file,
    recipe_of_metadata,
    to_metadata,
)

TORCH: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def of(
    values: dict[str, Any] | str, size: tuple[int, int] | None = None, layout: str = "NCHW"
) -> Recipe:
    text = values if isinstance(values, str) else json.dumps(values)
    return recipe_of_file(RecipeFile("some.file", text.encode()), size, layout)


CONVNEXT_TIMM: dict[str, Any] = {
    "architecture": "convnext_tiny",
    "num_classes": 1000,
    "pretrained_cfg": {
        "tag": "in12k_ft_in1k",
        "custom_load": False,
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "license": "apache-2.0",
        "hf_hub_id": "timm/convnext_tiny.in12k_ft_in1k",
        "num_classes": 1000,
        "pool_size": [7, 7],
        "first_conv": "stem.0",
    },
}


def test_timms_crop_is_that_of_the_networks_size() -> None:
    trained = Recipe(height=224, width=224, resize=235, **TORCH)
    tested = Recipe(height=288, width=288, resize=288, **TORCH)
    assert of(CONVNEXT_TIMM) == trained
    assert of(CONVNEXT_TIMM, (288, 288)) == tested
    assert of(CONVNEXT_TIMM, (256, 256)) == Recipe(height=256, width=256, resize=269, **TORCH)
    assert of(CONVNEXT_TIMM["pretrained_cfg"]) == trained, "the cfg alone, without a config around"


def test_timms_own_defaults_fill_in() -> None:
    bare = Recipe(height=224, width=224, resize=256, **TORCH)
    assert of({"input_size": [3, 224, 224], "first_conv": "conv1"}) == bare
    one = of({"pretrained_cfg": {"mean": [0.5], "std": 0.5, "crop_mode": None}})
    assert one == replace(bare, **HALF)


def test_timms_licence_and_origin_are_a_card() -> None:
    card = card_of_file(RecipeFile("config.json", json.dumps(CONVNEXT_TIMM).encode()))
    assert card == Card(source="timm/convnext_tiny.in12k_ft_in1k", licence="apache-2.0")


def test_onnx_metadata_give_back_what_was_written() -> None:
    recipe = Recipe(64, 48, 70, "box", "BGR", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 1.0, "longer", 50)
    card = Card(source="here", licence="MIT", trained_on="Köln's trams", accuracy="75.1 % top-1")
    assert recipe_of_metadata(to_metadata(recipe, card), (64, 48), "NCHW") == (recipe, card)
    assert recipe_of_metadata({}, (64, 48), "NCHW") == (None, Card())
    assert recipe_of_metadata({"author": "x", "producer": "{"}, None, "NCHW") == (None, Card())


def test_onnx_metadata_may_hold_a_config_of_others() -> None:
    cfg = {"pretrained_cfg": json.dumps(CONVNEXT_TIMM["pretrained_cfg"])}
    recipe, card = recipe_of_metadata(cfg, (224, 224), "NHWC")
    assert recipe == Recipe(224, 224, 235, layout="NHWC", **TORCH)
    assert card.licence == "apache-2.0"
    values = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 8, "width": 8}}
    config = {"preprocessor_config": json.dumps(values)}
    squashed = Recipe(8, 8, 8, resize_rule="squash", **HALF)
    assert recipe_of_metadata(config, (8, 8), "NCHW")[0] == squashed


@pytest.mark.parametrize(
    ("properties", "preset", "channels"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8"}, "raw", "BGR"),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, "raw", "RGB"),
        (
            {"image.bitmappixelformat": "RGB8", "Image.NominalPixelRange": "Normalized_1_1"},
            "tensorflow",
            "RGB",
        ),
        (
            {"Image.BitmapPixelFormat": "Bgra8", "Image.NominalPixelRange": "Normalized_0_1"},
            "unit",
            "BGR",
        ),
    ],
)
def test_onnx_image_keys_say_range_and_order(
    properties: dict[str, str], preset: str, channels: str
) -> None:
    found, _ = recipe_of_metadata(properties, (224, 224), "NCHW")
    assert found == replace(PRESETS[preset].of(assumed((224, 224))), channels=channels)
    assert recipe_of_metadata(properties, None, "NCHW") == (None, Card())


def test_what_is_assumed_is_torchvisions_reference() -> None:
    assert assumed((224, 224)) == Recipe(224, 224, 256, "bilinear", **TORCH)
    assert assumed((32, 32)).resize == 32, "small networks see the whole image"
    assert assumed((2048, 2048)).resize == 2048, "nothing passes the largest side"


EVERYTHING = """
preset = "lite"
height = 96
width = 128
resize = 100
resize_width = 140
resize_rule = "squash"
interpolation = "lanczos"
channels = "BGR"
scale = 1.0
mean = [1, 2, 3]
std = [4, 5, 6.5]
layout = "NHWC"

[card]
source = "https://example.org/net.onnx"
licence = "MIT"
trained_on = "photos"
accuracy = "50 %"
notes = "none"
"""


def test_our_toml_says_everything_of_a_recipe_and_a_card() -> None:
    expected = Recipe(
        96, 128, 100, "lanczos", "BGR", (1, 2, 3), (4, 5, 6.5), 1.0, "squash", 140, "NHWC"
    )
    assert of(EVERYTHING, (96, 128), "NHWC") == expected
    card = card_of_file(RecipeFile("r.toml", EVERYTHING.encode()))
    assert card == Card("https://example.org/net.onnx", "MIT", "photos", "none", "50 %")
    assert of(json.dumps(expected.to_json()), layout="NHWC") == expected, "the JSON of a recipe"


def test_our_toml_may_leave_things_out() -> None:
    usual = assumed((224, 224))
    assert of("", (224, 224)) == usual
    assert of('preset = "tensorflow"', (224, 224)) == replace(usual, **HALF)
    assert of("resize = 240", (224, 224)) == replace(usual, resize=240)
    assert of("height = 64\nwidth = 64") == assumed((64, 64))
    whole = of('resize_rule = "longer"', (224, 160))
    assert (whole.resize, whole.resize_width) == (224, 160), "the whole image"
    assert card_of_file(RecipeFile("r.toml", b"")) == Card()


def test_turned_around_channels_turn_mean_and_std_around() -> None:
    turned = of('channels = "BGR"', (224, 224))
    assert turned.mean == Recipe(1, 1, 1, mean=(0.406, 0.456, 0.485)).mean
    caffe = of('preset = "caffe"\nchannels = "RGB"', (224, 224))
    assert caffe.mean == Recipe(1, 1, 1, mean=(123.68, 116.779, 103.939)).mean
    assert of('preset = "caffe"\nchannels = "BGR"', (8, 8)).mean[2] > 123


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_name_in_toml(name: str) -> None:
    assert of(f'preset = "{name}"', (224, 224)) == PRESETS[name].of(assumed((224, 224)))

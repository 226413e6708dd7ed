"""A preprocessor_config.json makes the recipe that its class stands for."""

import json
from dataclasses import replace
from typing import Any

import pytest

from icecore.server.backbones.recipes.presets import PRESETS
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import RecipeFile, recipe_of_file

TORCH: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def of(values: dict[str, Any], size: tuple[int, int] | None = None, layout: str = "NCHW") -> Recipe:
    file = RecipeFile("preprocessor_config.json", json.dumps(values).encode())
    return recipe_of_file(file, size, layout)


IMAGE_MEAN = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

HUGGING_FACE: dict[str, tuple[dict[str, Any], Recipe]] = {
    "vit, as google/vit-base-patch16-224 first had it": (
        {
            "do_normalize": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "size": 224,
        },
        Recipe(224, 224, 224, interpolation="bilinear", resize_rule="squash", **HALF),
    ),
    "vit": (
        {
            "image_processor_type": "ViTImageProcessor",
            "do_rescale": True,
            "rescale_factor": 0.00392156862745098,
            "resample": 3,
            "size": {"height": 384, "width": 256},
        },
        Recipe(384, 256, 384, resize_width=256, resize_rule="squash", **HALF),
    ),
    "convnext below 384": (
        {
            "crop_pct": 0.875,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "resample": 3,
            "size": 224,
            **IMAGE_MEAN,
        },
        Recipe(224, 224, 256, **TORCH),
    ),
    "convnext from 384": (
        {
            "crop_pct": 0.95,
            "image_processor_type": "ConvNextImageProcessor",
            "resample": 3,
            "size": {"shortest_edge": 384},
            **IMAGE_MEAN,
        },
        Recipe(384, 384, 384, resize_rule="squash", **TORCH),
    ),
    "dinov2": (
        {
            "crop_size": {"height": 224, "width": 224},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "image_processor_type": "BitImageProcessor",
            "resample": 3,
            "size": {"shortest_edge": 256},
            **IMAGE_MEAN,
        },
        Recipe(224, 224, 256, **TORCH),
    ),
    "clip, numbers alone": (
        {
            "crop_size": 224,
            "do_center_crop": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "resample": 3,
            "size": 224,
        },
        PRESETS["clip"].of(Recipe(224, 224, 224)),
    ),
    "deit squashes, then crops": (
        {
            "feature_extractor_type": "DeiTFeatureExtractor",
            "crop_size": 224,
            "do_center_crop": True,
            "resample": 3,
            "size": 256,
            **IMAGE_MEAN,
        },
        Recipe(224, 224, 256, resize_rule="squash", **TORCH),
    ),
    "efficientnet-b0 divides by the std twice": (
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "do_center_crop": False,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.47853944, 0.4732864, 0.47434163],
            "include_top": True,
            "resample": 0,
            "rescale_offset": False,
            "size": {"height": 224, "width": 224},
        },
        Recipe(
            224,
            224,
            224,
            interpolation="nearest",
            resize_rule="squash",
            mean=(0.485, 0.456, 0.406),
            std=(0.47853944**2, 0.4732864**2, 0.47434163**2),
        ),
    ),
    "rescaled to -1..1 by an offset": (
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "do_normalize": False,
            "include_top": False,
            "resample": 2,
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "size": {"height": 224, "width": 224},
        },
        Recipe(
            224,
            224,
            224,
            interpolation="bilinear",
            resize_rule="squash",
            scale=1 / 127.5,
            mean=(1.0, 1.0, 1.0),
        ),
    ),
    "mobilenet v2": (
        {
            "image_processor_type": "MobileNetV2ImageProcessor",
            "crop_size": {"height": 224, "width": 224},
            "resample": 2,
            "size": {"shortest_edge": 256},
        },
        Recipe(224, 224, 256, interpolation="bilinear", **HALF),
    ),
    "mobilevit takes BGR in 0..1": (
        {
            "feature_extractor_type": "MobileViTFeatureExtractor",
            "crop_size": 256,
            "do_center_crop": True,
            "do_flip_channel_order": True,
            "resample": 2,
            "size": 288,
        },
        Recipe(256, 256, 288, interpolation="bilinear", channels="BGR"),
    ),
    "levit": (
        {"feature_extractor_type": "LevitFeatureExtractor", "size": 224, **IMAGE_MEAN},
        Recipe(224, 224, 256, **TORCH),
    ),
    "poolformer": (
        {"feature_extractor_type": "PoolFormerFeatureExtractor", "size": 224, "crop_pct": 0.95},
        Recipe(224, 224, 235, **TORCH),
    ),
    "0..255, as they are": (
        {
            "image_processor_type": "ViTImageProcessor",
            "do_rescale": False,
            "do_normalize": False,
            "resample": 4,
            "size": {"height": 64, "width": 64},
        },
        Recipe(64, 64, 64, interpolation="box", resize_rule="squash", scale=1.0),
    ),
    "longest edge": (
        {
            "image_processor_type": "SomeImageProcessor",
            "resample": 1,
            "size": {"longest_edge": 64},
            **IMAGE_MEAN,
        },
        Recipe(64, 64, 64, interpolation="lanczos", resize_rule="longer", **TORCH),
    ),
    "inside a processor_config.json": (
        {
            "processor_class": "CLIPProcessor",
            "image_processor": {
                "image_processor_type": "SiglipImageProcessorFast",
                "size": {"height": 224, "width": 224},
            },
        },
        Recipe(224, 224, 224, resize_rule="squash", **HALF),
    ),
}


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_a_preprocessor_config_means_what_its_class_does(name: str) -> None:
    """Worked out by hand from the documented steps of each class."""
    values, expected = HUGGING_FACE[name]
    assert of(values) == expected
    assert of(values, (expected.height, expected.width), "NHWC") == replace(expected, layout="NHWC")

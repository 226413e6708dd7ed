"""What is no recipe is refused with a sentence, whatever was sent."""

import json
from contextlib import suppress
from typing import Any

import pytest

from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import (
    RecipeFile,
    card_of_file,
    recipe_of_file,
    recipe_of_metadata,
)
from icecore.server.errors import RecipeInvalid


def of(values: dict[str, Any] | str, size: tuple[int, int] | None = None) -> Recipe:
    text = values if isinstance(values, str) else json.dumps(values)
    return recipe_of_file(RecipeFile("some.file", text.encode()), size, "NCHW")


def wrong(values: object, sentence: str, size: tuple[int, int] | None = (224, 224)) -> Any:
    return pytest.param(values, sentence, size, id=sentence[:40])


@pytest.mark.parametrize(
    ("values", "sentence", "size"),
    [
        wrong('presett = "lite"', r"'some.file' has the key 'presett', .* near it: 'preset'"),
        wrong("gamma = 2", "'gamma', which is not known; there are 'height', "),
        wrong('preset = "imagnet"', "near it: 'imagenet'"),
        wrong("", "no 'height', and the network does not fix", None),
        wrong('height = "tall"', "'height' 'tall', but it must be a whole number"),
        wrong("height = 0\nwidth = 9", "height is 0"),
        wrong("scale = 1", "needs 'mean' and 'std'"),
        wrong("mean = [1, 2]", "three finite numbers"),
        wrong("mean = [nan, 0, 0]", "three finite numbers"),
        wrong("card = 1", r"must be a table \[card\]"),
        wrong('[card]\nlicense = "MIT"', r"\[card\] of .* near it: 'licence'"),
        wrong("[card]\nnotes = 3", "'notes' 3, but it must be a text"),
        wrong("height: 224", "neither JSON nor TOML"),
        wrong("a" + ".a" * 300 + " = 1", "nested deeper"),
        wrong("a = " + "[" * 60_000, "nested deeper"),
        wrong("{" + '"a":[' * 9_000, "nested deeper"),
        wrong("#" * 70_000, "has 70,000 bytes, but 65,536 are the most"),
        wrong('{"height": 1', "is no JSON"),
        wrong('{"height": NaN}', "NaN, which is not a number of JSON"),
        wrong('{"height": ' + "9" * 5000 + "}", "is no JSON: exceeds the limit"),
        wrong({"unknown": 1}, "neither timm's pretrained_cfg nor Hugging Face's"),
        wrong({"model_type": "vit", "hidden_size": 3}, "in preprocessor_config.json"),
        wrong({"pretrained_cfg": {"input_size": [1, 28, 28]}}, "takes 1 channels"),
        wrong({"pretrained_cfg": {"input_size": "224"}}, r"\[channels, height, width\]"),
        wrong({"pretrained_cfg": {"input_size": [3, 10**400, 1]}}, "channels, height"),
        wrong({"pretrained_cfg": {"crop_pct": 0.0001}}, "share of the resized image"),
        wrong({"pretrained_cfg": {"crop_pct": 10**400}}, "must be a number"),
        wrong({"pretrained_cfg": {"crop_mode": "zoom"}}, "one of .'center', 'squash', 'border'"),
        wrong({"pretrained_cfg": {"interpolation": "random"}}, "interpolation is 'random'"),
        wrong({"pretrained_cfg": {"mean": [0.5, "x", 0.5]}}, "'mean' .* three numbers"),
        wrong({"do_resize": False}, "does not resize"),
        wrong({"do_resize": "yes"}, "must be true or false"),
        wrong({"do_resize": True, "do_pad": True, "size": 224}, "asks for 'do_pad'"),
        wrong({"do_resize": True, "size": 192}, "192 x 192, but the network takes 224 x 224"),
        wrong({"do_resize": True, "size": 10**400}, "must be a whole number"),
        wrong({"do_resize": True, "size": {"depth": 3}}, "a shortest or a longest edge"),
        wrong({"do_resize": True, "resample": 9, "size": 224}, "Pillow's number"),
        wrong({"do_resize": True}, "has no 'size'", None),
        wrong({"image_processor_type": "Odd", "size": 224}, "'Odd', which is not known here"),
        wrong(
            {"image_processor_type": "EfficientNetImageProcessor", "size": 224},
            "'resample' None, but it must be Pillow's number",
        ),
        wrong({"height": 8, "width": 8, "resize": 8, "size": 8}, "field 'size', which is not"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_a_sentence(
    values: Any, sentence: str, size: tuple[int, int] | None
) -> None:
    with pytest.raises(RecipeInvalid, match=sentence) as caught:
        of(values, size)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(RecipeInvalid, match="not UTF-8 at byte 0"):
        recipe_of_file(RecipeFile("x" * 1000, b"\xff\xfe\x00"), None, "NCHW")


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"icecore.recipe": "224"}, "holds a int, but must hold an object"),
        ({"icecore.recipe": "{}"}, "no field 'height'"),
        ({"icecore.card": '{"source": 3}'}, "'source' 3, but it must be a text"),
        ({"pretrained_cfg": "resnet50"}, "metadata's pretrained_cfg is no JSON"),
        ({"Image.BitmapPixelFormat": "Gray8"}, "images have three channels"),
        ({"Image.NominalPixelRange": "NominalRange_16_235"}, "Normalized_0_1"),
    ],
)
def test_metadata_that_make_no_sense_are_refused(properties: dict[str, str], sentence: str) -> None:
    with pytest.raises(RecipeInvalid, match=sentence):
        recipe_of_metadata(properties, (224, 224), "NCHW")


ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    1e-308,
    "",
    "x" * 999,
    [],
    [[]],
    {},
    [1] * 3,
)
FILES: tuple[dict[str, Any], ...] = (
    {
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "license": "mit",
        "hf_hub_id": "timm/x",
    },
    {
        "image_processor_type": "ConvNextImageProcessor",
        "do_resize": True,
        "do_center_crop": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_flip_channel_order": False,
        "rescale_factor": 0.1,
        "rescale_offset": True,
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "crop_pct": 0.9,
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
    {**Recipe(8, 8, 8).to_json()},
)


@pytest.mark.parametrize("kind", range(len(FILES)))
def test_whatever_a_field_holds_it_is_a_recipe_or_refused(kind: int) -> None:
    """Every field, and every one within a field, as each of some odd values."""
    for name, value in FILES[kind].items():
        for odd in ODD:
            changes = [{name: odd}]
            if isinstance(value, list):
                changes += [{name: [odd, *value[1:]]}, {name: [*value, odd]}]
            if isinstance(value, dict):
                changes += [{name: {**value, inner: odd}} for inner in value]
            for change in changes:
                text = json.dumps({**FILES[kind], **change})
                for file in (RecipeFile("a", text.encode()), RecipeFile("b", text[:-1].encode())):
                    for size in (None, (224, 224)):
                        with suppress(RecipeInvalid):
                            recipe_of_file(file, size, "NCHW")
                        with suppress(RecipeInvalid):
                            card_of_file(file)

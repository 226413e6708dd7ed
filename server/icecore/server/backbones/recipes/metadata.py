"""A recipe and a card in the metadata of an ONNX file.

Our own keys `icecore.recipe` and `icecore.card` hold JSON. Read too: a JSON text
under `pretrained_cfg` or `preprocessor_config`, and ONNX's own Image.* keys
(which name channel order and range, and leave the rest open).

Source: ONNX's MetadataProps.md; the range that Windows ML takes where none is written.
"""

import json
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Final

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.hugging_face import recipe_of_hugging_face
from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.backbones.recipes.reading import Fields, parse_json
from icecore.server.backbones.recipes.recipe import Recipe, shown
from icecore.server.backbones.recipes.timm_cfg import card_of_timm, recipe_of_timm
from icecore.server.errors import RecipeInvalid

RECIPE_KEY: Final = "icecore.recipe"
CARD_KEY: Final = "icecore.card"

_TIMM_KEY, _HUGGING_FACE_KEY = "pretrained_cfg", "preprocessor_config"
_FORMATS: Final = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGB", "bgra8": "BGR"}
_RANGES: Final = {
    "nominalrange_0_255": "raw",
    "normalized_0_1": "unit",
    "normalized_1_1": "tensorflow",
}


def to_metadata(recipe: Recipe, card: Card) -> dict[str, str]:
    """Return what an exported file carries; `recipe_of_metadata` reads it back."""
    told = {name: value for name, value in card.to_json().items() if value}
    return {
        RECIPE_KEY: json.dumps(recipe.to_json(), sort_keys=True),
        CARD_KEY: json.dumps(told, sort_keys=True, ensure_ascii=False),
    }


def recipe_of_metadata(
    properties: Mapping[str, str], size: tuple[int, int] | None, layout: str
) -> tuple[Recipe | None, Card]:
    """Return the recipe, None where the metadata say nothing of it, and the card.

    Args:
        properties: the file's metadata_props.
        size: (height, width) of the network's input, None where the file leaves it open.
        layout: of the file's own input.

    Raises:
        RecipeInvalid: a key that is there makes no sense.
    """
    recipe = _recipe(properties, size)
    return replace(recipe, layout=layout) if recipe else None, card_of_metadata(properties)


def card_of_metadata(properties: Mapping[str, str]) -> Card:
    """Return what the metadata say of where the file comes from.

    Raises:
        RecipeInvalid: `icecore.card` is there and is none.
    """
    if CARD_KEY in properties:
        what = f"the metadata's {CARD_KEY}"
        fields = Fields(parse_json(properties[CARD_KEY].encode(), what), what)
        return Card(**{field.name: fields.text(field.name, "") for field in fields_of(Card)})
    if _TIMM_KEY in properties:
        what = f"the metadata's {_TIMM_KEY}"
        return card_of_timm(parse_json(properties[_TIMM_KEY].encode(), what), what)
    return Card()


def _recipe(properties: Mapping[str, str], size: tuple[int, int] | None) -> Recipe | None:
    if RECIPE_KEY in properties:
        values = parse_json(properties[RECIPE_KEY].encode(), f"the metadata's {RECIPE_KEY}")
        return Recipe.from_json(values)
    for key, read in (
        (_TIMM_KEY, recipe_of_timm),
        (_HUGGING_FACE_KEY, recipe_of_hugging_face),
    ):
        if key in properties:
            what = f"the metadata's {key}"
            return read(parse_json(properties[key].encode(), what), size, what)
    return _recipe_of_image_keys(properties, size)


def _recipe_of_image_keys(
    properties: Mapping[str, str], size: tuple[int, int] | None
) -> Recipe | None:
    told = {key.lower(): value.lower() for key, value in properties.items()}
    pixels = told.get("image.bitmappixelformat")
    spread = told.get("image.nominalpixelrange")
    if (pixels is None and spread is None) or size is None:
        return None
    if pixels is not None and pixels not in _FORMATS:
        raise RecipeInvalid(
            f"the metadata's Image.BitmapPixelFormat is {shown(pixels)}, "
            "but images have three channels: Rgb8 or Bgr8"
        )
    if spread is not None and spread not in _RANGES:
        raise RecipeInvalid(
            f"the metadata's Image.NominalPixelRange is {shown(spread)}, "
            "but must be NominalRange_0_255, Normalized_0_1 or Normalized_1_1"
        )
    preset = PRESETS[_RANGES[spread or "nominalrange_0_255"]]
    return replace(preset.of(assumed(size)), channels=_FORMATS[pixels or "rgb8"])

"""Where recipes come from: files of timm, Hugging Face and our own, and ONNX metadata.

Files are told apart by what is in them, not by their names.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.hugging_face import is_hugging_face, recipe_of_hugging_face
from icecore.server.backbones.recipes.metadata import (
    card_of_metadata,
    recipe_of_metadata,
    to_metadata,
)
from icecore.server.backbones.recipes.presets import assumed
from icecore.server.backbones.recipes.reading import parse_json, parse_toml
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.recipe_toml import card_of_table, recipe_of_table
from icecore.server.backbones.recipes.timm_cfg import card_of_timm, is_timm, recipe_of_timm
from icecore.server.errors import RecipeInvalid

__all__ = [
    "RecipeFile",
    "assumed",
    "card_of_file",
    "card_of_metadata",
    "recipe_of_file",
    "recipe_of_metadata",
    "to_metadata",
]


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe as a file says it; `name` is for sentences alone."""

    name: str
    content: bytes = field(repr=False)


def recipe_of_file(file: RecipeFile, size: tuple[int, int] | None, layout: str) -> Recipe:
    """Return the recipe that a file describes.

    Args:
        file: timm's `pretrained_cfg` (bare, or in a hub's `config.json`), Hugging
            Face's `preprocessor_config.json`, the JSON of a recipe, or our TOML.
        size: (height, width) of the network's input, None where the network leaves it open.
        layout: of the network's own input, "NCHW" or "NHWC".

    Raises:
        RecipeInvalid: none of these, or a value in it that makes no sense.
    """
    what = _what(file)
    if not _is_json(file.content):
        recipe = recipe_of_table(parse_toml(file.content, what), size, what)
    else:
        recipe = _recipe_of_json(parse_json(file.content, what), size, what)
    return replace(recipe, layout=layout)


def card_of_file(file: RecipeFile) -> Card:
    """Return what a recipe file says of the network besides: TOML's [card], timm's licence.

    Raises:
        RecipeInvalid: as `recipe_of_file`.
    """
    what = _what(file)
    if not _is_json(file.content):
        return card_of_table(parse_toml(file.content, what), what)
    values = parse_json(file.content, what)
    return card_of_timm(values, what) if is_timm(values) else Card()


def _recipe_of_json(values: dict[str, Any], size: tuple[int, int] | None, what: str) -> Recipe:
    if is_timm(values):
        return recipe_of_timm(values, size, what)
    if is_hugging_face(values):
        return recipe_of_hugging_face(values, size, what)
    if {"height", "width", "resize"} <= set(values):
        return Recipe.from_json(values)
    if "model_type" in values or "architectures" in values:
        raise RecipeInvalid(
            f"{what} describes a model and not its images: Hugging Face keeps those "
            "in preprocessor_config.json"
        )
    raise RecipeInvalid(
        f"{what} is JSON, but neither timm's pretrained_cfg nor Hugging Face's "
        "preprocessor_config.json nor a recipe with 'height', 'width' and 'resize'"
    )


def _is_json(content: bytes) -> bool:
    return content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _what(file: RecipeFile) -> str:
    shown = file.name if len(file.name) <= 80 else file.name[:80] + "…"
    return f"the recipe file {shown!r}"

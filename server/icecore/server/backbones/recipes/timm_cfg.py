"""timm's `pretrained_cfg` as a recipe.

Source: timm's `resolve_data_config` and `transforms_imagenet_eval`, whose
defaults, sizes and rounding are kept.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.presets import PRESETS
from icecore.server.backbones.recipes.reading import Fields
from icecore.server.backbones.recipes.recipe import MAX_SIDE, Recipe
from icecore.server.errors import RecipeInvalid

_DEFAULT_CROP_PCT: Final = 0.875
_RULES: Final = {"center": "shorter", "squash": "squash", "border": "longer"}
_KEYS: Final = frozenset(
    {"input_size", "crop_pct", "crop_mode", "interpolation", "test_input_size", "first_conv"}
)


def is_timm(values: Mapping[str, Any]) -> bool:
    """Whether this is a `pretrained_cfg`, or a `config.json` around one."""
    return isinstance(values.get("pretrained_cfg"), dict) or len(_KEYS & set(values)) >= 2


def recipe_of_timm(values: Mapping[str, Any], size: tuple[int, int] | None, what: str) -> Recipe:
    """Return the recipe of a `pretrained_cfg` for a network of this size (height, width).

    Where the network's size is the one that the file has for testing, the
    testing crop counts, else the ordinary one. No size: `input_size`.

    Raises:
        RecipeInvalid: a field that makes no sense.
    """
    fields = Fields(pretrained_cfg(values), what)
    own = _size(fields, "input_size") or (224, 224)
    tested = _size(fields, "test_input_size")
    height, width = size or own
    crop_pct = fields.number("crop_pct", _DEFAULT_CROP_PCT)
    if (height, width) != own and (height, width) == tested:
        crop_pct = fields.number("test_crop_pct", crop_pct)
    crop_pct = crop_pct or _DEFAULT_CROP_PCT
    if not 0.05 <= crop_pct <= 4:
        fields.refuse("crop_pct", "a share of the resized image, such as 0.875")
    mode = fields.text("crop_mode", "center") or "center"
    if mode not in _RULES:
        fields.refuse("crop_mode", f"one of {tuple(_RULES)!r}")
    resize_height, resize_width = math.floor(height / crop_pct), math.floor(width / crop_pct)
    imagenet = PRESETS["imagenet"]
    return Recipe(
        height=height,
        width=width,
        resize=resize_height,
        resize_width=resize_width,
        resize_rule=_RULES[mode],
        interpolation=fields.text("interpolation", "bicubic") or "bicubic",
        mean=fields.triple("mean", imagenet.mean),
        std=fields.triple("std", imagenet.std),
    )


def card_of_timm(values: Mapping[str, Any], what: str) -> Card:
    """Return where the weights come from and their licence, as far as the file says.

    Raises:
        RecipeInvalid: one of these fields is no text.
    """
    fields = Fields(pretrained_cfg(values), what)
    source = ""
    for name in ("hf_hub_id", "origin_url", "url"):
        if not source and isinstance(fields.any(name), str):
            source = fields.text(name, "")
    return Card(source=source, licence=fields.text("license", ""))


def pretrained_cfg(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `pretrained_cfg` itself."""
    inner = values.get("pretrained_cfg")
    return inner if isinstance(inner, dict) else values


def _size(fields: Fields, name: str) -> tuple[int, int] | None:
    """Height and width of a (channels, height, width)."""
    value = fields.any(name)
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in value)
    ):
        fields.refuse(name, "[channels, height, width]")
    if value[0] != 3:
        raise RecipeInvalid(
            f"{fields.what} is of a network that takes {value[0]} channels, but images have 3"
        )
    return value[1], value[2]

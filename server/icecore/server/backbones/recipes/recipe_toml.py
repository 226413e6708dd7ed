"""icecore's own recipe file, a small TOML; every key may be left out.

    preset = "tensorflow"     # channels, scale, mean and std at once: imagenet, tensorflow,
                              # lite, clip, unit (0..1), raw (0..255) or caffe (BGR less a mean)
    height = 224              # of the network's input; left out, the file's own
    width = 224
    resize_rule = "shorter"   # or "longer" (fit in, fill with the mean colour) or "squash"
    resize = 256              # that side after resizing, before the centre crop
    resize_width = 0          # its width under "squash"; 0: as resize
    interpolation = "bilinear"  # nearest, box, bilinear, hamming, bicubic, lanczos
    channels = "RGB"          # or "BGR"
    scale = 0.00392156862745098  # what pixels of 0..255 are multiplied with: 1/255
    mean = [0.5, 0.5, 0.5]    # of scaled pixels, in the order of channels
    std = [0.5, 0.5, 0.5]
    layout = "NCHW"           # or "NHWC": of the file's own input

    [card]
    source = "https://..."
    licence = "Apache-2.0"
    trained_on = "ILSVRC2012"
    accuracy = "75.1 % top-1"
    notes = ""

Without a preset, what is not given is as `imagenet` has it. Where `channels` are
not the preset's, its mean and std are turned around with them.
"""

from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any, Final

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.backbones.recipes.reading import Fields
from icecore.server.backbones.recipes.recipe import Recipe, shown, unknown
from icecore.server.errors import RecipeInvalid

_RECIPE: Final = tuple(field.name for field in fields_of(Recipe))
_CARD: Final = tuple(field.name for field in fields_of(Card))
_KEYS: Final = (*_RECIPE, "preset", "card")


def recipe_of_table(values: Mapping[str, Any], size: tuple[int, int] | None, what: str) -> Recipe:
    """Return the recipe of a table; what it leaves out is as `assumed` has it.

    No `size` (height, width) of the network: the table has to say it.

    Raises:
        RecipeInvalid: an unknown key (with near ones), or a value that makes no sense.
    """
    for key in values:
        if key not in _KEYS:
            raise RecipeInvalid(f"{what} has the key {unknown(key, _KEYS)}")
    card_of_table(values, what)  # a mistake there is said now
    fields = Fields(values, what)
    given = {name: values[name] for name in _RECIPE if name in values}
    usual = assumed(_size(fields, size))
    named = fields.text("preset", "imagenet")
    if named not in PRESETS:
        raise RecipeInvalid(f"{what} has the preset {unknown(named, tuple(PRESETS))}")
    preset = PRESETS[named]
    made = preset.of(usual).to_json()
    if given.get("channels", preset.channels) != preset.channels:
        made |= {"mean": list(preset.mean[::-1]), "std": list(preset.std[::-1])}
    if given.get("scale", preset.scale) != preset.scale and not {"mean", "std"} <= set(given):
        raise RecipeInvalid(
            f"{what} has a scale of its own, so it needs 'mean' and 'std' of the scaled pixels too"
        )
    if "resize" in given:
        made["resize_width"] = 0
    elif given.get("resize_rule", "shorter") != "shorter":  # the whole image
        made |= {"resize": usual.height, "resize_width": usual.width}
    return Recipe.from_json({**made, **given})


def card_of_table(values: Mapping[str, Any], what: str) -> Card:
    """Return the card of a table's [card], empty where there is none.

    Raises:
        RecipeInvalid: an unknown key, or a value that is no text.
    """
    card = values.get("card")
    if card is None:
        return Card()
    if not isinstance(card, dict):
        raise RecipeInvalid(f"{what} has a 'card' {shown(card)}, but it must be a table [card]")
    for key in card:
        if key not in _CARD:
            raise RecipeInvalid(f"[card] of {what} has the key {unknown(key, _CARD)}")
    fields = Fields(card, f"[card] of {what}")
    return Card(**{name: fields.text(name, "") for name in _CARD})


def _size(fields: Fields, size: tuple[int, int] | None) -> tuple[int, int]:
    sides = []
    for name, side in zip(("height", "width"), size or (0, 0), strict=True):
        if name not in fields and not side:
            raise RecipeInvalid(
                f"{fields.what} has no {name!r}, and the network does not fix its size"
            )
        sides.append(fields.integer(name, side))
    return sides[0], sides[1]

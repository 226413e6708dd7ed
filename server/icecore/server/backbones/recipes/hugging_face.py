"""Hugging Face's `preprocessor_config.json` as a recipe.

Source: the image processors of `transformers`; what a file leaves out is at
the default of its class. One thing differs: where a centre crop cannot be
exactly central, their rounding is to the left and torchvision's, kept here, to
the nearest even, so the crop may lie one pixel of the resized image apart.
"""

from collections.abc import Mapping
from typing import Any, Final

from icecore.server.backbones.recipes.hugging_face_habits import Habits, habits_of
from icecore.server.backbones.recipes.presets import PRESETS
from icecore.server.backbones.recipes.reading import Fields
from icecore.server.backbones.recipes.recipe import TO_UNIT, Recipe
from icecore.server.errors import RecipeInvalid
from icecore.wire.resizing import RESIZE_RULES

_RESAMPLES: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's numbers, which is what these files hold."""

_WARPED_FROM: Final = 384
"""ConvNeXt's processor squashes from this size up and crops below."""

_MARKS: Final = frozenset(
    {
        "image_processor_type",
        "feature_extractor_type",
        "do_resize",
        "do_normalize",
        "do_rescale",
        "do_center_crop",
        "image_mean",
        "image_std",
        "resample",
    }
)
_REFUSED: Final = ("do_pad", "do_thumbnail", "do_image_splitting", "do_crop_margin")


def is_hugging_face(values: Mapping[str, Any]) -> bool:
    """Whether this is a `preprocessor_config.json`, or a `processor_config.json` around one."""
    return isinstance(values.get("image_processor"), dict) or bool(_MARKS & set(values))


def recipe_of_hugging_face(
    values: Mapping[str, Any], size: tuple[int, int] | None, what: str
) -> Recipe:
    """Return the recipe of a processor for a network of this size (height, width).

    Raises:
        RecipeInvalid: a field that makes no sense, a step that a recipe does not
            have (padding, splitting), or images of another size than the network's.
    """
    inner = values.get("image_processor")
    fields = Fields(inner if isinstance(inner, dict) else values, what)
    if not fields.flag("do_resize", True):
        raise RecipeInvalid(f"{what} does not resize, but a recipe always does")
    for step in _REFUSED:
        if fields.any(step):
            raise RecipeInvalid(f"{what} asks for {step!r}, which a recipe does not have")
    kind, habits = habits_of(fields)
    rule, resize, resize_width, crop = _geometry(fields, kind, habits, size)
    if size is not None and crop != size:
        raise RecipeInvalid(
            f"{what} makes images of {crop[0]} x {crop[1]}, "
            f"but the network takes {size[0]} x {size[1]}"
        )
    scale, mean, std = _arithmetic(fields, kind, habits)
    return Recipe(
        height=crop[0],
        width=crop[1],
        resize=resize,
        resize_width=resize_width,
        resize_rule=rule,
        interpolation=_interpolation(fields, habits),
        channels="BGR" if fields.flag("do_flip_channel_order", habits.flips) else "RGB",
        mean=mean,
        std=std,
        scale=scale,
    )


def _interpolation(fields: Fields, habits: Habits) -> str:
    number = fields.integer("resample", -1 if habits.resample is None else habits.resample)
    if not 0 <= number < len(_RESAMPLES):
        fields.refuse("resample", "Pillow's number of a filter, 0 to 5")
    return _RESAMPLES[number]


def _geometry(
    fields: Fields, kind: str, habits: Habits, size: tuple[int, int] | None
) -> tuple[str, int, int, tuple[int, int]]:
    """Return resize rule, resize, resize width, and (height, width) of the crop."""
    shorter, longer, squash = RESIZE_RULES
    shortest, sides, is_longest = _sizes(fields, habits, size)
    crop_pct = fields.number("crop_pct", 0.9 if kind == "poolformer" else 0.875)
    if not 0.05 <= crop_pct <= 4:
        fields.refuse("crop_pct", "a share of the resized image, such as 0.875")
    if kind == "convnext":
        side = shortest or sides[0]
        if side >= _WARPED_FROM:
            return squash, side, side, (side, side)
        return shorter, int(side / crop_pct), 0, (side, side)
    crop = sides if not shortest else size or (shortest, shortest)
    if fields.flag("do_center_crop", habits.crops):
        crop = _pair(fields, "crop_size") or crop
    if kind == "poolformer":
        side = shortest or min(sides)
        return shorter, int(side / crop_pct), 0, crop
    if kind == "levit" and shortest:
        return shorter, int((256 / 224) * shortest), 0, crop
    if is_longest:
        return longer, shortest, 0, crop
    if shortest:
        return shorter, shortest, 0, crop
    return squash, sides[0], sides[1], crop


def _sizes(
    fields: Fields, habits: Habits, size: tuple[int, int] | None
) -> tuple[int, tuple[int, int], bool]:
    """Return the edge to resize to (0: both sides), both sides, and whether it is the longer."""
    value = fields.any("size")
    if value is None:
        if size is None:
            raise RecipeInvalid(f"{fields.what} has no 'size'")
        return (0, size, False) if habits.is_square else (min(size), size, False)
    if isinstance(value, dict):
        inner = Fields(value, f"'size' of {fields.what}")
        if "shortest_edge" in inner and "longest_edge" not in inner:
            edge = inner.integer("shortest_edge")
            return edge, (edge, edge), False
        if "longest_edge" in inner and "shortest_edge" not in inner:
            edge = inner.integer("longest_edge")
            return edge, (edge, edge), True
        if "height" in inner and "width" in inner:
            return 0, (inner.integer("height"), inner.integer("width")), False
        fields.refuse("size", "a height and width, or a shortest or a longest edge")
    if not isinstance(value, int) or isinstance(value, bool):
        fields.refuse("size", "a number of pixels, a height and width, or an edge")
    side = fields.integer("size")
    return (0 if habits.is_square else side), (side, side), False


def _pair(fields: Fields, name: str) -> tuple[int, int] | None:
    value = fields.any(name)
    if value is None:
        return None
    if isinstance(value, dict):
        inner = Fields(value, f"{name!r} of {fields.what}")
        edge = inner.integer("shortest_edge")
        return inner.integer("height", edge), inner.integer("width", edge)
    side = fields.integer(name)
    return side, side


def _arithmetic(
    fields: Fields, kind: str, habits: Habits
) -> tuple[float, tuple[float, float, float], tuple[float, float, float]]:
    """Return scale, mean and std."""
    scales = fields.flag("do_rescale", True)
    scale = fields.number("rescale_factor", TO_UNIT) if scales else 1.0
    preset = PRESETS[habits.preset]
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if fields.flag("do_normalize", kind != "mobilevit"):
        mean = fields.triple("image_mean", preset.mean)
        std = fields.triple("image_std", preset.std)
    if scales and fields.flag("rescale_offset", False):  # 1 is taken off before the mean is
        mean = (mean[0] + 1, mean[1] + 1, mean[2] + 1)
    if kind == "efficientnet" and fields.flag("include_top", True):
        # With its classifier, this one divides by the std a second time.
        again = fields.triple("image_std", preset.std)
        std = (std[0] * again[0], std[1] * again[1], std[2] * again[2])
    return scale, mean, std

"""The recipe: how an image becomes a network's input.

Resize, centre crop, scale, normalise, in the order and with the rounding of
torchvision's and timm's evaluation transforms. It decodes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final, Self, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from icecore.server.errors import RecipeInvalid
from icecore.wire.resizing import INTERPOLATIONS, RESIZE_RULES, centre, fill_colour, resized_size

Triple: TypeAlias = tuple[float, float, float]

MAX_SIDE = 2048
"""Pixels; a network that wants more a side is a mistake or an attack."""

TO_UNIT: Final = 1 / 255
"""The usual scale: pixels of 0..255 become 0..1."""

_LEAST, _MOST = 1e-6, 1e6
"""Of scale and std, and of all numbers: far beyond what any network wants."""

_CHANNELS = ("RGB", "BGR")
_LAYOUTS = ("NCHW", "NHWC")
_LATER = {"scale": TO_UNIT, "resize_rule": "shorter", "resize_width": 0, "layout": "NCHW"}
"""Fields that the first recipes did not have; at these values they mean what those meant."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything between a decoded image and the network.

    All sizes are in pixels. The image is resized by `resize_rule`, then its
    centre of `height` x `width` is taken; where that is larger, the rest is
    black, or the mean colour under "longer".

    "shorter": the shorter side becomes `resize`, the aspect is kept.
    "longer": the longer side becomes `resize`, the aspect is kept.
    "squash": it becomes `resize` high and `resize_width` wide.

    `resize_width` is 0 where it is `resize`. Under the first two rules it makes
    a box of `resize` x `resize_width` that is covered or filled. Pixels of 0..255
    are multiplied by `scale`; `mean` and `std` are of the result, in the order of
    `channels`, both rounded to float32, which is what the contract carries.
    `layout` is that of the file's own input; what is made here is (3, h, w).

    Raises:
        RecipeInvalid: a field of the wrong type or out of range.
    """

    height: int
    width: int
    resize: int
    interpolation: str = "bicubic"
    channels: str = "RGB"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    scale: float = TO_UNIT
    resize_rule: str = "shorter"
    resize_width: int = 0
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        for name in ("height", "width", "resize"):
            _require_side(name, getattr(self, name), least=1)
        _require_side("resize_width", self.resize_width, least=0)
        _require_one_of("interpolation", self.interpolation, tuple(INTERPOLATIONS))
        _require_one_of("channels", self.channels, _CHANNELS)
        _require_one_of("resize_rule", self.resize_rule, RESIZE_RULES)
        _require_one_of("layout", self.layout, _LAYOUTS)
        if self.resize_width == self.resize:
            object.__setattr__(self, "resize_width", 0)
        object.__setattr__(self, "mean", _triple("mean", self.mean))
        object.__setattr__(self, "std", _triple("std", self.std))
        if min(self.std) < _LEAST:
            raise RecipeInvalid(f"the recipe's std is {self.std!r}, but must be above 0")
        object.__setattr__(self, "scale", _scale(self.scale))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one input, (3, h, w)."""
        return 3, self.height, self.width

    def apply(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Return the network's input for an image of mode RGB.

        Equal to torchvision's and timm's transforms on the same image, to the
        bit where it is at most 32 times as long as wide; of longer ones only
        what the crop shows is resized (so that 1 x 1,000,000 pixels cost no more
        than others), equal to 1 grey level.

        Returns:
            (3, h, w) float32, C-contiguous, owned by the caller.
        """
        return self.normalise(self.crop(image))

    def crop(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Return the (h, w, 3) RGB pixels that the network sees, before any arithmetic."""
        size = resized_size(
            *image.size, rule=self.resize_rule, resize=self.resize, resize_width=self.resize_width
        )
        resampling = INTERPOLATIONS[self.interpolation]
        fill = fill_colour(self.mean, self.scale, channels=self.channels, rule=self.resize_rule)
        return centre(image, size, (self.width, self.height), resampling, fill)

    def normalise(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (3, h, w) float32 of the (h, w, 3) RGB pixels that `crop` gives."""
        ordered = pixels[:, :, ::-1] if self.channels == "BGR" else pixels
        values = ordered.transpose(2, 0, 1).astype(np.float32, order="C")
        if self.scale == TO_UNIT:
            values /= np.float32(255)
        elif self.scale != 1.0:
            values *= np.float32(self.scale)
        values -= np.array(self.mean, np.float32)[:, None, None]
        values /= np.array(self.std, np.float32)[:, None, None]
        return values

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "mean": list(self.mean), "std": list(self.std)}

    def identity(self) -> dict[str, object]:
        """Return what a digest covers: `to_json` without later fields at their defaults."""
        return {
            name: value
            for name, value in self.to_json().items()
            if name not in _LATER or value != _LATER[name]
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the recipe that `to_json` wrote; what it leaves out is at its default.

        Raises:
            RecipeInvalid: a field missing, unknown, of another type or out of range.
        """
        names = tuple(field.name for field in fields(cls))
        for name in values:
            if name not in names:
                raise RecipeInvalid(f"the recipe has a field {unknown(name, names)}")
        missing = [name for name in names[:3] if name not in values]
        if missing:
            raise RecipeInvalid(f"the recipe has no field {missing[0]!r}")
        return cls(**values)


def unknown(name: str, known: tuple[str, ...]) -> str:
    """Return `'name', ...` with the known names near to it, or all of them."""
    shown = name if len(name) <= 40 else name[:40] + "…"
    near = get_close_matches(shown, known, n=3, cutoff=0.5)
    if near:
        return f"{shown!r}, which is not known; near it: {', '.join(map(repr, near))}"
    return f"{shown!r}, which is not known; there are {', '.join(map(repr, known))}"


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_side(name: str, side: object, *, least: int) -> None:
    if not isinstance(side, int) or isinstance(side, bool) or not least <= side <= MAX_SIDE:
        raise RecipeInvalid(
            f"the recipe's {name} is {shown(side)}, but must be a number of pixels "
            f"from {least} to {MAX_SIDE}"
        )


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeInvalid(
            f"the recipe's {name} is {shown(value)}, but must be one of {allowed!r}"
        )


def _scale(value: object) -> float:
    if is_number(value) and _LEAST <= value <= _MOST:
        return float(value)
    raise RecipeInvalid(
        f"the recipe's scale is {shown(value)}, but must be a number above 0, "
        "such as 1/255 = 0.00392156862745098 or 1"
    )


def _triple(name: str, values: object) -> Triple:
    """Three finite numbers, rounded to float32."""
    if isinstance(values, list | tuple) and len(values) == 3:
        numbers = [value for value in values if is_number(value) and -_MOST <= value <= _MOST]
        if len(numbers) == 3:
            one, two, three = (float(np.float32(value)) for value in numbers)
            return one, two, three
    raise RecipeInvalid(f"the recipe's {name} is {shown(values)}, but must be three finite numbers")


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"

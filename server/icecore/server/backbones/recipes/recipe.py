"""The recipe: how an image becomes a network's input.

Resize, centre crop, scale to 0..1, normalise, in the order and with the
rounding of torchvision's usual evaluation transform. It decodes nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from icecore.server.errors import RecipeInvalid

Triple: TypeAlias = tuple[float, float, float]

MAX_SIDE = 2048
"""Pixels; a network that wants more a side is a mistake or an attack."""

MAX_ASPECT = 4
"""Long side to short; what lies farther from the middle is cut off before resizing."""

_INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_CHANNELS = ("RGB", "BGR")
_FIELDS = ("height", "width", "resize", "interpolation", "channels", "mean", "std")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything between a decoded image and the network.

    `resize` is the shorter side after resizing, before the centre crop to
    `height` x `width`, all in pixels. `mean` and `std` are of values scaled to
    0..1, in the order of `channels`; both are rounded to float32, which is what
    the contract carries.

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

    def __post_init__(self) -> None:
        for name in ("height", "width", "resize"):
            side = getattr(self, name)
            if not isinstance(side, int) or isinstance(side, bool) or not 0 < side <= MAX_SIDE:
                raise RecipeInvalid(
                    f"the recipe's {name} is {side!r}, but must be a number of pixels "
                    f"from 1 to {MAX_SIDE}"
                )
        if self.resize < max(self.height, self.width):
            raise RecipeInvalid(
                f"the recipe resizes the shorter side to {self.resize!r}, which is smaller than "
                f"the crop of {self.height} x {self.width}"
            )
        _require_one_of("interpolation", self.interpolation, tuple(_INTERPOLATIONS))
        _require_one_of("channels", self.channels, _CHANNELS)
        object.__setattr__(self, "mean", _triple("mean", self.mean))
        object.__setattr__(self, "std", _triple("std", self.std))
        if min(self.std) <= 0.0:
            raise RecipeInvalid(f"the recipe's std is {self.std!r}, but must be above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one input, (3, h, w)."""
        return 3, self.height, self.width

    def apply(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Return the network's input for an image of mode RGB.

        Equal to torchvision's Resize, CenterCrop, ToTensor and Normalize on the
        same image. Only of one longer than 4 times its width are the ends cut
        off first, so that 1 x 1,000,000 pixels cost no more than others.

        Returns:
            (3, h, w) float32, C-contiguous, owned by the caller.
        """
        middle = _without_ends(image)
        size = self._scaled(*middle.size)
        resized = middle.resize(size, _INTERPOLATIONS[self.interpolation])
        left = round((size[0] - self.width) / 2)
        top = round((size[1] - self.height) / 2)
        pixels = np.asarray(resized)[top : top + self.height, left : left + self.width]
        if self.channels == "BGR":
            pixels = pixels[:, :, ::-1]
        values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        values /= np.float32(255)
        values -= np.array(self.mean, np.float32)[:, None, None]
        values /= np.array(self.std, np.float32)[:, None, None]
        return values

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return {
            "height": self.height,
            "width": self.width,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the recipe that `to_json` wrote.

        Raises:
            RecipeInvalid: a field missing, unknown, of another type or out of range.
        """
        unknown = sorted(set(fields) - set(_FIELDS))
        if unknown:
            raise RecipeInvalid(f"the recipe has a field {unknown[0]!r}, but only {_FIELDS!r}")
        missing = [name for name in _FIELDS[:3] if name not in fields]
        if missing:
            raise RecipeInvalid(f"the recipe has no field {missing[0]!r}")
        return cls(**fields)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing, truncated as torchvision's Resize does."""
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize


def _without_ends(image: Image.Image) -> Image.Image:
    """The image, or the middle of a very long one; the centre stays where it is."""
    width, height = image.size
    # An even number of pixels goes, the same on both sides.
    across = max(0, (width - MAX_ASPECT * height) // 2)
    down = max(0, (height - MAX_ASPECT * width) // 2)
    if not across and not down:
        return image
    return image.crop((across, down, width - across, height - down))


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeInvalid(f"the recipe's {name} is {value!r}, but must be one of {allowed!r}")


def _triple(name: str, values: object) -> Triple:
    """Three finite numbers, rounded to float32."""
    if isinstance(values, list | tuple) and len(values) == 3:
        numbers = [value for value in values if isinstance(value, int | float)]
        if len(numbers) == 3 and all(math.isfinite(value) for value in numbers):
            one, two, three = (float(np.float32(value)) for value in numbers)
            return one, two, three
    raise RecipeInvalid(f"the recipe's {name} is {values!r}, but must be three finite numbers")

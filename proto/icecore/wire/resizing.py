"""Resizing and centre-cropping an image as torchvision and timm do for evaluation.

With their order and their rounding, for the server's recipes and for clients that
send no more than the network sees. The image is Pillow's, which is not imported
here: whoever has an image has that too.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

MAX_ASPECT: Final = 32
"""Long side to short; of what is longer, only what the crop shows is resized."""

INTERPOLATIONS: Final[Mapping[str, int]] = {
    "nearest": 0,
    "lanczos": 1,
    "bilinear": 2,
    "bicubic": 3,
    "box": 4,
    "hamming": 5,
}
"""The numbers of Pillow's `Image.Resampling`."""

RESIZE_RULES: Final = ("shorter", "longer", "squash")

_REACH: Final = 3
"""Pixels of the coarser grid that the widest filter (Lanczos) sees to either side."""


class Picture(Protocol):
    """What is used of a Pillow image of mode RGB."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def __array_interface__(self) -> dict[str, Any]: ...

    def resize(
        self,
        size: tuple[int, int],
        resample: int | None = None,
        box: tuple[float, float, float, float] | None = None,
    ) -> Self: ...

    def crop(self, box: tuple[float, float, float, float] | None = None) -> Self: ...


def resized_size(
    width: int, height: int, *, rule: str, resize: int, resize_width: int
) -> tuple[int, int]:
    """Return (width, height) after resizing, both at least 1.

    "shorter" with one number truncates as torchvision's Resize; with a
    `resize_width` (not 0) it is the smallest size that covers `resize` x
    `resize_width`, and "longer" the largest that fits in, rounded as timm's
    ResizeKeepRatio.
    """
    across = resize_width or resize
    if rule == "squash":
        return across, resize
    if rule == "shorter" and not resize_width:
        if width <= height:
            return resize, int(resize * height / width)
        return int(resize * width / height), resize
    ratios = height / resize, width / across
    ratio = max(ratios) if rule == "longer" else min(ratios)
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def centre(
    image: Picture,
    size: tuple[int, int],
    crop: tuple[int, int],
    resampling: int,
    fill: tuple[int, int, int],
) -> npt.NDArray[np.uint8]:
    """Return (h, w, 3): the middle `crop` of an RGB image resized to `size`, both (width, height).

    Where the crop is larger, `fill` is around. The offsets are those of
    torchvision's CenterCrop and timm's CenterCropOrPad.
    """
    starts = [_start(whole, part) for whole, part in zip(size, crop, strict=True)]
    first = [max(0, start) for start in starts]
    last = [min(whole, start + part) for whole, start, part in zip(size, starts, crop, strict=True)]
    window = (first[0], first[1], last[0], last[1])
    if max(size) > MAX_ASPECT * max(*crop, min(size)):
        pixels = np.asarray(_window(image, size, window, resampling))
    else:
        # In two passes with a crop between them it would take a fifth less, but whether Pillow
        # resizes across or down first depends on its version and on the sizes.
        pixels = np.asarray(image.resize(size, resampling).crop(window))
    if pixels.shape[:2] == (crop[1], crop[0]):
        return pixels
    whole = np.empty((crop[1], crop[0], 3), np.uint8)
    whole[:] = fill
    left, top = max(0, -starts[0]), max(0, -starts[1])
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def fill_colour(
    mean: tuple[float, float, float], scale: float, *, channels: str, rule: str
) -> tuple[int, int, int]:
    """Return the RGB pixel around an image that does not fill the crop: the mean under
    "longer", else black. `mean` is of scaled values in the order of `channels`."""
    if rule != "longer":
        return 0, 0, 0
    one, two, three = (min(255, max(0, round(value / scale))) for value in mean)
    return (three, two, one) if channels == "BGR" else (one, two, three)


def _start(whole: int, part: int) -> int:
    """Where the middle `part` of `whole` pixels begins; negative where it is longer."""
    if part > whole:
        return -((part - whole) // 2)
    return round((whole - part) / 2.0)


def _window(
    image: Picture,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    resampling: int,
) -> Picture:
    """Return `image.resize(size).crop(window)` without the pixels around it.

    What the filter reaches is cut out first, since Pillow takes its box in
    single precision, which is too coarse far from the corner.
    """
    box, cut = [0.0] * 4, [0] * 4
    for axis in (0, 1):
        step = image.size[axis] / size[axis]
        begin, end = window[axis] * step, window[axis + 2] * step
        margin = _REACH * max(step, 1.0) + 1
        cut[axis] = max(0, math.floor(begin - margin))
        cut[axis + 2] = min(image.size[axis], math.ceil(end + margin))
        box[axis] = begin - cut[axis]
        box[axis + 2] = min(end - cut[axis], float(cut[axis + 2] - cut[axis]))
    seen = image.crop((cut[0], cut[1], cut[2], cut[3]))
    return seen.resize(
        (window[2] - window[0], window[3] - window[1]),
        resampling,
        box=(box[0], box[1], box[2], box[3]),
    )

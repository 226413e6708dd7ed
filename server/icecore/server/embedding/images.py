"""The three ways in which an image comes in.

The values are as the caller gave them; `preparing` checks them against a
recipe, since only there it is known what would be right.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of a JPEG, PNG or WebP file; the whole recipe is applied."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Uint8, RGB, 0 to 255: (h, w, 3), to which the whole recipe is applied; or (h, w, 3) or

    (3, h, w) of exactly the network's size, resized and cropped already.
    """

    array: npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """(3, h, w) float32, finite: what comes after the recipe, taken as it is."""

    array: npt.NDArray[Any]


ImageInput: TypeAlias = Encoded | Pixels | Prepared


def size_of(image: ImageInput) -> int:
    """Return the bytes that an image holds, as it came in."""
    if isinstance(image, Encoded):
        return len(image.data)
    return int(image.array.nbytes)

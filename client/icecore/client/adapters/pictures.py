"""What people pass as X, as images: paths, bytes, arrays, or rows of numbers that are pictures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import validate_data

from icecore.client.input_values import ImageInput

ImageShape: TypeAlias = str | tuple[int, ...] | None

SQUARE = "square"

_COLOURS = ((), (1,), (3,))
"""What may follow height and width in a shape."""

_SINGLE = (str, bytes, Path)


@dataclass(frozen=True, slots=True)
class Rows:
    """How a row of numbers is a picture: its shape, and the values that are black and white."""

    shape: tuple[int, ...]
    low: float
    high: float

    def pictures(self, table: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield (h, w, 3) for each row of (n, d)."""
        for row in table:
            yield _in_colour(self._pixels(row).reshape(self.shape))

    def _pixels(self, row: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        flat = np.zeros(math.prod(self.shape), np.uint8)
        span = self.high - self.low
        if span > 0:
            grey = np.rint((row.astype(np.float64) - self.low) * (255 / span))
            flat[: row.size] = grey.clip(0, 255)
        return flat


def is_table(X: Any) -> bool:
    """Whether X is numbers in rows, or something that only scikit-learn can tell of."""
    if isinstance(X, np.ndarray):
        is_images = X.ndim >= 3 or (X.dtype.kind in "USO" and _holds_images(X))
        return not is_images
    if hasattr(X, "columns") or hasattr(X, "dtype"):
        return is_table(np.asarray(X)) if not hasattr(X, "toarray") else True
    return not (isinstance(X, Sequence) and len(X) > 0 and _is_image(X[0]))


def images_of(X: Any) -> list[ImageInput]:
    """Return X, which is no table, as a list of images; texts are paths.

    Raises:
        ValueError: something in it is no image.
    """
    if isinstance(X, _SINGLE):
        raise ValueError(f"X is one {type(X).__name__!r}, but must be a list of images")
    several = np.asarray(X).ravel() if hasattr(X, "columns") or _is_column(X) else X
    return [_image(one, place) for place, one in enumerate(several)]


def checked_table(estimator: Any, X: Any, *, reset: bool) -> npt.NDArray[Any]:
    """Return (n, d) numbers, checked as scikit-learn checks them.

    Raises:
        ValueError: other things; or numbers, and nothing says how they are pictures.
    """
    table: npt.NDArray[Any] = validate_data(estimator, X, reset=reset, dtype="numeric")
    if estimator.image_shape is None:
        raise ValueError(
            f"X is a table of {table.shape[0]} rows of {table.shape[1]} numbers, but must be "
            "images: paths, bytes or arrays of pixels; image_shape=(height, width) or 'square' "
            "says that each row is a picture"
        )
    return table


def rows_of(estimator: Any, table: npt.NDArray[Any]) -> Rows:
    """Return how rows are pictures, with the range of these where none is given.

    Raises:
        ValueError: image_shape or value_range cannot be, or is not of so many numbers.
    """
    shape, given = estimator.image_shape, estimator.value_range
    n_numbers = table.shape[1]
    if shape == SQUARE:
        side = math.isqrt(n_numbers - 1) + 1
        shape = (side, side)
    elif not (
        isinstance(shape, Sequence)
        and len(shape) in (2, 3)
        and tuple(shape[2:]) in ((), (1,), (3,))
    ):
        raise ValueError(
            f"image_shape is {shape!r}, but must be (height, width), (height, width, 3), "
            "'square' or None"
        )
    elif math.prod(shape) != n_numbers:
        raise ValueError(
            f"X has {n_numbers} numbers a row, but image_shape {tuple(shape)!r} has "
            f"{math.prod(shape)}"
        )
    if given is not None:
        low, high = given
    elif table.dtype == np.uint8:
        low, high = 0, 255
    else:
        low, high = table.min(), table.max()
    return Rows(tuple(shape), float(low), float(high))


def _holds_images(array: npt.NDArray[Any]) -> bool:
    return bool(array.size) and (array.ndim == 1 or _is_column(array)) and _is_image(array.flat[0])


def _is_column(X: Any) -> bool:
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1


def _is_image(one: Any) -> bool:
    is_array = isinstance(one, np.ndarray) and one.ndim >= 2
    return isinstance(one, _SINGLE) or is_array or _is_pillows(one)


def _is_pillows(one: Any) -> bool:
    return hasattr(one, "convert") and hasattr(one, "getexif")


def _image(one: Any, place: int) -> ImageInput:
    if isinstance(one, str):
        return Path(one)
    if isinstance(one, bytes):
        return bytes(one)
    if isinstance(one, Path):
        return one
    if _is_pillows(one):
        return np.asarray(one.convert("RGB"))
    if isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim in (2, 3):
        return _in_colour(one)
    if isinstance(one, np.ndarray) and one.dtype == np.float32 and one.ndim == 3:
        return one  # what comes after the recipe
    what = f"a {type(one).__name__!r}"
    if isinstance(one, np.ndarray):
        what = f"an array of {one.dtype.name!r} and shape {one.shape}"
    raise ValueError(
        f"X[{place}] is {what}, but must be a path, bytes, a Pillow image or pixels: uint8 (h, w) "
        "or (h, w, 3)"
    )


def _in_colour(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (h, w, 3) of grey or coloured pixels."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels)

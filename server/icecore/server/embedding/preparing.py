"""One image as it came in to the network's input, by the backbone's recipe."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.decoding import LIMITS, Limits, decode
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.errors import ImageTooLarge, TensorInvalid


def check(image: ImageInput, recipe: Recipe, *, what: str, limits: Limits = LIMITS) -> None:
    """Refuse what can be refused without decoding: bytes, shapes and dtypes.

    Raises:
        ImageTooLarge: more bytes or pixels than `limits` allow.
        TensorInvalid: another dtype or shape than this recipe takes.
    """
    if isinstance(image, Encoded):
        if len(image.data) > limits.max_bytes:
            raise ImageTooLarge(
                f"{what} has {len(image.data):,} bytes, but {limits.max_bytes:,} are the most"
            )
    elif isinstance(image, Pixels):
        _check_pixels(image.array, recipe, what, limits)
    else:
        _check_prepared(image.array, recipe, what)


def prepare(
    image: ImageInput, recipe: Recipe, *, what: str, limits: Limits = LIMITS
) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    """Return what the network is fed, C-contiguous: floats after the recipe, or pixels before its

    arithmetic, which a cut graph does itself: (3, h, w) float32, finite; (h, w, 3) or
    (3, h, w) uint8.

    Raises:
        ImageTooLarge, ImageTruncated, ImageInvalid: as `decode`.
        TensorInvalid: as `check`, or a value that is not finite.
    """
    check(image, recipe, what=what, limits=limits)
    if isinstance(image, Prepared):
        # Bytes of a message begin anywhere, and kernels read what is aligned faster.
        array = np.require(image.array, np.float32, ("C", "A"))
        if not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise TensorInvalid(
                f"{what} has the value {float(array[where])!r} at {where}, but must be finite"
            )
        return array
    if isinstance(image, Pixels) and _are_planes(image.array, recipe):
        return np.ascontiguousarray(image.array)
    return np.ascontiguousarray(crop(image, recipe, what=what, limits=limits))


def to_floats(
    image: ImageInput, recipe: Recipe, *, what: str, limits: Limits = LIMITS
) -> npt.NDArray[np.float32]:
    """Return (3, h, w) float32, C-contiguous, finite: what the network sees.

    Raises:
        As `prepare`.
    """
    if isinstance(image, Prepared):
        return prepare(image, recipe, what=what, limits=limits).astype(np.float32, copy=False)
    check(image, recipe, what=what, limits=limits)
    return recipe.normalise(crop(image, recipe, what=what, limits=limits))


def crop(
    image: Encoded | Pixels, recipe: Recipe, *, what: str, limits: Limits = LIMITS
) -> npt.NDArray[np.uint8]:
    """Return the (h, w, 3) RGB pixels that the network sees; the image's shape was checked.

    Pixels of exactly that size are those.

    Raises:
        ImageTooLarge, ImageTruncated, ImageInvalid: as `decode`.
    """
    if isinstance(image, Pixels) and is_cropped(image, recipe):
        return rows(image)
    return recipe.crop(to_rgb(image, what=what, limits=limits))


def is_cropped(image: Pixels, recipe: Recipe) -> bool:
    """Whether pixels are of exactly the network's size: resized and cropped already."""
    return image.array.shape == (recipe.height, recipe.width, 3) or _are_planes(image.array, recipe)


def rows(image: Pixels) -> npt.NDArray[np.uint8]:
    """Return pixels as (h, w, 3); their shape was checked."""
    return image.array if image.array.shape[2] == 3 else image.array.transpose(1, 2, 0)


def to_rgb(image: Encoded | Pixels, *, what: str, limits: Limits = LIMITS) -> Image.Image:
    """Return the image as mode RGB, before any recipe; its shape was checked."""
    if isinstance(image, Encoded):
        return decode(image.data, what=what, limits=limits)
    return Image.fromarray(np.ascontiguousarray(image.array))


def _check_pixels(array: npt.NDArray[Any], recipe: Recipe, what: str, limits: Limits) -> None:
    if array.dtype != np.uint8:
        raise TensorInvalid(
            f"{what} is a tensor of {array.dtype.name}, but must be uint8 (h, w, 3) pixels "
            f"or float32 {_shape_of(recipe)} after the recipe"
        )
    if array.shape == _shape_of(recipe):
        return
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise TensorInvalid(
            f"{what} is a uint8 tensor of shape {array.shape}, but must be (h, w, 3) pixels, or "
            f"{_shape_of(recipe)} of the network's size"
        )
    if array.shape[0] * array.shape[1] > limits.max_pixels:
        raise ImageTooLarge(
            f"{what} is {array.shape[1]:,} x {array.shape[0]:,} pixels, "
            f"but {limits.max_pixels:,} pixels in all are the most"
        )


def _check_prepared(array: npt.NDArray[Any], recipe: Recipe, what: str) -> None:
    if array.dtype != np.float32:
        raise TensorInvalid(
            f"{what} is a tensor of {array.dtype.name}, but must be float32 {_shape_of(recipe)} "
            "after the recipe or uint8 (h, w, 3) pixels"
        )
    if array.shape != _shape_of(recipe):
        raise TensorInvalid(
            f"{what} is a float32 tensor of shape {array.shape}, but must be {_shape_of(recipe)}"
        )


def _are_planes(array: npt.NDArray[Any], recipe: Recipe) -> bool:
    """Whether it is (3, h, w) of the network's size; a 3 x 3 image is taken for (h, w, 3)."""
    return array.shape == _shape_of(recipe) and array.shape != (recipe.height, recipe.width, 3)


def _shape_of(recipe: Recipe) -> tuple[int, int, int]:
    return 3, recipe.height, recipe.width

"""What is kept of an image: the bytes that decode to it again, and their digest."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.decoding import decode
from icecore.server.embedding.images import Encoded, ImageInput, Pixels
from icecore.server.embedding.preparing import is_cropped, rows
from icecore.server.errors import TensorInvalid

_MARK = ("icecore", "cropped")
"""A PNG's text that says: resized and cropped before it came, so only to be normalised."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`sha256` is that of `data` wherever there are any."""

    data: bytes | None
    sha256: str


def keep(image: ImageInput, recipe: Recipe, *, what: str, keep_images: bool) -> Kept:
    """Return what a collection stores of the image, whose shape was checked by this recipe.

    An encoded image is kept as it was sent, pixels as PNG (which loses
    nothing). A tensor that is past the recipe is no image any more: only its
    digest is known, and only a collection that keeps no images takes it.

    Raises:
        TensorInvalid: such a tensor where images are kept.
    """
    if isinstance(image, Encoded):
        data = image.data
    elif isinstance(image, Pixels):
        file = io.BytesIO()
        said = PngInfo()
        if is_cropped(image, recipe):
            said.add_text(*_MARK)
        shown = Image.fromarray(np.ascontiguousarray(rows(image)))
        shown.save(file, "PNG", compress_level=3, pnginfo=said)
        data = file.getvalue()
    elif keep_images:
        raise TensorInvalid(
            f"{what} is a float32 tensor that is past the recipe, which cannot be kept as an "
            "image: send the encoded file or uint8 (h, w, 3) pixels, or make the collection "
            "with keep_images false"
        )
    else:
        digest = hashlib.sha256(str(image.array.shape).encode())
        digest.update(np.ascontiguousarray(image.array, dtype="<f4").tobytes())
        return Kept(None, digest.hexdigest())
    return Kept(data if keep_images else None, hashlib.sha256(data).hexdigest())


def reopened(data: bytes) -> Encoded | Pixels:
    """Return the image that `keep` kept, to be prepared as it was when it came."""
    if b"tEXt" + "\0".join(_MARK).encode() in data[:100]:
        return Pixels(np.asarray(decode(data)))
    return Encoded(data)

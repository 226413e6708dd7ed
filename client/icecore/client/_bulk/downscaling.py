"""Large images as the pixels that the network sees, made here as the server makes them.

A uint8 tensor of exactly the network's height and width is only normalised there,
so its codes are those of the whole image. What might be read in two ways
(transparency, CMYK, 16 bits, animations, damage) is left to the server, as it is.
"""

import io
import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from icecore.client._operations.places import file_of
from icecore.client.backbone_values import Backbone
from icecore.client.errors import Unimplemented
from icecore.client.input_values import ImageInput
from icecore.wire.resizing import INTERPOLATIONS, RESIZE_RULES, centre, fill_colour, resized_size

MAX_PIXELS: Final = 200_000_000
"""Of 4 bytes each while one is made smaller; what is larger the server is left to refuse."""

_READERS: Final[tuple[tuple[bytes, type[ImageFile.ImageFile]], ...]] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"RIFF", WebPImageFile),
)
_PNG_DEPTH: Final = 24
"""Where a PNG says its bits a channel."""

_TURNS: Final = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow raises on damaged bytes: then the server tells what is wrong with them.
_DAMAGED = (
    AssertionError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Warning,
)


class Downscaler:
    """Makes images smaller for one backbone; from any thread."""

    def __init__(self, backbone: Backbone) -> None:
        """Take the backbone as the server tells of it.

        Raises:
            Unimplemented: its recipe resizes in a way that this client does not know.
        """
        recipe = backbone.recipe
        if recipe.resize_rule not in RESIZE_RULES or recipe.interpolation not in INTERPOLATIONS:
            raise Unimplemented(
                f"this client cannot resize by {recipe.resize_rule!r} with "
                f"{recipe.interpolation!r}, as backbone {backbone.name!r} does: it is too old"
            )
        self.digest = backbone.digest
        self._recipe = recipe
        self._resampling = INTERPOLATIONS[recipe.interpolation]
        red, green, blue = recipe.mean
        self._fill = fill_colour(
            (red, green, blue), recipe.scale, channels=recipe.channels, rule=recipe.resize_rule
        )

    @property
    def max_bytes(self) -> int:
        """Of an image that was made smaller."""
        return self._recipe.height * self._recipe.width * 3

    def scaled(self, image: ImageInput) -> ImageInput:
        """Return the pixels that the network sees, or the image where that is not smaller.

        Returns:
            uint8 (h, w, 3) RGB of the network's size; bytes or the array given.

        Raises:
            OSError: the file cannot be read.
        """
        file = file_of(image)
        if file is not None:
            image = file.read_bytes()
        if isinstance(image, bytes):
            picture = _upright(image) if len(image) > self.max_bytes else None
        else:
            picture = self._of_pixels(image)
        return image if picture is None else self._seen(picture)

    def _of_pixels(self, array: object) -> Image.Image | None:
        """Return a large array of pixels as an image; None of any other thing."""
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            return None
        if array.ndim != 3 or array.shape[2] != 3 or array.nbytes <= self.max_bytes:
            return None
        return Image.fromarray(np.ascontiguousarray(array))

    def _seen(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        recipe = self._recipe
        size = resized_size(
            *picture.size,
            rule=recipe.resize_rule,
            resize=recipe.resize,
            resize_width=recipe.resize_width,
        )
        return centre(picture, size, (recipe.width, recipe.height), self._resampling, self._fill)


def _upright(data: bytes) -> Image.Image | None:
    """Return the image as mode RGB and upright; None where it is not plainly that."""
    reader = next((one for magic, one in _READERS if data.startswith(magic)), None)
    if reader is None or ImageFile.LOAD_TRUNCATED_IMAGES:
        return None
    try:
        with reader(io.BytesIO(data)) as image:
            if not _is_plain(image, data) or image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            if orientation not in _TURNS or "transparency" in image.info:
                return None
            flat = image.convert("RGB")
    except _DAMAGED:
        return None
    turn = _TURNS[orientation]
    return flat if turn is None else flat.transpose(turn)


def _is_plain(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether it is 8-bit RGB or greyscale, and one picture."""
    is_deep = isinstance(image, PngImageFile) and data[_PNG_DEPTH] != 8
    is_moving = getattr(image, "n_frames", 1) != 1
    return image.mode in ("RGB", "L") and not is_deep and not is_moving

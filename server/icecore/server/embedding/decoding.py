"""Bytes of a JPEG, PNG or WebP file to an upright RGB image.

What is decided here, because a picture has to give the same codes however its
file says it:

- the rotation of EXIF (or XMP) is applied;
- of an animation, the first frame;
- transparency is laid on white, as a page shows it; the hidden colours below
  it never reach the network;
- 16 bits a channel become the upper 8, also in greyscale;
- CMYK is read as Adobe writes it (inverted), whether or not the marker is there;
- colour profiles are ignored: values are taken for sRGB.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from icecore.server.embedding.headers import (
    Header,
    first_scan,
    is_cut_short,
    name_format,
    read_header,
)
from icecore.server.errors import ImageInvalid, ImageTooLarge, ImageTruncated


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost.

    Pillow keeps 4 bytes a pixel, so 50 million (a 50-megapixel camera) are
    200 MB, and twice that while transparency or rotation is undone. A
    progressive JPEG pays for its whole area in every scan; encoders make about ten.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    max_scans: int = 100


LIMITS: Final = Limits()

# About a caller's EXIF or APNG chunks, which are then left out: no line for the server's log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# What Pillow's three decoders raise on damaged bytes; the fuzz test finds no others.
# Warnings are among them where the process turns those into errors, as our tests do.
_DAMAGED = (
    AssertionError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Warning,
)

# Opened directly: `Image.open` would read the further pictures of an MPO file,
# and holds a limit on pixels of its own.
_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, *, what: str = "the image", limits: Limits = LIMITS) -> Image.Image:
    """Return the image as mode RGB, upright, its pixels loaded.

    `what` begins the sentence of an error ("image 3").

    Raises:
        ImageTooLarge: more bytes, pixels or scans than `limits` allow; known
            from the header, before anything is decoded.
        ImageTruncated: it begins as an image, but lacks its end.
        ImageInvalid: no JPEG, PNG or WebP, or a damaged one.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"{what} has {len(data):,} bytes, but {limits.max_bytes:,} are the most"
        )
    header = read_header(data)
    if header is None:
        found = "empty" if not data else name_format(data) or f"no image: it begins {data[:8]!r}"
        raise ImageInvalid(f"{what} is {found}, but must be JPEG, PNG or WebP")
    _check_size(header.width, header.height, what, limits)
    if header.format == "JPEG":
        begins = first_scan(data)
        if begins < 0:
            raise _refusal(data, header, what, ValueError("no picture was found in it"))
        _check_scans(data, begins, what, limits)
    try:
        with _READERS[header.format](io.BytesIO(data)) as image:
            _check_size(image.width, image.height, what, limits)
            image.load()
            orientation = _orientation(image)
            flat = _to_rgb(image, is_16_bit=header.format == "PNG" and data[24] == 16)
    except _DAMAGED as error:
        raise _refusal(data, header, what, error) from error
    return flat.transpose(_TURNS[orientation]) if orientation in _TURNS else flat


def _check_size(width: int, height: int, what: str, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"{what} is {width:,} x {height:,} pixels, "
            f"but {limits.max_pixels:,} pixels in all are the most"
        )


def _check_scans(data: bytes, begins: int, what: str, limits: Limits) -> None:
    # Inside a scan 0xFF is always followed by 0 or a restart marker; a profile has any bytes.
    n_scans = data.count(b"\xff\xda", begins)
    if n_scans > limits.max_scans:
        raise ImageTooLarge(f"{what} has {n_scans} scans, but {limits.max_scans} are the most")


def _refusal(
    data: bytes, header: Header, what: str, error: BaseException
) -> ImageInvalid | ImageTruncated:
    if is_cut_short(data, header):
        return ImageTruncated(
            f"{what} is truncated: its {len(data):,} bytes end before the {header.format} does"
        )
    return ImageInvalid(f"{what} is a damaged {header.format}: {_sentence(error)}")


def _sentence(error: BaseException) -> str:
    if str(error) == "not identified by this driver":
        return "its header makes no sense"
    text = " ".join(str(error).split())[:200]
    return text[:1].lower() + text[1:] if text else type(error).__name__


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; a damaged EXIF block leaves the image as it lies."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image, *, is_16_bit: bool) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "P" and image.palette is None:
        raise ValueError("it has no palette")
    key = image.info.get("transparency")
    if is_16_bit and isinstance(key, tuple):  # Pillow halves the pixels, but not the key
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.has_transparency_data:
        layered = image if image.mode == "RGBA" else image.convert("RGBA")
        flat = Image.new("RGB", layered.size, "white")
        flat.paste(layered, mask=layered)
        return flat
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Return 16-bit greyscale as RGB by its upper bytes; Pillow itself would clip at 255."""
    values = np.asarray(image)
    grey = (values >> 8).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey = np.where(values == transparent, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")

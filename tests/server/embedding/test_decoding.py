"""Decoding: one picture gives the same pixels however its file says it."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from icecore.server.embedding import decoding
from icecore.server.embedding.decoding import Limits, decode
from icecore.server.embedding.headers import MOST_SEGMENTS, MOST_STRAY_BYTES, read_header
from icecore.server.errors import ImageInvalid, ImageTooLarge, ImageTruncated, InvalidArgument

WHITE = (255, 255, 255)


def picture(height: int = 24, width: int = 40) -> Image.Image:
    """A smooth picture with no symmetry, so that JPEG keeps it well."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 255 * x / width, 255 * y / height, 127 * (x + 2 * y) / (width + height)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_by_hand(
    values: npt.NDArray[np.integer], *, bits: int, colour_type: int, extra: bytes = b""
) -> bytes:
    """A PNG of these samples (h, w) or (h, w, channels), which Pillow could not write."""
    height, width = values.shape[:2]
    samples = values.astype(">u2" if bits == 16 else "u1")
    raw = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def pixels(data: bytes) -> npt.NDArray[np.uint8]:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_what_loses_nothing_gives_the_same_pixels(format_: str, options: dict[str, bool]) -> None:
    assert np.array_equal(pixels(saved(picture(), format_, **options)), np.asarray(picture()))


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_is_close_to_its_picture(mode: str) -> None:
    """Also in CMYK, whose values Adobe (and Pillow) write inverted."""
    data = saved(picture().convert(mode), "JPEG", quality=98)
    assert (b"Adobe" in data) is (mode == "CMYK")
    off = np.abs(pixels(data).astype(int) - np.asarray(picture()))
    assert off.mean() < 3, "an inversion would be off by about 100"


def test_a_cmyk_jpeg_is_read_inverted_without_adobes_marker_too() -> None:
    data = saved(picture().convert("CMYK"), "JPEG", quality=98)
    at = data.index(b"\xff\xee")
    bare = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert b"Adobe" not in bare
    assert np.array_equal(pixels(bare), pixels(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_rotated_file_stands_upright(orientation: int, format_: str) -> None:
    turn_back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = picture()
    if orientation in turn_back:
        lying = lying.transpose(turn_back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, dict[str, object]] = {
        "PNG": {},
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    found = pixels(saved(lying, format_, exif=exif.tobytes(), **options[format_]))
    assert found.shape == (24, 40, 3)
    most = 3 if format_ == "JPEG" else 0
    assert np.abs(found.astype(int) - np.asarray(picture())).mean() <= most


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_a_damaged_exif_block_leaves_the_picture_as_it_lies(exif: bytes) -> None:
    assert pixels(saved(picture(), "JPEG", exif=exif)).shape == (24, 40, 3)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(format_: str) -> None:
    others = [picture().rotate(180), picture().rotate(90)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = saved(picture(), format_, save_all=True, append_images=others, **options)
    assert np.array_equal(pixels(data), np.asarray(picture()))


def test_a_file_of_several_pictures_gives_the_first() -> None:
    data = saved(picture(), "MPO", save_all=True, append_images=[picture().rotate(180)])
    assert np.abs(pixels(data).astype(int) - np.asarray(picture())).mean() < 10


def test_16_bits_become_the_upper_8_in_colour_and_in_grey() -> None:
    random_ = np.random.default_rng(0)
    grey = random_.integers(0, 65536, (5, 7))
    colour = random_.integers(0, 65536, (5, 7, 3))
    found = pixels(png_by_hand(grey, bits=16, colour_type=0))
    assert np.array_equal(found, np.repeat((grey >> 8)[..., None], 3, axis=2))
    assert np.array_equal(pixels(png_by_hand(colour, bits=16, colour_type=2)), colour >> 8)
    spread = np.arange(256).reshape(16, 16) * 257
    assert np.array_equal(
        pixels(png_by_hand(spread, bits=16, colour_type=0))[..., 0], spread // 257
    ), "8 bits said with 16 come back"


def test_grey_and_one_bit_files_have_three_equal_channels() -> None:
    for mode in ("L", "1"):
        flat = picture().convert(mode)
        expected = np.asarray(flat.convert("L"))[..., None].repeat(3, axis=2)
        assert np.array_equal(pixels(saved(flat, "PNG")), expected)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "PNG"),
        saved(Image.new("LA", (2, 2), (10, 0)), "PNG"),
        saved(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "WEBP", lossless=True, exact=True),
        png_by_hand(
            np.full((2, 2), 0x1234), bits=16, colour_type=0, extra=chunk(b"tRNS", b"\x12\x34")
        ),
        png_by_hand(
            np.full((2, 2, 3), 0x1234),
            bits=16,
            colour_type=2,
            extra=chunk(b"tRNS", b"\x12\x34" * 3),
        ),
        png_by_hand(np.full((2, 2), 5), bits=8, colour_type=0, extra=chunk(b"tRNS", b"\x00\x05")),
        png_by_hand(
            np.zeros((2, 2), int),
            bits=8,
            colour_type=3,
            extra=chunk(b"PLTE", b"\x0a\x14\x1e") + chunk(b"tRNS", b"\x00"),
        ),
    ],
    ids=["RGBA", "LA", "WebP", "grey 16", "colour 16", "grey 8", "palette"],
)
def test_what_is_transparent_is_white_whatever_colour_hides_below(data: bytes) -> None:
    assert {tuple(pixel) for pixel in pixels(data).reshape(-1, 3).tolist()} == {WHITE}


def test_half_transparent_black_on_white_is_grey() -> None:
    assert pixels(saved(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), "PNG")).tolist() == [[[127] * 3]]


def test_a_palette_is_looked_up() -> None:
    data = saved(picture().quantize(16), "PNG")
    assert np.array_equal(pixels(data), np.asarray(picture().quantize(16).convert("RGB")))


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (50_000_001, 1)])
def test_a_huge_png_is_refused_from_its_header(size: tuple[int, int]) -> None:
    """Nothing but the header is there, so nothing else can have been read."""
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    with pytest.raises(ImageTooLarge, match=rf"image 3 is {size[0]:,} x {size[1]:,} pixels, but"):
        decode(header, what="image 3")


def test_a_huge_webp_is_refused_before_its_canvas_is_made() -> None:
    animated = saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(180)])
    data = bytearray(animated)
    assert data[12:16] == b"VP8X"
    data[24:30] = (16382).to_bytes(3, "little") * 2
    with pytest.raises(ImageTooLarge, match="16,383 x 16,383"):
        decode(bytes(data))


def test_a_huge_jpeg_is_refused_from_its_frame_header() -> None:
    data = bytearray(saved(picture(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageTooLarge, match="65,535 x 65,535"):
        decode(bytes(data))


def test_limits_on_bytes_and_scans_hold() -> None:
    data = saved(picture(), "JPEG", progressive=True)
    with pytest.raises(ImageTooLarge, match=rf"has {len(data):,} bytes, but 100 are the most"):
        decode(data, limits=Limits(max_bytes=100))
    with pytest.raises(ImageTooLarge, match=r"has \d+ scans, but 3 are the most"):
        decode(data, limits=Limits(max_scans=3))
    decode(data)


@pytest.mark.parametrize(
    "image",
    [picture(), picture().convert("L"), picture(1, 1), picture(300, 7), picture().convert("RGBA")],
    ids=["RGB", "L", "1x1", "tall", "RGBA"],
)
@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_headers_say_the_size(image: Image.Image, format_: str, options: dict[str, bool]) -> None:
    if image.mode == "RGBA" and format_ == "JPEG":
        image = image.convert("RGB")
    header = read_header(saved(image, format_, **options))
    assert header is not None
    assert (header.format, header.width, header.height) == (format_, *image.size)


class Watched(bytes):
    """Bytes that count how many of them were looked at."""

    n_seen = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.n_seen += len(found) if isinstance(found, bytes) else 1
        return found

    def find(self, sub: Any, *between: Any) -> int:
        found = super().find(sub, *between)
        some = range(len(self))[slice(*between)]
        self.n_seen += found - some[0] if found >= 0 else len(some)
        return found


# What may come, ever again, in a JPEG that has no picture; all are 4 MB.
ENDLESS = {
    "zeros": b"\0" * (1 << 22),
    "fill": b"\xff" * (1 << 22),
    "escaped": b"\xff\0" * (1 << 21),
    "restarts": b"\xff\xd0" * (1 << 21),
    "empty segments": b"\xff\xe0\0\2" * (1 << 20),
    "segments and zeros": (b"\xff\xe0\0\2" + b"\0" * 8188) * (1 << 9),
    "segments and fill": (b"\xff" * 60 + b"\xe0\0\2\0") * (1 << 16),
}


@pytest.mark.parametrize(
    "head",
    [b"\xff\xd8\xff\xe0\0\2", saved(picture(), "JPEG").partition(b"\xff\xc4")[0]],
    ids=["no size", "a size"],
)
@pytest.mark.parametrize("rest", ENDLESS.values(), ids=ENDLESS)
def test_of_a_jpeg_that_goes_on_for_ever_little_is_looked_at(
    head: bytes, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither here, which is on the event loop too, nor by Pillow, which would walk all of it:
    also not where a size was found, and the scan is missing.
    """
    data = Watched(head + rest)
    read_header(data)
    assert data.n_seen <= MOST_STRAY_BYTES + 10 * MOST_SEGMENTS
    assert_pillow_never_sees(head + rest + b"\xff\xd9", monkeypatch)


@pytest.mark.parametrize("marker", [0x02, 0xBF, 0xC8, 0xF0, 0xFD])
def test_what_is_a_segment_to_no_decoder_ends_the_walk(
    marker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would look for the next one in what it holds, byte by byte."""
    data = saved(picture(), "JPEG")
    reserved = bytes((0xFF, marker, 0xFF, 0xFF)) + bytes(65533)
    assert_pillow_never_sees(data[:20] + reserved + data[20:], monkeypatch)


def assert_pillow_never_sees(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setitem(decoding._READERS, "JPEG", lambda file: opened.append(file))
    with pytest.raises(ImageInvalid, match="a damaged JPEG: no picture was found in it"):
        decode(data)
    assert not opened


def test_a_jpeg_may_have_much_before_its_picture() -> None:
    """The largest colour profile there can be, EXIF, a comment, fill bytes and stray ones."""
    profile = random.Random(5).randbytes(255 * 65519)
    plain = saved(picture(), "JPEG", quality=98, comment=b"c" * 60_000)
    full = saved(
        picture(),
        "JPEG",
        quality=98,
        comment=b"c" * 60_000,
        icc_profile=profile,
        exif=b"Exif\0\0" + bytes(60_000),
    )
    assert len(full) > 255 * 65519
    stray = full[:2] + b"\xff" * 30_000 + full[2:20] + bytes(30_000) + full[20:]
    for data in (full, stray):
        header = read_header(data)
        assert header is not None
        assert (header.width, header.height) == picture().size
        assert np.array_equal(pixels(data), pixels(plain))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "image 1 is empty"),
        (b"hello world", "image 1 is no image: it begins b'hello wo'"),
        (b"\0" * 100, "it begins b'"),
        (saved(picture(), "GIF"), "image 1 is a GIF"),
        (saved(picture(), "BMP"), "image 1 is a BMP"),
        (saved(picture(), "TIFF"), "image 1 is a TIFF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image 1 is an SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image 1 is a HEIF or MP4"),
        (b"\xff\xd8", "image 1 is no image"),
    ],
)
def test_what_is_no_jpeg_png_or_webp_is_refused_by_name(data: bytes, found: str) -> None:
    with pytest.raises(ImageInvalid) as caught:
        decode(data, what="image 1")
    assert found in caught.value.message
    assert caught.value.message.endswith("but must be JPEG, PNG or WebP")


@pytest.mark.parametrize(
    ("format_", "n_last"), [("JPEG", 2), ("PNG", 24), ("WEBP", 1)], ids=["JPEG", "PNG", "WebP"]
)
def test_a_file_cut_anywhere_is_truncated(format_: str, n_last: int) -> None:
    """A PNG without its last 24 bytes (checksums and IEND) still has all its pixels."""
    data = saved(picture(), format_)
    for n_bytes in range(12, len(data) - n_last):
        with pytest.raises(
            ImageTruncated, match=rf"image 2 is truncated: its {n_bytes:,} bytes end"
        ):
            decode(data[:n_bytes], what="image 2")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged APNG and EXIF
def test_damaged_bytes_never_raise_anything_but_our_errors() -> None:
    seed = 20
    random_ = random.Random(seed)
    others = [picture().rotate(180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        saved(picture(), "JPEG", exif=exif.tobytes()),
        saved(picture(), "JPEG", progressive=True),
        saved(picture().convert("CMYK"), "JPEG"),
        saved(picture(), "MPO", save_all=True, append_images=others),
        saved(picture().quantize(16), "PNG", transparency=3),
        saved(picture(), "PNG", save_all=True, append_images=others, exif=exif.tobytes()),
        saved(picture(), "WEBP", exif=exif.tobytes()),
        saved(picture().convert("RGBA"), "WEBP", save_all=True, append_images=others),
    ]
    messages = []
    for _ in range(3000):
        data = bytearray(random_.choice(files))
        reach = random_.choice([40, 200, len(data)])
        for _ in range(random_.randint(1, 6)):
            data[random_.randrange(min(reach, len(data)))] = random_.randrange(256)
        try:
            decode(bytes(data), limits=Limits(max_pixels=1_000_000))
        except InvalidArgument as error:
            messages.append(error.message)
    assert len(messages) > 500, f"seed {seed}"
    assert all(message.startswith("the image ") for message in messages)
    assert not any("0x" in message for message in messages), "an address tells the caller nothing"


def test_a_palette_png_without_its_palette_is_damaged() -> None:
    data = png_by_hand(np.zeros((2, 2), np.uint8), bits=8, colour_type=3)
    with pytest.raises(ImageInvalid, match="is a damaged PNG: it has no palette"):
        decode(data)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_or_profile_that_unpacks_to_very_much_is_refused(kind: bytes) -> None:
    head = b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0"
    bomb = chunk(kind, head + zlib.compress(bytes(64 << 20), 9))
    with pytest.raises(ImageInvalid, match="decompressed data too large"):
        decode(png_by_hand(np.zeros((2, 2), np.uint8), bits=8, colour_type=0, extra=bomb))


WARNED_OF = """
import io, struct, sys, zlib
from icecore.server.embedding.decoding import decode
from PIL import Image

def saved(format_, **options):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, format_, **options)
    return file.getvalue()

entry = b"\\x12\\1\\3\\0\\xff\\xff\\xff\\x7f\\xff\\xff\\xff\\x7f"
decode(saved("JPEG", exif=b"Exif\\0\\0II*\\0\\x08\\0\\0\\0\\5\\0" + 5 * entry))
decode(saved("WEBP", exif=b"Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\xff\\xff"))
png, kind = saved("PNG"), b"acTL" + bytes(8)
animated = struct.pack(">I", 8) + kind + struct.pack(">I", zlib.crc32(kind))
decode(png[:33] + animated + png[33:])
print("decoded")
"""


def test_what_pillow_would_warn_of_is_decoded_without_a_word() -> None:
    """In a process of its own: here warnings are errors, in a server they would be lines
    among those of its log."""
    ran = subprocess.run(
        [sys.executable, "-c", WARNED_OF], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("decoded\n", "")


def test_real_files_of_all_sets_decode(shared: Path) -> None:
    for folder in sorted((shared / "datasets").iterdir()):
        files = sorted(p for p in folder.glob("*/*") if p.suffix in (".jpg", ".png"))[:5]
        for file in files:
            assert decode(file.read_bytes()).mode == "RGB", file

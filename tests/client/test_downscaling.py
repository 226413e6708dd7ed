"""What a client sends in place of a large image is what the server would have made of it."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from icecore.client import Backbone, Card, Unimplemented
from icecore.client import Recipe as Told
from icecore.client._bulk.downscaling import _READERS, Downscaler
from icecore.client._operations.backbones import recipe_value
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.decoding import decode
from icecore.server.rpc.backbone_answers import recipe as recipe_message
from icecore.wire.resizing import INTERPOLATIONS, RESIZE_RULES

NET = 16
"""Side of the network's input, so that small pictures are large ones."""


def backbone(recipe: Told) -> Backbone:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Backbone("b", "ab" * 32, recipe, Card(), 3, now, is_default=True)


def downscaler(recipe: Recipe) -> Downscaler:
    """As it is made of what the server says over the wire."""
    return Downscaler(backbone(recipe_value(recipe_message(recipe))))


def picture(size: tuple[int, int], seed: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    # More bytes than the network sees, whatever is in them.
    return file.getvalue() + bytes(3 * NET * NET)


def seen_by_server(recipe: Recipe, data: bytes) -> Any:
    return recipe.crop(decode(data))


def recipes(dice: random.Random) -> Recipe:
    return Recipe(
        height=NET,
        width=dice.choice([NET, NET - 3]),
        resize=dice.choice([NET, NET + 2, NET + 5]),
        resize_width=dice.choice([0, 0, NET + 3]),
        interpolation=dice.choice(list(INTERPOLATIONS)),
        resize_rule=dice.choice(RESIZE_RULES),
        channels=dice.choice(["RGB", "BGR"]),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        scale=dice.choice([1 / 255, 1.0, 1 / 127.5]),
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_pixels_are_the_servers_to_the_bit(seed: int) -> None:
    dice = random.Random(seed)
    recipe = recipes(dice)
    size = dice.randrange(1, 90), dice.choice([dice.randrange(1, 90), 5000])
    kind = dice.choice(["JPEG", "PNG", "WEBP"])
    mode = "RGB" if kind == "WEBP" else dice.choice(["RGB", "L"])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = dice.randrange(1, 9)
    data = encoded(picture(size, seed, mode), kind, exif=exif.tobytes(), quality=80)
    sent = downscaler(recipe).scaled(data)
    assert isinstance(sent, np.ndarray), (seed, kind, mode, size)
    assert sent.dtype == np.uint8
    assert sent.shape == (recipe.height, recipe.width, 3)
    assert np.array_equal(sent, seen_by_server(recipe, data)), (seed, recipe)


def test_pixels_are_made_smaller_as_files_are() -> None:
    recipe = Recipe(height=NET, width=NET, resize=NET + 2)
    for size in ((40, 31), (17, 200)):
        array = np.asarray(picture(size, 1))
        sent = downscaler(recipe).scaled(array)
        assert np.array_equal(np.asarray(sent), recipe.crop(Image.fromarray(array)))


def _one_bit() -> bytes:
    return encoded(picture((60, 60), 3).convert("1"), "PNG")


def _deep() -> bytes:
    values = np.random.default_rng(4).integers(0, 65536, (60, 60), np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def _deep_colour() -> bytes:
    """By hand, since Pillow reads 16 bits a colour but does not write them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    pixels = np.random.default_rng(4).integers(0, 256, (60, 60 * 6), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 60, 60, 16, 2, 0, 0, 0)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png


def _see_through(kind: str = "PNG") -> bytes:
    image = picture((60, 60), 5, "RGBA")
    image.putalpha(90)
    return encoded(image, kind)


def _keyed() -> bytes:
    return encoded(picture((60, 60), 6), "PNG", transparency=(1, 2, 3))


def _moving() -> bytes:
    frames = [picture((60, 60), seed) for seed in (7, 8)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


AS_THEY_ARE: dict[str, Callable[[], bytes]] = {
    "cmyk": lambda: encoded(picture((60, 60), 1, "CMYK"), "JPEG"),
    "palette": lambda: encoded(picture((60, 60), 2, "P"), "PNG"),
    "one bit": _one_bit,
    "16 bits": _deep,
    "16 bits a colour": _deep_colour,
    "transparent": _see_through,
    "transparent colour": _keyed,
    "webp with alpha": lambda: _see_through("WEBP"),
    "moving": _moving,
    "truncated": lambda: encoded(picture((300, 300), 9), "JPEG")[:5000],
    "gif": lambda: encoded(picture((60, 60), 1), "GIF"),
    "nothing of the kind": lambda: b"x" * 5000,
    "small": lambda: b"\xff\xd8\xff",
}


@pytest.mark.parametrize("kind", AS_THEY_ARE)
def test_what_might_be_read_in_two_ways_is_sent_as_it_is(kind: str) -> None:
    data = AS_THEY_ARE[kind]()
    if "16 bits" in kind:
        decode(data)  # it is an image all the same
    assert downscaler(Recipe(height=NET, width=NET, resize=NET)).scaled(data) is data


def test_what_would_not_be_smaller_is_sent_as_it_is(tmp_path: Path) -> None:
    scaler = downscaler(Recipe(height=NET, width=NET, resize=NET))
    assert scaler.max_bytes == 3 * NET * NET
    file = tmp_path / "x.png"
    Image.new("RGB", (500, 500)).save(file)
    assert file.stat().st_size > scaler.max_bytes
    assert isinstance(scaler.scaled(file), np.ndarray)
    small = file.read_bytes()[: scaler.max_bytes]
    arrays: list[Any] = [
        np.zeros((NET, NET, 3), np.uint8),
        np.zeros((3, NET, NET), np.float32),
        np.zeros((3, 90, 90), np.uint8),
    ]
    for image in [small, *arrays]:
        assert scaler.scaled(image) is image
    with pytest.raises(FileNotFoundError):
        scaler.scaled(tmp_path / "absent.png")


def test_a_recipe_of_a_newer_server_is_refused() -> None:
    with pytest.raises(Unimplemented, match=r"'mitchell'.*too old"):
        Downscaler(backbone(Told(8, 8, 8, interpolation="mitchell")))


def test_the_numbers_of_interpolations_are_pillows() -> None:
    for name, number in INTERPOLATIONS.items():
        assert Image.Resampling[name.upper()] == number


def test_each_magic_number_has_its_reader() -> None:
    kinds = {reader.format for _, reader in _READERS}
    assert kinds == {"JPEG", "PNG", "WEBP"}


def test_real_photos_are_the_servers_to_the_bit(shared: Path) -> None:
    recipe = Recipe(height=64, width=64, resize=72)  # so that almost all are large
    scaler, n_scaled = downscaler(recipe), 0
    files = sorted((shared / "photos").iterdir())
    for name in ("hymenoptera", "clothing", "textures-dtd10", "blood-wbc"):
        files += sorted((shared / "datasets" / name).rglob("*.[jp][pn]g"))[::80]
    for file in files:
        sent, data = scaler.scaled(file), file.read_bytes()
        if isinstance(sent, np.ndarray):
            n_scaled += 1
            assert np.array_equal(sent, seen_by_server(recipe, data)), file
        else:
            assert sent == data
    assert n_scaled > len(files) // 2

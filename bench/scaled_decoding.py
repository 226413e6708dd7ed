"""May a JPEG be decoded at 1/2, 1/4 or 1/8 of its size without changing the network's input?

libjpeg can leave out the high frequencies of each block, which makes large photos
cheaper to decode. For each scale this prints how much sooner the input is ready, and how
far it then is from that of the whole image, in grey levels before normalising: the
largest difference of any value, and the mean. icecore allows 1 grey level at most.

"Left" is how many times the scaled image's shorter side is still longer than what it is
resized to: the more is left, the less a scaled decoding should change. Images of a camera's
size are made of the photos at hand, and encoded at several qualities, with colours whole
(4:4:4) or halved (4:2:0):

- enlarged: one photo, smooth where a camera has detail;
- mosaic: many photos at their own size side by side, with all their detail;
- noise: an enlarged photo with a sensor's noise (a standard deviation of 12 levels);
- lines: red ones of 2 pixels on white, as in a map or a plot.

Usage: python bench/scaled_decoding.py [--photos DIR] [--n N]
"""

import argparse
import io
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from icecore.server.backbones.recipes.presets import assumed
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.wire.resizing import INTERPOLATIONS, centre, resized_size

SHARED = Path(__file__).parents[2] / "shared" / "datasets"
SCALES = (2, 4, 8)
SIZES = ((1600, 1200), (2400, 2096), (4000, 3000), (6000, 4400))
"""Multiples of 8, so that a scaled image shows neither more nor less than the whole one."""

ENCODINGS = ((75, "4:2:0"), (95, "4:2:0"), (95, "4:4:4"))
SEED = 7


@dataclass
class Row:
    """Of all images of one kind: grey levels, and seconds whole and scaled."""

    largest: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    whole_s: float = 0.0
    scaled_s: float = 0.0


def photos(folder: Path, n: int) -> list[Image.Image]:
    paths = sorted(folder.rglob("*.jpg"))
    found = []
    for path in paths[:: max(1, len(paths) // n)]:
        with Image.open(path) as image:
            if min(image.size) >= 200:
                found.append(image.convert("RGB"))
    return found


def images(photos: list[Image.Image], size: tuple[int, int]) -> Iterator[tuple[str, Image.Image]]:
    random = np.random.default_rng(SEED)
    width, height = size
    enlarged = photos[int(random.integers(len(photos)))].resize(size, Image.Resampling.LANCZOS)
    yield "enlarged", enlarged
    mosaic = Image.new("RGB", size)
    for top in range(0, height, 200):
        for left in range(0, width, 200):
            mosaic.paste(
                photos[int(random.integers(len(photos)))].crop((0, 0, 200, 200)), (left, top)
            )
    yield "mosaic", mosaic
    pixels = np.asarray(enlarged, np.float32)
    noisy = pixels + random.normal(0, 12, pixels.shape).astype(np.float32)
    yield "noise", Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    lines = np.full((height, width, 3), 255, np.uint8)
    lines[:, np.arange(width) % 7 < 2] = (255, 0, 0)
    yield "lines", Image.fromarray(lines)


def crop(data: bytes, recipe: Recipe, scale: int) -> npt.NDArray[np.uint8]:
    """The pixels that the network sees; target size and crop are those of the whole image."""
    with JpegImageFile(io.BytesIO(data)) as image:
        whole = image.size
        if scale > 1:
            image.draft("RGB", (whole[0] // scale, whole[1] // scale))
            assert image.size[0] == -(-whole[0] // scale), "it was decoded at another scale"
        decoded = image.convert("RGB")
    size = resized_size(*whole, rule="shorter", resize=recipe.resize, resize_width=0)
    resampling = INTERPOLATIONS[recipe.interpolation]
    return centre(decoded, size, (recipe.width, recipe.height), resampling, (0, 0, 0))


def compare(data: bytes, recipe: Recipe, rows: dict[tuple[int, int], Row]) -> None:
    """Add one file's figures to the rows of each scale and of what is left, rounded down."""
    with JpegImageFile(io.BytesIO(data)) as image:
        shorter = min(image.size)
    began = time.perf_counter()
    whole = crop(data, recipe, 1).astype(np.int64)
    whole_s = time.perf_counter() - began
    for scale in SCALES:
        left = shorter / scale / recipe.resize
        if left < 1:
            break
        began = time.perf_counter()
        scaled = crop(data, recipe, scale)
        scaled_s = time.perf_counter() - began
        difference = np.abs(whole - scaled)
        row = rows.setdefault((scale, 2 ** int(np.log2(left))), Row())
        row.largest.append(float(difference.max()))
        row.mean.append(float(difference.mean()))
        row.whole_s += whole_s
        row.scaled_s += scaled_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SHARED)
    parser.add_argument("--n", type=int, default=60)
    arguments = parser.parse_args()
    found = photos(arguments.photos, arguments.n)
    if not found:
        raise SystemExit(f"there are no JPEG files under {arguments.photos}")
    recipe = replace(assumed((224, 224)), interpolation="bicubic")
    tables: dict[tuple[str, str], dict[tuple[int, int], Row]] = {}
    for size in SIZES:
        for kind, image in images(found, size):
            for quality, colours in ENCODINGS:
                file = io.BytesIO()
                image.save(file, "JPEG", quality=quality, subsampling=colours)
                compare(file.getvalue(), recipe, tables.setdefault((kind, colours), {}))
    print(f"{date.today()}, {platform.machine()}, Pillow's bicubic, shorter side to 256\n")
    print("| image | colours | scale | left | files | largest | mean | within 1 | sooner |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (kind, colours), rows in tables.items():
        for (scale, left), row in sorted(rows.items()):
            within = np.mean(np.array(row.largest) <= 1)
            print(
                f"| {kind} | {colours} | 1/{scale} | {left}..{2 * left} x | {len(row.largest)} | "
                f"{max(row.largest):.0f} | {np.mean(row.mean):.2f} | {within:.0%} | "
                f"{row.whole_s / row.scaled_s:.1f} x |"
            )


if __name__ == "__main__":
    main()

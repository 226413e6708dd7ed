"""What may a client send in place of a photo, and what does that do to the codes?

Each way is held against the photo itself, with the default backbone's recipe: the bytes
sent, the largest difference of any value that the network sees (in grey levels), and
of its codes at a middle and at the last layer, relative to their length. The
photos are those of ../shared, and two of them enlarged to 12 megapixels, as cameras
make them.

Usage: python bench/downscaling.py [--photos N]
"""

import argparse
import io
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, __version__

from icecore.client import Client, ImageInput
from icecore.client._bulk.downscaling import Downscaler
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.decoding import decode

SHARED = Path(__file__).parents[2] / "shared"
LAYERS = (17, -1)
CAMERA = (4000, 3000)

Pixels = npt.NDArray[np.uint8]


def saved(pixels: Pixels | Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The shorter side made so long, by Lanczos, where it is longer."""
    scale = side / min(image.size)
    if scale >= 1:
        return image
    return image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )


@dataclass
class Way:
    """One way to send an image; `sent` gives its bytes and the pixels that the network sees."""

    name: str
    sent: Callable[[Image.Image, Pixels], tuple[int, Pixels]]
    n_bytes: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    codes: list[list[float]] = field(default_factory=list)


def ways(recipe: Recipe) -> list[Way]:
    resize = recipe.resize

    def as_seen(
        kind: str, **options: object
    ) -> Callable[[Image.Image, Pixels], tuple[int, Pixels]]:
        def send(_: Image.Image, seen: Pixels) -> tuple[int, Pixels]:
            data = saved(seen, kind, **options)
            return len(data), np.asarray(decode(data))

        return send

    def smaller(
        factor: int, kind: str, **options: object
    ) -> Callable[[Image.Image, Pixels], tuple[int, Pixels]]:
        def send(image: Image.Image, _: Pixels) -> tuple[int, Pixels]:
            data = saved(reduced(image, factor * resize), kind, **options)
            return len(data), recipe.crop(decode(data))

        return send

    found = [
        Way("pixels as the network sees them", lambda _, seen: (seen.nbytes, seen)),
        Way("these as PNG", as_seen("PNG")),
        Way("these as JPEG, quality 95, 4:4:4", as_seen("JPEG", quality=95, subsampling=0)),
    ]
    found += [
        Way(
            f"photo at {factor} x {resize}, JPEG, quality {quality}",
            smaller(factor, "JPEG", quality=quality),
        )
        for factor, quality in ((2, 95), (2, 85), (4, 95))
    ]
    return [*found, Way(f"photo at 2 x {resize}, PNG", smaller(2, "PNG"))]


def photos(n: int) -> list[bytes]:
    files = []
    for name in ("hymenoptera", "clothing", "textures-dtd10"):
        every = sorted((SHARED / "datasets" / name).rglob("*.jpg"))
        files += every[:: max(1, len(every) * 3 // n)]
    return [path.read_bytes() for path in files[:n]]


def camera_photos() -> list[bytes]:
    return [
        saved(decode((SHARED / "photos" / name).read_bytes()).resize(CAMERA), "JPEG", quality=92)
        for name in ("parrot.jpg", "hot_dog.jpg")
    ]


def compare(
    client: Client, recipe: Recipe, scaler: Downscaler, data: bytes, all_ways: list[Way]
) -> None:
    image = decode(data)
    seen = recipe.crop(image)
    mine = scaler.scaled(data)
    if isinstance(mine, np.ndarray):
        assert np.array_equal(mine, seen), "what the client makes is not what the server sees"
    variants: list[ImageInput] = []
    for way in all_ways:
        n_bytes, pixels = way.sent(image, seen)
        way.n_bytes.append(n_bytes)
        way.levels.append(int(np.abs(pixels.astype(int) - seen).max()))
        variants.append(recipe.normalise(pixels))
    found = client.embed([recipe.normalise(seen), *variants], layers=list(LAYERS))
    for place, way in enumerate(all_ways, start=1):
        way.codes.append(
            [
                float(
                    np.linalg.norm(one.values[place] - one.values[0])
                    / np.linalg.norm(one.values[0])
                )
                for one in found
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=90)
    options = parser.parse_args()
    if not (SHARED / "photos").is_dir():
        raise SystemExit("the photos of ../shared are not there")
    print(f"{date.today()}  {platform.machine()}, Pillow {__version__}")
    with tempfile.TemporaryDirectory() as folder, Client(data=folder) as client:
        backbone = client.backbone()
        recipe = Recipe.from_json(asdict(backbone.recipe))
        scaler = Downscaler(backbone)
        for title, images in (
            (f"{options.photos} photos as they are", photos(options.photos)),
            ("2 photos of 12 megapixels", camera_photos()),
        ):
            all_ways = ways(recipe)
            for data in images:
                compare(client, recipe, scaler, data, all_ways)
            size = statistics.mean(len(data) for data in images)
            print(f"\n{title}, {size / 1e3:,.0f} KB each; {backbone.name}, resize {recipe.resize}")
            print(f"{'':42} {'KB':>7} {'levels':>7}  codes off by, mean and worst, depth 17 / last")
            for way in all_ways:
                codes = np.array(way.codes) * 100
                off = "   ".join(
                    f"{mean:5.2f} % {worst:5.2f} %"
                    for mean, worst in zip(codes.mean(axis=0), codes.max(axis=0), strict=True)
                )
                size = statistics.mean(way.n_bytes) / 1e3
                print(f"{way.name:42} {size:7,.0f} {max(way.levels):7}  {off}")


if __name__ == "__main__":
    main()

"""Does the recipe check find a wrong recipe, and leave a right one alone?

Networks whose recipe is known, each stored rightly and in several wrong ways, are
checked on the labelled photos beside the checkout, with ImageNet's class names and without.
A line says "not found" when a wrong recipe was left alone, and "WRONG" when the suggested one
is more than a grey level from the right one. On sets unlike ImageNet, which tell nothing
of a recipe, nothing may be suggested.

Usage: python bench/recipe_check.py [--photos N] [--network NAME]...
"""

import argparse
import asyncio
import lzma
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded
from icecore.server.training.recipe_check import RecipeChecker
from icecore.server.training.recipe_check_trials import levels_apart

SHARED = Path(__file__).parents[2] / "shared"
RIGHT = {
    "efficientnet-lite0": "lite",
    "squeezenet1.1": "imagenet",
    "mobilenetv2": "tensorflow",
    "resnet50": "imagenet",
}
SETS = {
    "hymenoptera": True,
    "clothing": False,
    "textures-dtd10": False,
    "blood-wbc": False,
    "cifar10": False,
    "omniglot-alphabets": False,
}
"""Whether photos of this set shall tell; on the others only the right recipe is checked."""


def graph(name: str) -> bytes:
    if name == efficientnet_lite0.NAME:
        return efficientnet_lite0.build(efficientnet_lite0.read_weights())
    packed = SHARED / "models" / f"{name}.onnx.xz"
    if packed.exists():
        return lzma.decompress(packed.read_bytes())
    return (SHARED / "models" / f"{name}.onnx").read_bytes()


def recipes(right: str) -> Iterator[tuple[str, Recipe]]:
    plain = assumed((224, 224))
    yield "right", PRESETS[right].of(plain)
    for name, preset in PRESETS.items():
        recipe = preset.of(plain)
        if levels_apart(recipe, PRESETS[right].of(plain)) > 1.5:
            yield name, recipe
    turned = PRESETS[right].of(plain)
    mean, std = turned.mean[::-1], turned.std[::-1]
    yield "turned around", replace(turned, channels="BGR", mean=mean, std=std)


def photos(name: str, n: int) -> tuple[list[Encoded], list[str]]:
    folders = sorted(path for path in (SHARED / "datasets" / name).iterdir() if path.is_dir())
    a_class = n // len(folders)
    found = [path for folder in folders for path in islice(sorted(folder.iterdir()), a_class)]
    return [Encoded(path.read_bytes()) for path in found], [path.parent.name for path in found]


async def check(name: str, set_name: str, n: int, checker: RecipeChecker) -> None:
    images, labels = photos(set_name, n)
    classes = (SHARED / "models" / "imagenet_labels.txt").read_text().splitlines()
    right = PRESETS[RIGHT[name]].of(assumed((224, 224)))
    data = graph(name)
    for stored, recipe in islice(recipes(RIGHT[name]), None if SETS[set_name] else 1):
        backbone = Backbone.read(name, data, recipe)
        for class_names in ((), classes) if SETS[set_name] else ((),):
            began = time.perf_counter()
            report = await checker.check(backbone, images, labels, class_names)
            seconds = time.perf_counter() - began
            before, found = report.trials[0], report.trials[report.suggested]
            mark = "WRONG" if report.suggested else "not found"
            if levels_apart(found.recipe, right) <= 1.5:
                mark = ""
            top_1 = f"{before.accuracy:.3f} → {found.accuracy:.3f}" if class_names else ""
            print(
                f"| {name} | {set_name} | {'yes' if class_names else 'no'} | {stored} | "
                f"{found.change or 'nothing'} | {top_1} | "
                f"{before.confidence:.2f} → {found.confidence:.2f} | "
                f"{before.agreement:.2f} → {found.agreement:.2f} | {seconds:.0f} | "
                f"{mark} |",
                flush=True,
            )


async def run(names: list[str], n: int) -> None:
    embedder = Embedder(Sessions(max_bytes=1 << 30, threads=2), threads=2)
    checker = RecipeChecker(embedder)
    for name in names:
        for set_name in SETS:
            await check(name, set_name, n, checker)
    embedder.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--network", action="append", choices=sorted(RIGHT))
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        raise SystemExit("real images and weights are not beside this checkout (../shared)")
    print(f"{date.today()}, {platform.machine()}, {arguments.photos} photos a check\n")
    print(
        "| network | photos | class names | stored | suggested | top-1 | confidence | probe | s | |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    asyncio.run(run(arguments.network or list(RIGHT), arguments.photos))


if __name__ == "__main__":
    main()

"""The whole core of every backbone over every labelled set, one pass an image, once.

All layers that have a depth, average-pooled, float32, as trained and before their threshold, and
the logits where there are any: decoded, prepared and run as the server does it. What is
in the cache already, of the same network and recipe, is left alone. The other
programs of this folder read it.

Usage: nice python bench/science/cores.py [--cache DIR] [--network NAME]... [--set NAME]...
Needs ../shared, and says so where it is absent.
"""

import argparse
import asyncio
import hashlib
import lzma
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.server.backbones.admission.admitting import admit
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0 as lite0
from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded
from icecore.wire.taps import Activation, TapId
from science.core_files import CACHE, LOGITS, Core, CoreMissing, FloatArray, LayerFacts

SHARED = Path(__file__).resolve().parents[3] / "shared"
SETS = ("hymenoptera", "clothing", "textures-dtd10", "cifar10", "blood-wbc", "omniglot-alphabets")
FILES = {
    "squeezenet1.1": ("squeezenet1.1.onnx", "imagenet", 224),
    "mobilenetv2": ("mobilenetv2.onnx", "tensorflow", 224),
    "resnet50": ("resnet50.onnx.xz", "imagenet", 224),
    "resnet56-cifar10": ("resnet56-cifar10.onnx", "imagenet", 32),
    "alexnet-pool5": ("alexnet-pool5.onnx", "imagenet", 227),
}
"""File, preset of the recipe, and side of the input."""
THREE = (lite0.NAME, "squeezenet1.1", "mobilenetv2")
AT_ONCE = 32
"""Images a call: each is run by itself, as a lone one would be."""


def backbone_of(name: str) -> Backbone:
    """Return a backbone as the server has it: the default one, or what admission makes of a file.

    Raises:
        KeyError: no such name.
    """
    if name == lite0.NAME:
        return Backbone.read(name, lite0.build(lite0.read_weights()), lite0.RECIPE)
    file, preset, side = FILES[name]
    data = (SHARED / "models" / file).read_bytes()
    if file.endswith(".xz"):
        data = lzma.decompress(data)
    admitted = admit(data, recipe=PRESETS[preset].of(assumed((side, side))))
    return Backbone.read(name, admitted.graph, admitted.recipe)


def images_of(set_name: str) -> list[Path]:
    """Return a set's images, sorted by class and name."""
    folders = sorted(path for path in (SHARED / "datasets" / set_name).iterdir() if path.is_dir())
    return [path for folder in folders for path in sorted(folder.iterdir())]


def taps_of(backbone: Backbone) -> dict[str, TapId]:
    """Return the taps of a core by the names of their arrays."""
    taps = {}
    for layer in backbone.ranked:
        taps[f"d{layer.depth:02}"] = backbone.tap(layer)
        if layer.thresholded:
            taps[f"n{layer.depth:02}"] = backbone.tap(layer, Activation.NONE)
    for layer in backbone.layers:
        if layer.role == "logits":
            taps[LOGITS] = backbone.tap(layer)
    return taps


def facts_of(backbone: Backbone) -> tuple[LayerFacts, ...]:
    """Return the layers that have a depth, in its order."""
    return tuple(
        LayerFacts(
            name=layer.name,
            depth=layer.depth,
            channels=layer.channels,
            height=layer.height,
            width=layer.width,
            stride=layer.stride,
            params=layer.params,
            macs=layer.macs,
        )
        for layer in backbone.ranked
        if layer.depth is not None
    )


async def core_of(embedder: Embedder, backbone: Backbone, set_name: str) -> Core:
    """Return the core over a set, computed; progress goes to standard error."""
    taps, paths = taps_of(backbone), images_of(set_name)
    parts: list[list[FloatArray]] = []
    sha: list[str] = []
    began = time.perf_counter()
    for first in range(0, len(paths), AT_ONCE):
        files = [path.read_bytes() for path in paths[first : first + AT_ONCE]]
        sha += [hashlib.sha256(data).hexdigest() for data in files]
        images = [Encoded(data) for data in files]
        embedded = await embedder.embed(backbone, list(taps.values()), images, is_background=True)
        parts.append([codes.astype(np.float32, copy=False) for codes in embedded.codes])
        ms = 1e3 * (time.perf_counter() - began) / len(sha)
        print(
            f"\r{backbone.name}, {set_name}: {len(sha)} of {len(paths)}, {ms:.1f} ms an image ",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    return Core(
        backbone=backbone.name,
        digest=backbone.digest,
        set=set_name,
        layers=facts_of(backbone),
        labels=[path.parent.name for path in paths],
        ids=[f"{path.parent.name}/{path.name}" for path in paths],
        sha=sha,
        codes={
            key: np.concatenate(arrays)
            for key, arrays in zip(taps, zip(*parts, strict=True), strict=True)
        },
    )


def is_there(cache: Path, backbone: Backbone, set_name: str) -> bool:
    """Whether the cache has the core of this network and recipe over this set's images."""
    try:
        core = Core.read(cache, backbone.name, set_name)
    except CoreMissing:
        return False
    return core.digest == backbone.digest and len(core.ids) == len(images_of(set_name))


async def compute(names: Sequence[str], sets: Sequence[str], cache: Path) -> None:
    """Fill the cache."""
    embedder = Embedder(Sessions(max_bytes=1 << 30, threads=1), threads=1)
    for name in names:
        backbone = backbone_of(name)
        for set_name in sets:
            if is_there(cache, backbone, set_name):
                print(f"{name}, {set_name}: there already")
                continue
            core = await core_of(embedder, backbone, set_name)
            print(f"{name}, {set_name}: {core.write(cache)}", flush=True)
    embedder.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--network", action="append", choices=[lite0.NAME, *FILES])
    parser.add_argument("--set", action="append", choices=SETS)
    arguments = parser.parse_args()
    if not (SHARED / "datasets").is_dir():
        print("bench/science/cores.py needs images and weights in ../shared, which is absent")
        return
    asyncio.run(compute(arguments.network or THREE, arguments.set or SETS, arguments.cache))


if __name__ == "__main__":
    main()

"""What is served and sent: a network cut at its last layer with pooling, a tensor, a photo."""

import io
import json
import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from icecore.server.backbones.admission.house_form.house import bring_home, input_size
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0 as lite0
from icecore.server.backbones.recipes.sources import RecipeFile, recipe_of_file
from icecore.server.backbones.running.cutting import cut

SHARED = Path(__file__).resolve().parents[3] / "shared"
PHOTO = SHARED / "datasets" / "hymenoptera" / "ants" / "24335309_c5ea483bb8.jpg"
FILES = {"resnet50": "resnet50.onnx.xz"}
NETWORKS = (lite0.NAME, *FILES)
SEED = 20240229
RECIPE_FILE = RecipeFile("recipe.toml", b'preset = "imagenet"')


class NetworkMissing(Exception):
    """Its file is not beside this checkout; the sentence says which."""


@dataclass(frozen=True)
class Network:
    """A backbone; `file` is what an administrator adds, None for the default one."""

    backbone: Backbone
    file: bytes | None

    @property
    def name(self) -> str:
        return self.backbone.name

    def cut(self) -> bytes:
        """Return the ONNX file up to the last layer, averaged: what a default Embed runs."""
        last = [layer for layer in self.backbone.layers if layer.depth][-1]
        return cut(self.backbone.graph, [self.backbone.tap(last)])

    def recipe_json(self) -> str:
        return json.dumps(self.backbone.recipe.to_json())

    def input_of(self, jpeg: bytes) -> npt.NDArray[np.float32]:
        """Return (1, 3, h, w) of an encoded image, by the recipe."""
        with Image.open(io.BytesIO(jpeg)) as image:
            return self.backbone.recipe.apply(image.convert("RGB"))[None]


@cache
def network(name: str) -> Network:
    """Return a network by name; EfficientNet-Lite0 is always there.

    Raises:
        NetworkMissing: ../shared/models is not beside this checkout.
    """
    if name == lite0.NAME:
        graph = lite0.build(lite0.read_weights())
        return Network(Backbone.read(name, graph, lite0.RECIPE), None)
    path = SHARED / "models" / FILES[name]
    if not path.is_file():
        raise NetworkMissing(f"{name}: ../shared/models/{path.name} is not beside this checkout")
    data = lzma.decompress(path.read_bytes())
    recipe = recipe_of_file(RECIPE_FILE, input_size(data), "NCHW")
    return Network(Backbone.read(name, bring_home(data, None).graph, recipe), data)


@cache
def photo() -> bytes:
    """Return a JPEG of 500 x 375 pixels, 39 KB; one drawn by code where no photo is at hand."""
    if PHOTO.is_file():
        return PHOTO.read_bytes()
    random = np.random.default_rng(SEED)
    coarse = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC))
    noise = random.normal(0, 6, smooth.shape)
    pixels = (smooth + noise).clip(0, 255).astype(np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=75)
    return kept.getvalue()


def tensor(shape: tuple[int, ...] = (3, 224, 224)) -> npt.NDArray[np.float32]:
    """Return what may come after a recipe: normal, of mean 0 and variance 1."""
    return np.random.default_rng(SEED).normal(0, 1, shape).astype(np.float32)


def bare_codes(graph: bytes, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return plain ONNX Runtime's answer, the reference for all servers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    codes: Any = session.run(None, {source.name: inputs})[0]
    return np.asarray(codes, np.float32)

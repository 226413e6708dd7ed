"""How networks are usually fed: channel order, scale, mean and std, by name.

A network that was trained on one of these is wrong, but rarely silent, on another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from icecore.server.backbones.recipes.recipe import MAX_SIDE, TO_UNIT, Recipe, Triple


@dataclass(frozen=True, slots=True)
class Preset:
    """`mean` and `std` are of pixels multiplied by `scale`, in the order of `channels`."""

    words: str
    mean: Triple
    std: Triple
    scale: float = TO_UNIT
    channels: str = "RGB"

    def of(self, recipe: Recipe) -> Recipe:
        """Return the recipe with this arithmetic; sizes and interpolation stay."""
        return replace(
            recipe, mean=self.mean, std=self.std, scale=self.scale, channels=self.channels
        )


_CROP_PCT: Final = 0.875
_SMALL: Final = 64

PRESETS: Final[Mapping[str, Preset]] = {
    # torchvision, timm and nearly all of PyTorch: statistics of ImageNet's training images.
    "imagenet": Preset(
        "mean .485 .456 .406, std .229 .224 .225", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ),
    # TensorFlow's slim and Keras' "tf" mode: -1..1.
    "tensorflow": Preset("-1..1 (mean and std 127.5)", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    # EfficientNet-Lite and other networks of TensorFlow Lite.
    "lite": Preset("mean 127, std 128", (127 / 255,) * 3, (128 / 255,) * 3),
    # OpenAI's CLIP and what descends from it.
    "clip": Preset(
        "CLIP's mean .481 .458 .408 and std .269 .261 .276",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "unit": Preset("0..1 without mean and std", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "raw": Preset("0..255 without mean and std", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale=1.0),
    # Caffe's model zoo and Keras' "caffe" mode: BGR, only the mean is taken off.
    "caffe": Preset(
        "BGR 0..255 with mean 103.939 116.779 123.68",
        (103.939, 116.779, 123.68),
        (1.0, 1.0, 1.0),
        scale=1.0,
        channels="BGR",
    ),
}


def assumed(size: tuple[int, int]) -> Recipe:
    """Return what most ImageNet networks are evaluated with, for inputs of (height, width).

    The shorter side is resized to 8/7 of the crop, bilinear, with ImageNet's
    mean and std: torchvision's reference, from which most files without a
    recipe come. Networks for inputs of 64 pixels or less (CIFAR's) see the
    whole image.
    """
    height, width = size
    share = 1.0 if max(size) <= _SMALL else _CROP_PCT
    bare = Recipe(
        height=height,
        width=width,
        resize=min(MAX_SIDE, int(height / share)),
        resize_width=min(MAX_SIDE, int(width / share)),
        interpolation="bilinear",
    )
    return PRESETS["imagenet"].of(bare)

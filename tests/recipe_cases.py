"""What timm's evaluation transform makes of small images, for tests with and without torch.

`golden/recipes.json` holds its pixels; tests/export compares them with timm, the
others compare icecore with them.
"""

import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

GOLDEN = Path(__file__).parent / "golden" / "recipes.json"

Pixels: TypeAlias = npt.NDArray[np.uint8]

_CONFIGS: tuple[dict[str, Any], ...] = (
    {"input_size": [3, 8, 8], "crop_pct": 0.875},
    {"input_size": [3, 9, 9], "crop_pct": 0.8},
    {"input_size": [3, 8, 8], "crop_pct": 1.2},
    {"input_size": [3, 6, 10], "crop_pct": 0.9},
    {"input_size": [3, 8, 9], "crop_pct": 0.9, "crop_mode": "squash"},
    {"input_size": [3, 8, 8], "crop_pct": 1.0, "crop_mode": "border"},
    {"input_size": [3, 9, 7], "crop_pct": 0.9, "crop_mode": "border"},
)
_SIZES = ((37, 23), (16, 41), (5, 3))

CASES: tuple[tuple[str, dict[str, Any], tuple[int, int]], ...] = tuple(
    (
        f"{index} {interpolation} {size[0]}x{size[1]}",
        {**config, "interpolation": interpolation},
        size,
    )
    for index, config in enumerate(_CONFIGS)
    for interpolation in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
    for size in _SIZES
)
"""A name, a `pretrained_cfg`, and the (width, height) of the image."""


def drawing(width: int, height: int) -> Image.Image:
    """The same on every machine: slopes of three steepnesses that wrap around."""
    down, across = np.mgrid[:height, :width]
    steps = np.stack([7 * across + 3 * down, 31 * across, 90 * down + across], axis=2)
    return Image.fromarray((steps % 256).astype(np.uint8))


def golden() -> dict[str, Pixels]:
    """timm's (h, w, 3) pixels for each case, before normalising."""
    texts: dict[str, str] = json.loads(GOLDEN.read_text())
    sizes = {name: config["input_size"] for name, config, _ in CASES}
    return {
        name: np.frombuffer(bytes.fromhex(text), np.uint8).reshape(*sizes[name][1:], 3)
        for name, text in texts.items()
    }

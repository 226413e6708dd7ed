"""Each image looked at once: its pixels, its gradients, and its codes under random twins."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from icecore.probes.advising.advice import TWIN_SEEDS, Baselines
from icecore.probes.advising.descriptors import hog, pixels
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.backbones.twins import random_twin
from icecore.server.embedding.images import Pixels
from icecore.server.embedding.keeping import reopened
from icecore.server.embedding.preparing import is_cropped, rows, to_floats, to_rgb

FloatArray = npt.NDArray[np.float32]

PIXELS_SIDE: Final = 32
"""As in the classic sets of small images; a linear probe makes nothing of more."""

HOG_SIDE: Final = 96
"""4,356 values: more than EfficientNet-Lite0's widest layer, so that size does not decide."""

THUMBNAIL_SIDE: Final = 96

_BATCH: Final = 16
_SESSION_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What baselines are judged by, and JPEGs of the images that are to be shown."""

    baselines: Baselines
    thumbnails: Mapping[int, bytes]


class Twins:
    """Random twins of a backbone, one a seed, made of some of the images themselves."""

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        calibration: Sequence[bytes],
        on_share: Callable[[float], None],
    ) -> None:
        """Draw the weights; `layers` are those that will be read.

        Raises:
            CalibrationInvalid: images that are all the same.
            BackboneNotFloat, GraphInvalid: as `random_twin`.
        """
        self._recipe, self._layers = backbone.recipe, layers
        inputs = np.stack(
            [to_floats(reopened(data), backbone.recipe, what="an image") for data in calibration]
        )
        self._twins = []
        for seed in range(TWIN_SEEDS):
            on_share(seed / TWIN_SEEDS)
            graph = random_twin(backbone.graph, inputs, seed=seed)
            self._twins.append(Backbone.read(f"twin {seed}", graph, backbone.recipe))

    def look(
        self,
        images: Iterator[bytes],
        n: int,
        *,
        shown: frozenset[int],
        on_share: Callable[[float], None],
    ) -> Looked:
        """Return what `n` images say, decoded once each; `shown` are the rows of thumbnails.

        Raises:
            ImageInvalid, ImageTruncated, ImageTooLarge: naming the image by its place.
        """
        small = np.empty((n, PIXELS_SIDE, PIXELS_SIDE, 3), np.uint8)
        middle = np.empty((n, HOG_SIDE, HOG_SIDE, 3), np.uint8)
        codes: list[dict[str, list[FloatArray]]] = [
            {name: [] for name in self._layers} for _ in self._twins
        ]
        thumbnails: dict[int, bytes] = {}
        sessions = Sessions(max_bytes=_SESSION_BYTES, threads=1)
        for first in range(0, n, _BATCH):
            inputs = []
            for row in range(first, min(first + _BATCH, n)):
                what, image = f"image {row}", reopened(next(images))
                shape = to_rgb(image, what=what)
                is_cut = isinstance(image, Pixels) and is_cropped(image, self._recipe)
                crop = rows(image) if is_cut else self._recipe.crop(shape)  # type: ignore[arg-type]
                inputs.append(self._recipe.normalise(crop))
                small[row], middle[row] = _resized(shape, PIXELS_SIDE), _resized(shape, HOG_SIDE)
                if row in shown:
                    thumbnails[row] = _thumbnail(shape)
            for twin, found in zip(self._twins, codes, strict=True):
                taps = [twin.tap(twin.layer(f"name:{name}")) for name in self._layers]
                for name, part in zip(
                    self._layers, sessions.run(twin, taps, np.stack(inputs)), strict=True
                ):
                    found[name].append(part)
            on_share(min(1.0, (first + _BATCH) / n))
        sessions.close()
        return Looked(
            Baselines(
                pixels(small),
                hog(middle),
                [{name: np.concatenate(parts) for name, parts in one.items()} for one in codes],
            ),
            thumbnails,
        )


def _resized(image: Image.Image, side: int) -> npt.NDArray[np.uint8]:
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return file.getvalue()

"""Codes computed again from kept images, for taps that are not stored."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.keeping import reopened
from icecore.server.errors import ExampleNotFound
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import ExampleRecord
from icecore.wire.taps import TapId

OnProgress: TypeAlias = Callable[[float], None]

_IMAGES_AT_ONCE = 32


class ImageChanged(Exception):
    """A kept image is not the one of the snapshot any more."""

    def __init__(self, example_id: str) -> None:
        super().__init__(example_id)
        self.example_id = example_id


class Recomputing:
    """The codes of a collection's examples at some taps, as far as they were computed.

    They are known by example and image digest, so that what was computed for
    one snapshot serves the next one.
    """

    def __init__(
        self,
        store: TenantStore,
        collection_id: str,
        embedder: Embedder,
        backbone: Backbone,
        taps: Sequence[TapId],
    ) -> None:
        self._store = store
        self._collection_id = collection_id
        self._embedder = embedder
        self._backbone = backbone
        self._taps = taps
        self._made: dict[tuple[str, str], tuple[npt.NDArray[np.float32], ...]] = {}

    async def fill(self, examples: Sequence[ExampleRecord], on_progress: OnProgress | None) -> None:
        """Compute what is missing for these examples, some images at a time.

        Raises:
            ImageChanged: an image was deleted or replaced since the snapshot.
        """
        if not self._taps:
            return
        missing = [example for example in examples if _key(example) not in self._made]
        for first in range(0, len(missing), _IMAGES_AT_ONCE):
            some = missing[first : first + _IMAGES_AT_ONCE]
            images = await asyncio.to_thread(self._read_images, some)
            embedded = await self._embedder.embed(
                self._backbone,
                self._taps,
                images,
                tenant_id=self._store.tenant_id,
                names=[f"the image of example {example.example_id!r}" for example in some],
                is_background=True,
            )
            for place, example in enumerate(some):
                self._made[_key(example)] = tuple(
                    codes[place].astype(np.float32, copy=False).reshape(-1)
                    for codes in embedded.codes
                )
            if on_progress is not None:
                on_progress(1 - (len(missing) - first - len(some)) / len(examples))

    def codes(self, tap: TapId, examples: Sequence[ExampleRecord]) -> npt.NDArray[np.float32]:
        """Return (n, d) float32 for these examples, all of which were computed."""
        place = list(self._taps).index(tap)
        if not examples:
            return np.zeros((0, n_dims(tap, self._backbone.layer_of(tap))), np.float32)
        return np.stack([self._made[_key(example)][place] for example in examples])

    def _read_images(self, examples: Sequence[ExampleRecord]) -> list[ImageInput]:
        images: list[ImageInput] = []
        for example in examples:
            try:
                data = self._store.image(self._collection_id, example.example_id)
            except ExampleNotFound as error:
                raise ImageChanged(example.example_id) from error
            if hashlib.sha256(data).hexdigest() != example.image_sha256:
                raise ImageChanged(example.example_id)
            images.append(reopened(data))
        return images


def n_dims(tap: TapId, layer: Layer) -> int:
    """Return how many values an image has at this tap."""
    return prod(codes_shape(layer, tap.pooling))


def _key(example: ExampleRecord) -> tuple[str, str]:
    return example.example_id, example.image_sha256

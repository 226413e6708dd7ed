"""What one call of the embedder wants, checked before anything is done."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.embedding.decoding import LIMITS, Limits
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.preparing import check, prepare
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Ran
from icecore.server.errors import ImagesEmpty, ImagesTooMany, InvalidArgument
from icecore.wire.taps import TapId

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may ask: images, bytes of codes (as float32), and each image's own limits."""

    max_images: int = 1024
    max_code_bytes: int = 128 << 20
    image: Limits = LIMITS


CALL_LIMITS: Final = CallLimits()


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Some images at some taps of one backbone, for a tenant, until a deadline.

    Args:
        names: what to call each image in an error; none: "image 0" and so on.
        deadline: of `time.monotonic`; images are not started after it.
    """

    backbone: Backbone
    taps: tuple[TapId, ...]
    images: Sequence[ImageInput]
    names: Sequence[str] = ()
    tenant_id: str = ""
    priority: Priority = Priority.INTERACTIVE
    deadline: float | None = None
    limits: CallLimits = CALL_LIMITS

    layers: tuple[Layer, ...] = field(init=False, repr=False)
    """One a tap."""
    shapes: tuple[tuple[int, ...], ...] = field(init=False, repr=False)
    """The shape of one image's codes, one a tap."""

    def __post_init__(self) -> None:
        """Raises TapMismatch, LayerNotFound."""
        layers = tuple(map(self.backbone.layer_of, self.taps))
        object.__setattr__(self, "layers", layers)
        shapes = (codes_shape(one, tap.pooling) for one, tap in zip(layers, self.taps, strict=True))
        object.__setattr__(self, "shapes", tuple(shapes))

    @property
    def deepest(self) -> str:
        """The name of the layer that the pass ends at."""
        return max(self.layers, key=lambda one: one.macs).name

    def name_of(self, index: int) -> str:
        """Return what to call an image in an error."""
        return self.names[index] if self.names else f"image {index}"

    def check(self) -> None:
        """Raise what can be known without decoding.

        Raises:
            ImagesEmpty, ImagesTooMany, TapMismatch, LayerNotFound.
            TensorInvalid, ImageTooLarge: naming the first bad image; `details["image"]` is
                its index.
        """
        if not self.images:
            raise ImagesEmpty("there are no images; at least one is needed")
        if len(self.images) > self.limits.max_images:
            raise ImagesTooMany(
                f"there are {len(self.images):,} images, "
                f"but {self.limits.max_images:,} at once are the most"
            )
        self._check_codes()
        for index, image in enumerate(self.images):
            try:
                check(
                    image, self.backbone.recipe, what=self.name_of(index), limits=self.limits.image
                )
            except InvalidArgument as error:
                error.details["image"] = str(index)
                raise

    def piece(
        self,
        index: int,
        taps: tuple[TapId, ...],
        answer: asyncio.Future[Ran],
        keep: Callable[[list[FloatArray]], None],
    ) -> Piece:
        """Return the work of one image at some of the taps."""
        return Piece(
            backbone=self.backbone,
            taps=taps,
            prepare=partial(self._prepare, index),
            keep=keep,
            answer=answer,
            tenant_id=self.tenant_id,
            priority=self.priority,
            deadline=self.deadline,
            image=self.images[index],
        )

    def _prepare(self, index: int) -> npt.NDArray[Any]:
        try:
            return prepare(
                self.images[index],
                self.backbone.recipe,
                what=self.name_of(index),
                limits=self.limits.image,
            )
        except InvalidArgument as error:
            error.details["image"] = str(index)
            raise

    def _check_codes(self) -> None:
        n_values = sum(map(prod, self.shapes))
        n_images = len(self.images)
        n_fit = self.limits.max_code_bytes // (4 * n_values)
        if n_images > n_fit:
            way_out = f"send {n_fit:,} at once, or" if n_fit else "read fewer layers or"
            raise ImagesTooMany(
                f"the codes of {n_images:,} images at {len(self.taps)} layers have "
                f"{4 * n_values * n_images:,} bytes, but {self.limits.max_code_bytes:,} are the "
                f"most: {way_out} pool them"
            )

"""Images to codes, off the event loop: decode, take turns, run.

Decoding runs in several threads, a few images ahead; the network in one, since
its session spreads over the cores itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from math import prod
from time import perf_counter

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.decoding import LIMITS, Limits
from icecore.server.embedding.gathering import Embedded, Gathering, Timings, checked_dtype
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.preparing import check, prepare
from icecore.server.embedding.scheduling import Done, Lane, Room
from icecore.server.errors import ImagesEmpty, ImagesTooMany, InvalidArgument
from icecore.wire.taps import TapId

__all__ = ["Embedded", "Embedder", "Timings"]


class Embedder:
    """Runs the cut networks of `sessions` on images.

    `batch` images go through the network at once. Codes of an image do not
    depend on its neighbours (see tests for the tolerance).
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        threads: int,
        max_waiting_images: int = 4096,
        max_images_a_call: int = 1024,
        max_code_bytes_a_call: int = 128 << 20,
        batch: int = 8,
        limits: Limits = LIMITS,
    ) -> None:
        self._sessions = sessions
        self._max_images_a_call = max_images_a_call
        self._max_code_bytes_a_call = max_code_bytes_a_call
        self._batch = batch
        self._limits = limits
        self._room = Room(max_waiting_images)
        self._decoding = Lane("decode", threads=threads)
        self._computing = Lane("compute", threads=1)

    async def embed(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        images: Sequence[ImageInput],
        *,
        dtype: npt.DTypeLike = np.float32,
        tenant_id: str = "",
        names: Sequence[str] = (),
        is_background: bool = False,
    ) -> Embedded:
        """Return the codes of the images at the taps, from one pass.

        Args:
            backbone: the one that all taps belong to.
            taps: at least one; several cost one pass up to the deepest.
            images: at least one.
            dtype: float32 or float16.
            tenant_id: tenants take turns.
            names: what to call each image in an error; none: "image 0" and so on.
            is_background: wait where others would be refused; for work that
                sends one batch at a time.

        Raises:
            ImagesEmpty, ImagesTooMany, DTypeInvalid, TapMismatch: before anything is done.
            TensorInvalid, ImageTooLarge, ImageTruncated, ImageInvalid: naming
                the first bad image; `details["image"]` is its index.
            DTypeOverflow: a value passes float16.
            Overloaded: too many images are waiting.
            ShuttingDown: the embedder is closed.
        """
        began = perf_counter()
        gathering = Gathering(taps, len(images), checked_dtype(dtype))
        self._check_call(backbone, taps, images, names)
        room = nullcontext() if is_background else self._room.take(len(images))
        with room:
            await self._fill(gathering, backbone, taps, images, tenant_id, names)
        return gathering.finish((perf_counter() - began) * 1e3)

    def close(self) -> None:
        """Let running work end and refuse the rest. Idempotent; the sessions stay open."""
        self._decoding.close()
        self._computing.close()

    def _check_call(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        images: Sequence[ImageInput],
        names: Sequence[str],
    ) -> None:
        if not images:
            raise ImagesEmpty("there are no images; at least one is needed")
        if len(images) > self._max_images_a_call:
            raise ImagesTooMany(
                f"there are {len(images):,} images, "
                f"but {self._max_images_a_call:,} at once are the most"
            )
        self._check_codes(backbone, taps, len(images))
        for index, image in enumerate(images):
            with _named(index):
                check(image, backbone.recipe, what=_name(names, index), limits=self._limits)

    def _check_codes(self, backbone: Backbone, taps: Sequence[TapId], n_images: int) -> None:
        n_values = sum(prod(codes_shape(backbone.layer_of(tap), tap.pooling)) for tap in taps)
        n_fit = self._max_code_bytes_a_call // (4 * n_values)
        if n_images > n_fit:
            way_out = f"send {n_fit:,} at once, or" if n_fit else "read fewer layers or"
            raise ImagesTooMany(
                f"the codes of {n_images:,} images at {len(taps)} layers have "
                f"{4 * n_values * n_images:,} bytes, but {self._max_code_bytes_a_call:,} are the "
                f"most: {way_out} pool them"
            )

    async def _fill(
        self,
        gathering: Gathering,
        backbone: Backbone,
        taps: Sequence[TapId],
        images: Sequence[ImageInput],
        tenant_id: str,
        names: Sequence[str],
    ) -> None:
        ahead: deque[asyncio.Task[Done[npt.NDArray[np.float32]]]] = deque()
        n_begun = 0
        try:
            for first in range(0, len(images), self._batch):
                last = min(first + self._batch, len(images))
                for index in range(n_begun, min(last + self._batch, len(images))):
                    work = partial(self._prepare, images[index], backbone, index, names)
                    ahead.append(asyncio.create_task(self._decoding.run(work, tenant_id=tenant_id)))
                    n_begun += 1
                ready = [await ahead.popleft() for _ in range(first, last)]
                gathering.add_decoded(ready)
                inputs = np.stack([done.value for done in ready])
                ran = await self._computing.run(
                    partial(self._sessions.run, backbone, taps, inputs), tenant_id=tenant_id
                )
                # In a thread: whole maps of a batch are hundreds of megabytes.
                await asyncio.to_thread(gathering.add, first, ran)
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    def _prepare(
        self, image: ImageInput, backbone: Backbone, index: int, names: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        with _named(index):
            return prepare(image, backbone.recipe, what=_name(names, index), limits=self._limits)


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if names else f"image {index}"


@contextmanager
def _named(index: int) -> Iterator[None]:
    """Put the image's index into the details of what is raised inside."""
    try:
        yield
    except InvalidArgument as error:
        error.details["image"] = str(index)
        raise

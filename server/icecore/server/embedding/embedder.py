"""Images to codes: check, take turns, run off the event loop, gather."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
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
from icecore.server.embedding.scheduling.bounds import Bounds
from icecore.server.embedding.scheduling.pieces import Piece, Priority
from icecore.server.embedding.scheduling.turns import Turns
from icecore.server.embedding.working.workers import Workers
from icecore.server.errors import ImagesEmpty, ImagesTooMany, InvalidArgument
from icecore.wire.taps import TapId

__all__ = ["Embedded", "Embedder", "Priority", "Timings"]


class Embedder:
    """Runs the cut networks of `sessions` on images, `threads` of them at once."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        threads: int,
        max_waiting_images: int = 4096,
        max_images_a_call: int = 1024,
        max_code_bytes_a_call: int = 128 << 20,
        limits: Limits = LIMITS,
    ) -> None:
        self._sessions = sessions
        self._max_images_a_call = max_images_a_call
        self._max_code_bytes_a_call = max_code_bytes_a_call
        self._limits = limits
        # Of one call at once: enough to keep all threads at work, few enough that other
        # calls of the tenant get in between.
        self._ahead = 2 * threads
        self._bounds = Bounds(max_waiting_images)
        self._turns = Turns()
        self._workers = Workers(sessions, self._turns, threads=threads)

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
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
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
            priority: among the tenant's own images.
            deadline: of `time.monotonic`; images are not started after it.

        Raises:
            ImagesEmpty, ImagesTooMany, DTypeInvalid, TapMismatch: before anything is done.
            TensorInvalid, ImageTooLarge, ImageTruncated, ImageInvalid: naming
                the first bad image; `details["image"]` is its index.
            DTypeOverflow: a value passes float16.
            Overloaded: too many images are waiting.
            ShuttingDown: the embedder is closed.
        """
        began = perf_counter()
        wanted = checked_dtype(dtype)
        self._check_call(backbone, taps, images, names)
        shapes = [codes_shape(backbone.layer_of(tap), tap.pooling) for tap in taps]
        gathering = Gathering(taps, shapes, len(images), wanted)
        pieces = self._pieces(
            gathering, backbone, taps, images, names, tenant_id, priority, deadline
        )
        room = nullcontext() if is_background else self._bounds.take(len(images))
        with room:
            await self._fill(gathering, pieces)
        return gathering.finish((perf_counter() - began) * 1e3)

    def close(self) -> None:
        """Let running work end and refuse the rest. Idempotent; the sessions stay open."""
        self._workers.close()

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
        pieces: Iterator[Piece],
    ) -> None:
        """Have the pieces run, `self._ahead` of them in line at once, and count them in order."""
        ahead: deque[Piece] = deque()
        is_first = True
        try:
            while True:
                for piece in islice(pieces, self._ahead - len(ahead)):
                    self._workers.submit(piece)
                    ahead.append(piece)
                if not ahead:
                    return
                gathering.count(await ahead[0].answer, is_first=is_first)
                ahead.popleft()
                is_first = False
        finally:
            for piece in ahead:
                self._turns.forget(piece)
                piece.answer.cancel()

    def _pieces(
        self,
        gathering: Gathering,
        backbone: Backbone,
        taps: Sequence[TapId],
        images: Sequence[ImageInput],
        names: Sequence[str],
        tenant_id: str,
        priority: Priority,
        deadline: float | None,
    ) -> Iterator[Piece]:
        loop = asyncio.get_running_loop()
        for index, image in enumerate(images):
            yield Piece(
                backbone=backbone,
                taps=tuple(taps),
                prepare=partial(self._prepare, image, backbone, index, names),
                keep=partial(gathering.keep, index),
                answer=loop.create_future(),
                tenant_id=tenant_id,
                priority=priority,
                deadline=deadline,
            )

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

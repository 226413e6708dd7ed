"""What is asked of each of many images, and what all their batches have in common."""

import importlib.util
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from icecore.client._batches import Batcher
from icecore.client._bulk.patience import Patience
from icecore.client._operations.codes import EmbedPlan
from icecore.client._operations.places import file_of, image_bytes
from icecore.client.backbone_values import Backbone
from icecore.client.bulk_values import CodesBatch, OnError
from icecore.client.errors import FailedPrecondition, Internal, InvalidArgument
from icecore.client.input_values import ImageInput
from icecore.wire.codes import Codes
from icecore.wire.reasons import Reason
from icecore.wire.taps import TapId

if TYPE_CHECKING:
    from icecore.client._bulk.downscaling import Downscaler

BATCH_BYTES = 8 << 20
"""Unless one image alone has more. With four in flight, and each there as file, message and
bytes sent, about 100 MB."""

ANSWER_BYTES = 32 << 20
"""Of the codes of one batch, as far as the first answers tell how many one image has."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """An image and its place among all of them."""

    index: int
    image: ImageInput

    @property
    def path(self) -> Path | None:
        return file_of(self.image)

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"image {self.index}" if self.path is None else repr(str(self.path))


Part: TypeAlias = Sequence[Numbered]


@dataclass(slots=True, eq=False)
class BulkPlan:
    """Checked before the first image is taken; shared by all batches, from any thread."""

    embed: EmbedPlan
    patience: Patience
    on_error: OnError = "raise"
    batch_size: int = 32
    in_flight: int = 4
    in_order: bool = True
    downscales: bool = False
    scaler: "Downscaler | None" = field(default=None, init=False)
    _largest: int = field(default=1 << 30, init=False)
    _taps: tuple[TapId, ...] = field(default=(), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise InvalidArgument(f"in_flight is {self.in_flight!r}, but must be at least 1")
        if not callable(self.on_error) and self.on_error not in ("raise", "skip"):
            raise InvalidArgument(
                f"on_error is {self.on_error!r}, but must be 'raise', 'skip' or a function"
            )
        self.batcher()
        if self.downscales:
            _require_pillow()

    @property
    def backbone(self) -> str:
        return self.embed.head.backbone

    def scale_for(self, backbone: Backbone) -> None:
        """Make images smaller for this backbone from now on.

        Raises:
            Unimplemented: this client does not know how.
        """
        from icecore.client._bulk.downscaling import Downscaler

        self.scaler = Downscaler(backbone)

    @property
    def raises(self) -> bool:
        return self.on_error == "raise"

    @property
    def largest(self) -> int:
        """Images that a call may have, as far as the server has said so."""
        return self._largest

    def batcher(self) -> Batcher[Numbered]:
        """Return what fills batches, by count and by bytes; see `batches`."""
        return Batcher(self._bytes_of, batch_size=self.batch_size, max_bytes=BATCH_BYTES)

    def smaller(self, n_images: int) -> None:
        """Hear that so many images were too many for one call."""
        with self._lock:
            self._largest = max(1, min(self._largest, n_images // 2))

    def told(self, batch: CodesBatch) -> CodesBatch:
        """Return a batch of which `on_error` has heard, in the caller's own thread."""
        if callable(self.on_error):
            for refused in batch.refused:
                self.on_error(refused)
        return batch

    def checked(self, codes: Sequence[Codes], n_images: int) -> None:
        """See that an answer is one to so many images, of the taps of all others.

        Raises:
            Internal: it is not.
            FailedPrecondition: the backbone was replaced since the first answer.
        """
        if not codes or any(len(one) != n_images for one in codes):
            raise Internal(f"the server's answer to Embed is not for {n_images} images")
        taps = tuple(one.tap for one in codes)
        with self._lock:
            self._taps = self._taps or taps
            expected = self._taps
            bytes_an_image = sum(one.values.nbytes for one in codes) // n_images
            fitting = max(1, ANSWER_BYTES // max(1, bytes_an_image))
            self._largest = min(self._largest, fitting)
        if self.scaler is not None and taps[0].digest != self.scaler.digest:
            raise _replaced(taps[0], self.scaler.digest)
        if taps != expected:
            raise _replaced(taps[0], expected[0].digest)

    def _bytes_of(self, one: Numbered) -> int:
        try:
            size = image_bytes(one.image)
        except OSError:
            return 0  # told of when it is to be read
        return size if self.scaler is None else min(size, self.scaler.max_bytes)


def _require_pillow() -> None:
    if importlib.util.find_spec("PIL") is None:
        raise InvalidArgument("downscale=True needs 'pillow': pip install pillow")


def numbered(images: Iterable[ImageInput]) -> Iterator[Numbered]:
    return (Numbered(index, image) for index, image in enumerate(images))


def _replaced(tap: TapId, digest: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"backbone {tap.backbone!r} was replaced while images were on their way: it had digest "
        f"{digest!r} and has {tap.digest!r} now, and their codes do not mix",
        reason=Reason.TAP_MISMATCH,
    )

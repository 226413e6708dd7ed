"""The codes of one call, put together batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.server.embedding.scheduling.pieces import Ran
from icecore.server.errors import DTypeInvalid, DTypeOverflow, TensorInvalid
from icecore.server.storage.records import CodeArray
from icecore.wire.taps import TapId

FloatArray = npt.NDArray[np.float32]

FLOAT16_MAX: Final = 65_504.0
_FLOATS: Final = (np.dtype("<f4"), np.dtype("<f2"))


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a call spent its time, in milliseconds.

    Decoding and computing are summed over the threads that did them; waiting is the first
    image's; `total_ms` is the wall clock's. Codes of `n_cached` images were known, or asked
    for by another call at the same time.
    """

    queue_ms: float
    decode_ms: float
    compute_ms: float
    total_ms: float
    n_cached: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """One array a tap, in the order asked: (n, d), or (n, c, h, w) for pooling NONE."""

    codes: tuple[CodeArray, ...]
    timings: Timings


class Gathering:
    """Room for the codes of `n_images` at `taps`, filled in any order.

    Args:
        shapes: of one image's codes, one a tap.
        name_of: what to call an image in an error, by its index.
    """

    def __init__(
        self,
        taps: Sequence[TapId],
        shapes: Sequence[tuple[int, ...]],
        n_images: int,
        dtype: npt.DTypeLike,
        *,
        name_of: Callable[[int], str],
    ) -> None:
        self.n_cached = 0
        self._name_of = name_of
        self._dtype = checked_dtype(dtype)
        self._codes: list[npt.NDArray[Any]] = [
            np.empty((n_images, *shape), self._dtype) for shape in shapes
        ]
        self._rooms: dict[TapId, list[npt.NDArray[Any]]] = {}
        for tap, room in zip(taps, self._codes, strict=True):
            self._rooms.setdefault(tap, []).append(room)
        self._queue_ms = 0.0
        self._decode_ms = 0.0
        self._compute_ms = 0.0

    def keeping(self, index: int, taps: Sequence[TapId]) -> Callable[[list[FloatArray]], None]:
        """Return what takes the codes of one image at some of the taps, in any thread."""
        return partial(self._keep, index, taps)

    def _keep(self, index: int, taps: Sequence[TapId], codes: list[FloatArray]) -> None:
        """Take the codes of one image.

        Raises:
            TensorInvalid: a value is not finite, since those of the image are too large;
                `details["image"]` is its index.
            DTypeOverflow: a value does not fit in float16.
        """
        for tap, one in zip(taps, codes, strict=True):
            if not np.isfinite(one).all():
                raise TensorInvalid(
                    f"{self._name_of(index)} gives codes at '{tap}' that are not finite: its "
                    "values are finite, but too large for the network",
                    image=str(index),
                )
            if self._dtype == np.float16 and (peak := np.abs(one).max()) > FLOAT16_MAX:
                raise DTypeOverflow(
                    f"codes at '{tap}' reach {float(peak):,.0f}, "
                    f"but float16 ends at {FLOAT16_MAX:,.0f}: ask for float32"
                )
            for room in self._rooms[tap]:
                room[index] = one

    def count(self, ran: Ran, *, is_first: bool) -> None:
        """Count the time of one image; only the call's first waited for its turn."""
        self._queue_ms += ran.queue_ms if is_first else 0.0
        self._decode_ms += ran.decode_ms
        self._compute_ms += ran.compute_ms

    def count_shared(self, ran: Ran, *, is_first: bool) -> None:
        """Count an image that waited for another call's run."""
        if is_first:
            self._queue_ms = max(self._queue_ms, ran.queue_ms)

    def finish(self, total_ms: float) -> Embedded:
        timings = Timings(
            self._queue_ms, self._decode_ms, self._compute_ms, total_ms, self.n_cached
        )
        return Embedded(tuple(self._codes), timings)


def checked_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return float32 or float16, little-endian.

    Raises:
        DTypeInvalid: any other.
    """
    if isinstance(dtype, np.dtype) and dtype in _FLOATS:
        return dtype
    try:
        wanted = np.dtype(dtype)
    except TypeError as error:
        raise DTypeInvalid(f"codes come as float32 or float16, not as {dtype!r}") from error
    if wanted not in _FLOATS:
        raise DTypeInvalid(f"codes come as float32 or float16, not as {wanted.name!r}")
    return wanted

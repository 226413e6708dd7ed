"""Codes made ready to be scanned in float32: what is costly about an index.

Each code is read once, spelled out in float64, a block at a time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.server.storage.records import CodeArray

Float32Array: TypeAlias = npt.NDArray[np.float32]

FAR: Final = 2.0**16
"""Lengths are scaled to 1 unless they lie between 1 / FAR and FAR already."""

_PART_BYTES: Final = 1 << 20
"""Spelled out at once: it stays in a core's own cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Scannable:
    """`codes` (n, d) as they are stored, and `scan` (n, d) float32 to go with them.

    For COSINE its rows have length 1 (zeros stay), else they are the codes times
    `scale`, a power of two. `longest` is the length of the longest row of it. Where the
    codes themselves will do, `scan` is `codes`.
    """

    codes: CodeArray
    scan: Float32Array
    is_cosine: bool
    scale: float
    longest: float

    @property
    def n_bytes(self) -> int:
        copied = 0 if self.scan is self.codes else self.scan.nbytes
        return int(self.codes.nbytes + copied)


def scannable(codes: CodeArray, *, is_cosine: bool, into: Float32Array | None = None) -> Scannable:
    """Return codes (n, d) float16 or float32, finite, made ready.

    Args:
        codes: kept as they are.
        into: (n, d), where `scan` is written; None: new memory, or none where none is needed.
    """
    needs_scan = is_cosine or into is not None or codes.dtype != np.float32
    scan = np.empty(codes.shape, np.float32) if into is None and needs_scan else into
    longest = 0.0
    for span, part in _parts(codes):
        squares = np.einsum("ij,ij->i", part, part)
        lengths = np.sqrt(squares)
        longest = max(longest, float(lengths.max(initial=0.0)))
        if is_cosine:
            part /= np.where(lengths > 0, lengths, 1.0)[:, None]
        if scan is not None:
            scan[span] = part
    if is_cosine:
        return Scannable(codes, _known(scan), is_cosine, 1.0, 1.0)
    scale = scale_for(longest)
    if scale != 1.0:
        scan = np.empty(codes.shape, np.float32) if scan is None else scan
        for span, part in _parts(codes):
            part *= scale
            scan[span] = part
    if scan is None:
        scan = codes = np.ascontiguousarray(codes, dtype=np.float32)
    return Scannable(codes, scan, is_cosine, scale, longest * scale)


def scale_for(length: float) -> float:
    """Return the power of two that brings the length to at most 1, if it is far from it."""
    if length == 0 or 1 / FAR <= length <= FAR:
        return 1.0
    return 2.0 ** -math.frexp(length)[1]


def _parts(codes: CodeArray) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Yield rows and their codes in float64, the caller's to change."""
    step = max(1, _PART_BYTES // (8 * max(1, codes.shape[1])))
    for first in range(0, len(codes), step):
        span = slice(first, first + step)
        yield span, codes[span].astype(np.float64)


def _known(scan: Float32Array | None) -> Float32Array:
    if scan is None:
        raise AssertionError("cosines are scanned in memory of their own")
    return scan

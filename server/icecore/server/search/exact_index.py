"""The exact nearest codes: candidates by faiss in float32, proven in float64.

A float32 score is off by no more than a margin that follows from the number of
dimensions and the lengths of the vectors. So when the k-th best exact score
among the candidates beats the worst candidate's approximate score by more than
the margin, nothing that was left out can belong among the k best. Where it
does not, more candidates are taken, at worst all.

Source of the margin: Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., section 3.1: a sum of d products, in any order, fused or not, errs by
at most gamma(d) * sum |x_i y_i|, where gamma(d) = d u / (1 - d u).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Self, TypeAlias

import faiss
import numpy as np
import numpy.typing as npt

from icecore.server.search.metrics import Float64Array, Metric, exact_scores
from icecore.server.search.scannable import (
    FAR,
    Float32Array,
    Scannable,
    scale_for,
    scannable,
)
from icecore.server.storage.records import CodeArray

Rows: TypeAlias = npt.NDArray[np.intp]

_U: Final = 2.0**-24
"""Unit roundoff of float32."""

_ROUNDINGS: Final = 16
"""Roundings besides the sum: of both inputs, of lengths and of the result; and
those of the float64 score itself, which are far below one of these."""

_UNDERFLOW: Final = 2.0**-100
"""More than one product can lose by underflow, denormals flushed to zero: operands
are at most 2**17, so 2**-126 * 2**18."""

_GROWTH: Final = 4
_BLOCK_BYTES: Final = 16 << 20
"""How much of the codes is gathered or spelled out in float64 at once."""


class ExactIndex:
    """Codes of one tap, ready for COSINE or for the other two metrics. Immutable.

    `codes` (n, d) float16 or float32, finite, are kept as they are and must
    not be changed by the caller; beside them stands a float32 copy to scan.
    """

    def __init__(self, codes: CodeArray, *, is_cosine: bool) -> None:
        self._take(scannable(codes, is_cosine=is_cosine))

    @classmethod
    def of(cls, made: Scannable) -> Self:
        """Return the index of codes that were made ready before, perhaps by another process."""
        index = cls.__new__(cls)
        index._take(made)
        return index

    def _take(self, made: Scannable) -> None:
        self._codes, self._scan = made.codes, made.scan
        self._is_cosine, self._scale, self._longest = made.is_cosine, made.scale, made.longest
        self._n_bytes = made.n_bytes

    @property
    def n_dims(self) -> int:
        return int(self._codes.shape[1])

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    def rows(self, rows: Sequence[int]) -> Float32Array:
        """Return the codes of some rows as they were given, (len(rows), d) float32; a copy."""
        return self._codes[list(rows)].astype(np.float32)

    def nearest(
        self, queries: Float32Array, *, metric: Metric, k: int, rows: Rows | None = None
    ) -> list[list[tuple[int, float]]]:
        """Return (row, score) of the best k for each query, best first; ties by row.

        Args:
            queries: (q, d) float32, finite.
            metric: COSINE just where the index was made for it.
            k: at least 1; where there are fewer rows, all of them come back.
            rows: ascending; only these are searched. None: all.
        """
        if (metric is Metric.COSINE) is not self._is_cosine:
            raise ValueError(f"this index was not made for {metric.value!r}")
        chosen = np.arange(len(self._codes)) if rows is None else rows
        found: list[list[tuple[int, float]]] = [[] for _ in queries]
        if len(chosen) == 0:
            return found
        exact = queries.astype(np.float64)
        scans = [self._scan_query(query, metric) for query in exact]
        unproven = [i for i, scan in enumerate(scans) if scan is not None]
        beyond = [i for i, scan in enumerate(scans) if scan is None]
        n_candidates = max(2 * k, k + 64)
        while unproven and n_candidates < len(chosen):
            batch = [scan for i in unproven if (scan := scans[i]) is not None]
            stacked = np.stack([scan.vector for scan in batch])
            approximate, candidates = self._candidates(stacked, metric, n_candidates, rows)
            left = []
            for i, scan, scores, places in zip(
                unproven, batch, approximate, candidates, strict=True
            ):
                best = self._best(np.sort(places), exact[i], metric, k)
                if scan.proves(best[-1][1], scores, metric):
                    found[i] = best
                else:
                    left.append(i)
            unproven = left
            n_candidates *= _GROWTH
        for i in sorted(unproven + beyond):
            found[i] = self._best(chosen, exact[i], metric, k)
        return found

    def _scan_query(self, query: Float64Array, metric: Metric) -> "_ScanQuery | None":
        """Return the query as it is scanned, or None if float32 cannot hold its scores."""
        length = float(np.sqrt(np.sum(query * query)))
        gamma = _gamma(len(query) + _ROUNDINGS)
        lost = len(query) * _UNDERFLOW
        if gamma is None:
            return None
        if metric is Metric.L2:
            length *= self._scale
            if length > FAR:
                return None
            margin = gamma * (self._longest + length) ** 2 + lost
            return _ScanQuery(_float32(query * self._scale), margin, self._scale)
        if metric is Metric.COSINE:
            unit = query / length if length > 0 else query
            return _ScanQuery(_float32(unit), gamma + lost, 1.0)
        scale = scale_for(length)
        margin = gamma * self._longest * length * scale + lost
        return _ScanQuery(_float32(query * scale), margin, self._scale * scale)

    def _candidates(
        self, queries: Float32Array, metric: Metric, n_candidates: int, rows: Rows | None
    ) -> tuple[Float32Array, Rows]:
        """Return approximate scores and rows of the best, (q, n_candidates) each, unordered."""
        kind = faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT
        if rows is None:
            scores, places = faiss.knn(queries, self._scan, n_candidates, metric=kind)
            return scores, places
        parts = []
        for block in _blocks(rows, self._scan):
            n_best = min(n_candidates, len(block))
            scores, places = faiss.knn(queries, self._scan[block], n_best, metric=kind)
            parts.append((scores, block[places]))
        scores = np.concatenate([part[0] for part in parts], axis=1)
        places = np.concatenate([part[1] for part in parts], axis=1)
        key = scores if metric.is_ascending else -scores
        best = np.argpartition(key, n_candidates - 1, axis=1)[:, :n_candidates]
        return np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)

    def _best(
        self, rows: Rows, query: Float64Array, metric: Metric, k: int
    ) -> list[tuple[int, float]]:
        """Score these rows in float64; the best k of them, ties by row."""
        scores = np.concatenate(
            [
                exact_scores(metric, self._codes[block].astype(np.float64), query)
                for block in _blocks(rows, self._codes)
            ]
        )
        order = np.argsort(scores if metric.is_ascending else -scores, kind="stable")[:k]
        return [(int(rows[i]), float(scores[i])) for i in order]


class _ScanQuery:
    """A query scaled for float32, how far its scores may be off, and their scale."""

    def __init__(self, vector: Float32Array, margin: float, scale: float) -> None:
        self.vector = vector
        self._margin = margin
        self._scale = scale

    def proves(self, kth: float, approximate: Float32Array, metric: Metric) -> bool:
        """Return whether no row outside the candidates can reach the k-th exact score."""
        if metric.is_ascending:
            return (kth * self._scale) ** 2 < float(approximate.max()) - self._margin
        return kth * self._scale > float(approximate.min()) + self._margin


def _gamma(n_roundings: int) -> float | None:
    share = n_roundings * _U
    return share / (1 - share) if share < 0.5 else None


def _float32(array: Float64Array) -> Float32Array:
    return np.ascontiguousarray(array, dtype=np.float32)


def _blocks(rows: Rows, matrix: npt.NDArray[Any]) -> Iterator[Rows]:
    step = max(1, _BLOCK_BYTES // (8 * max(1, matrix.shape[1])))
    for first in range(0, len(rows), step):
        yield rows[first : first + step]

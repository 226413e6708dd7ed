"""Newton steps: -H⁻¹ gradient for H = diag(penalty) + C Zᵀ D Z, by two ways.

Conjugate gradients where a preconditioner has made H nearly the identity; where it has not
(a squared hinge at a large C, whose few active rows are not the rows that were rotated),
a solution over the active rows.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from scipy.linalg import LinAlgError, cho_factor
from scipy.linalg.blas import dtrsv, strsv

from icecore.probes.linear_probe import Array
from icecore.probes.solving.features import ExactRows, Features, Preconditioner
from icecore.probes.solving.losses import Floats, LossAt

MAX_INNER: Final = 400
"""Conjugate-gradient iterations in one step."""

MIN_INNER: Final = 8

FACTOR_VALUES: Final = 25_000_000
"""Values of the factors held at once, 100 MB in float32: products between them are for many."""

KEPT_VALUES: Final = 75_000_000
"""Inner products kept from step to step, 300 MB in float32."""

REFINEMENTS: Final = 2
"""Of a solution by a float32 factor. Each leaves about the factor's error of what was left."""


class Steps:
    """Steps for one set of features.

    Source: preconditioned conjugate gradients as in Hsia, Chiang and Lin,
    "Preconditioned conjugate gradient methods in truncated Newton frameworks for
    large-scale linear classification", 2018; the exact step as in Chapelle, "Training a
    support vector machine in the primal", 2007.
    """

    def __init__(self, features: Features, penalty: Array, *, is_separable: bool) -> None:
        self._features = features
        self._penalty = penalty
        self._exact = features.exact() if is_separable and penalty.all() else None
        self._kept: dict[int, _Products] = {}

    def iterated(
        self,
        C: float,
        at: LossAt,
        gradient: Array,
        invert: Preconditioner,
        *,
        forcing: Array,
        group: int,
        dtype: np.dtype[Any],
    ) -> tuple[Array, np.ndarray]:
        """Return a step (columns, r), and which problems it solves as well as `forcing` asks.

        `forcing` (problems,) is the share of the gradient's norm, by `invert`, that may stay.
        Iterations end where those of the problems left would cost more than exact steps.
        Products are made in `dtype`.
        """
        budget = self._budget(at.curvature) if self._exact is not None else MAX_INNER
        penalty = self._penalty.astype(dtype)
        # float32's range is small: what is iterated on has length about one in each problem.
        largest = np.abs(gradient).max(axis=1).reshape(-1, group).max(axis=1)
        scale = spread(np.where(largest > 0.0, largest, 1.0), group)
        residual: Floats = (gradient / -scale).astype(dtype)
        step = np.zeros_like(residual)
        scaled = invert(residual)
        direction = scaled
        sizes = dots(residual, scaled, group)
        enough = forcing**2 * sizes
        is_open = sizes > enough
        for _ in range(budget):
            moved = at.bend(self._features.scores(direction))
            bent = self._features.pull(moved)
            bent *= dtype.type(C)
            bent += penalty * direction
            lengths = spread(ratio(sizes, dots(direction, bent, group)), group).astype(dtype)
            step += lengths * direction
            residual -= lengths * bent
            scaled = invert(residual)
            sizes, previous = dots(residual, scaled, group), sizes
            is_open = sizes > enough
            if not is_open.any():
                break
            # A problem that is done stands still.
            turn = spread(ratio(sizes, previous), group).astype(dtype)
            direction = turn * direction
            direction += scaled
            direction *= spread(is_open.astype(np.float64), group).astype(dtype)
        found: Array = step.astype(np.float64) * scale
        return found, ~is_open

    @property
    def can_be_exact(self) -> bool:
        return self._exact is not None

    def exact(
        self,
        C: float,
        at: LossAt,
        scores: Array,
        weights: Array,
        columns: np.ndarray,
        dtype: np.dtype[Any],
        problems: np.ndarray,
    ) -> Array:
        """Return the steps from `weights` to where the gradient is zero by today's curvature.

        Of columns that are problems of their own; (len, r). They are the weights that come
        nearest to targets t = score - slope / curvature, with curvatures as weights:
        (I + Zᵀ D Z) w = Zᵀ D t, which a large C does not blur as it does a gradient.

        Systems are factored in `dtype`, in float64 also where float32 finds one not positive.
        What float32 missed is looked at in float64 and solved for again, by the same factor.
        Active rows are much the same from step to step: their inner products are kept for
        `problems` (len,).
        """
        known_products = [self._known(int(problem), dtype) for problem in problems]
        steps = np.empty((len(columns), self._features.r))
        width = max(1, FACTOR_VALUES // min(self._features.n, self._features.r) ** 2)
        for first in range(0, len(columns), width):
            some = columns[first : first + width]
            curvature = at.curvature[some].astype(np.float64)
            targets = scores[some] - ratio(at.slope[some], curvature)
            curvature *= C
            factors = [
                self._factor(each, dtype, known)
                for each, known in zip(curvature, known_products[first:], strict=False)
            ]
            over_rows = np.zeros_like(targets)
            found, left = np.zeros((len(some), self._features.r)), targets
            for turn in range(1 + REFINEMENTS if dtype == np.float32 else 1):
                if turn > 0:
                    left = targets - self._features.scores(found)
                found = self._nearer(factors, curvature, left, over_rows, found)
            steps[first : first + width] = found - weights[some]
        return steps

    def _known(self, problem: int, dtype: np.dtype[Any]) -> "_Products":
        """Return the inner products kept for a problem; those in float64 are not."""
        if dtype == np.float64:
            return _Products()
        room = KEPT_VALUES // min(self._features.n, self._features.r) ** 2
        if len(self._kept) >= room and problem not in self._kept:
            return _Products()
        return self._kept.setdefault(problem, _Products())

    def _factor(self, weights: Array, dtype: np.dtype[Any], known: "_Products") -> "_Factor":
        """Factor I + Zᵀ W Z on the smaller of active rows and features."""
        if self._exact is None:
            raise AssertionError("only asked for where `can_be_exact` said so")
        active = np.flatnonzero(weights)
        if len(active) < self._features.r:
            system = known.of(active, self._exact, dtype)
            system.flat[:: len(system) + 1] += (1.0 / weights[active]).astype(dtype)
        else:
            system = self._exact.outer_products(active, weights[active], dtype)
            system.flat[:: len(system) + 1] += dtype.type(1.0)
        try:
            # Symmetric; its transpose lies as LAPACK wants it, and is not copied.
            factor, _ = cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            if dtype == np.float64:
                raise
            return self._factor(weights, np.dtype(np.float64), _Products())
        return _Factor(factor, active if len(active) < self._features.r else None)

    def _nearer(
        self,
        factors: "list[_Factor]",
        curvature: Array,
        left: Array,
        over_rows: Array,
        found: Array,
    ) -> Array:
        """Return the solutions nearer to the targets, of which `found` leaves `left` (len, n).

        Over active rows the solution is Zᵀ a, with a in `over_rows`, which is updated.
        """
        by_rows = np.array([factor.active is not None for factor in factors])
        nearer = found.copy()
        if by_rows.any():
            for place in np.flatnonzero(by_rows):
                active = factors[place].active
                own, weights = over_rows[place], curvature[place, active]
                own[active] += factors[place].solve(left[place, active] - own[active] / weights)
            nearer[by_rows] = self._features.pull(over_rows[by_rows])
        if not by_rows.all():
            wanted = self._features.pull(curvature[~by_rows] * left[~by_rows]) - found[~by_rows]
            for place, each in zip(np.flatnonzero(~by_rows), wanted, strict=True):
                nearer[place] += factors[place].solve(each)
        return nearer

    def _budget(self, curvature: Floats) -> int:
        """Return after how many iterations exact steps would have cost as much."""
        n, r = self._features.n, self._features.r
        active = np.count_nonzero(curvature, axis=1).astype(np.float64)
        small = np.minimum(active, r)
        forming = np.where(active < r, 10.0 * small**2, small**2 * active)
        iterations = (forming + small**3 / 3.0).sum() / (4.0 * n * r * max(len(active), 1))
        return int(np.clip(iterations, MIN_INNER, MAX_INNER))


def dots(a: Floats, b: Floats, group: int) -> Array:
    """Return the inner product of each problem's columns, (problems,) float64."""
    found = np.einsum("cr,cr->c", a, b)
    sums: Array = found.reshape(-1, group).sum(axis=1, dtype=np.float64)
    return sums


def spread(values: Array, group: int) -> Array:
    """Return one value a problem (problems,) as a factor of its columns, (columns, 1)."""
    column: Array = np.repeat(values, group)[:, None]
    return column


def ratio(a: Array, b: Array) -> Array:
    found: Array = np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
    return found


@dataclass(slots=True, eq=False)
class _Products:
    """Inner products of some rows, `products` (len, len), among which are those wanted last."""

    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    products: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def of(self, rows: np.ndarray, exact: ExactRows, dtype: np.dtype[Any]) -> Floats:
        """Return the inner products of `rows`, ascending; the caller's to overwrite."""
        new = np.setdiff1d(rows, self.rows, assume_unique=True)
        if len(new) > len(rows) // 4 or len(self.rows) + len(new) > 2 * len(rows):
            self.rows, self.products = rows, exact.inner_products(rows, rows, dtype)
        elif len(new):
            union = np.union1d(self.rows, new)
            old, added = np.searchsorted(union, self.rows), np.searchsorted(union, new)
            products = np.empty((len(union), len(union)), dtype)
            products[np.ix_(old, old)] = self.products
            products[added] = exact.inner_products(new, union, dtype)
            products[:, added] = products[added].T
            self.rows, self.products = union, products
        places = np.searchsorted(self.rows, rows)
        return self.products.take(places, axis=0).take(places, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Factor:
    """A Cholesky factor, over the rows `active` or (None) over features."""

    factor: Floats
    active: np.ndarray | None

    def solve(self, wanted: Array) -> Array:
        # A third of the time of LAPACK's potrs, which is made for many right-hand sides.
        solve = strsv if self.factor.dtype == np.float32 else dtrsv
        half = solve(self.factor, wanted.astype(self.factor.dtype), lower=1)
        found: Array = solve(self.factor, half, lower=1, trans=1, overwrite_x=1).astype(np.float64)
        return found

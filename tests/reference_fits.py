"""Fifty varied problems, and an independent solver of them: dense Newton in float64.

It shares no line with the package: the full Hessian over all weights is formed and solved, and
steps are halved until the objective falls. Slow, simple, and right to the last digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp, softmax

from icecore.probes.linear_probe import Array, ProbeKind
from labelled import names, standardised

N_PROBLEMS = 50


@dataclass(frozen=True, eq=False)
class Problem:
    """Codes with labels and weights, and what is to be fitted on them."""

    seed: int
    kind: ProbeKind
    codes: np.ndarray
    y: np.ndarray
    C: float
    sample_weight: Array | None
    class_weight: Mapping[str, float] | str | None

    def __str__(self) -> str:
        n, d = self.codes.shape
        weights = "s" * (self.sample_weight is not None) + "c" * (self.class_weight is not None)
        return f"{self.seed}-{self.kind.value}-{n}x{d}x{self.k}-{self.C:.0e}-{weights}"

    @property
    def k(self) -> int:
        return int(self.y.max()) + 1

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(names(self.y))))

    @cached_property
    def X(self) -> Array:  # noqa: N802 - the field's name
        """Standardised, with a last column of ones."""
        X = standardised(self.codes)
        return np.hstack([X, np.ones((len(X), 1))])

    @cached_property
    def weights(self) -> Array:
        """How much each image counts in each class's problem, (m, n); in a softmax, in all.

        LinearSVC gives its class weight to a problem's own images and not to the rest,
        where there are more than two classes.
        """
        samples = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        if self.class_weight is None:
            each = np.ones(self.k)
        elif isinstance(self.class_weight, str):
            each = samples.sum() / (self.k * np.bincount(self.y, samples))
        else:
            each = np.array([self.class_weight.get(name, 1.0) for name in self.classes])
        if self.kind is ProbeKind.SOFTMAX or self.k == 2:
            whole: Array = (samples * each[self.y])[None]
            return whole
        return np.stack([np.where(self.y == c, each[c], 1.0) * samples for c in range(self.k)])

    def objective(self, W: Array) -> float:
        """Of weights (m, d + 1) over `X`, as scikit-learn's user guide writes it."""
        scores = self.X @ W.T
        if self.kind is ProbeKind.SVM:
            missing = np.maximum(0.0, 1.0 - self._signs * scores.T)
            return float(0.5 * (W**2).sum() + self.C * (self.weights * missing**2).sum())
        if self.k == 2:
            scores = np.hstack([np.zeros_like(scores), scores])
        losses = logsumexp(scores, axis=1) - scores[np.arange(len(self.y)), self.y]
        return float(0.5 * (W[:, :-1] ** 2).sum() + self.C * self.weights[0] @ losses)

    @cached_property
    def best(self) -> float:
        """The optimum, to the last digits of float64."""
        if self.kind is ProbeKind.SVM:
            return self.objective(np.stack([self._svm(c) for c in range(len(self._signs))]))
        return self.objective(self._softmax())

    @property
    def _signs(self) -> Array:
        wanted = [1] if self.k == 2 else range(self.k)
        return np.stack([np.where(self.y == c, 1.0, -1.0) for c in wanted])

    def _svm(self, problem: int) -> Array:
        signs, weights = self._signs[problem], self.weights[problem]

        def value(w: Array) -> float:
            missing = np.maximum(0.0, 1.0 - signs * (self.X @ w))
            return float(0.5 * w @ w + self.C * weights @ missing**2)

        def newton(w: Array) -> tuple[Array, Array]:
            missing = np.maximum(0.0, 1.0 - signs * (self.X @ w))
            gradient = w - 2.0 * self.C * self.X.T @ (weights * signs * missing)
            active = (2.0 * self.C * weights * (missing > 0.0))[:, None]
            return gradient, np.eye(len(w)) + self.X.T @ (active * self.X)

        return descended(np.zeros(self.X.shape[1]), value, newton)

    def _softmax(self) -> Array:
        """Of all classes; the last one's bias is held at 0, which takes nothing away."""
        n, r = self.X.shape
        m = 1 if self.k == 2 else self.k
        free = np.ones((m, r), np.bool_)
        free[-1, -1] = m == 1
        penalty = np.ones((m, r))
        penalty[:, -1] = 0.0
        one_hot = np.eye(self.k)[self.y]

        def whole(w: Array) -> Array:
            W = np.zeros((m, r))
            W[free] = w
            return W

        def newton(w: Array) -> tuple[Array, Array]:
            W = whole(w)
            scores = self.X @ W.T
            p = softmax(np.hstack([np.zeros((n, 1)), scores]) if m == 1 else scores, axis=1)
            slope, p = (p - one_hot)[:, self.k - m :], p[:, self.k - m :]
            gradient = self.C * (self.weights[0][:, None] * slope).T @ self.X + penalty * W
            H = np.zeros((m, r, m, r))
            for a in range(m):
                for b in range(a + 1):
                    bend = self.C * self.weights[0] * p[:, a] * ((a == b) - p[:, b])
                    H[a, :, b] = H[b, :, a] = self.X.T @ (bend[:, None] * self.X)
            H = H.reshape(m * r, m * r) + np.diag(penalty.ravel())
            return gradient[free], H[np.ix_(free.ravel(), free.ravel())]

        found = descended(np.zeros(int(free.sum())), lambda w: self.objective(whole(w)), newton)
        return whole(found)


def descended(w: Array, value, newton) -> Array:  # type: ignore[no-untyped-def]
    """Return the minimum, by Newton's steps, halved until the objective falls."""
    now = value(w)
    for _ in range(200):
        gradient, H = newton(w)
        step = -np.linalg.solve(H, gradient)
        length = 1.0
        while length > 1e-9 and value(w + length * step) > now + 1e-4 * length * gradient @ step:
            length /= 2.0
        after = value(w + length * step)
        if after >= now:
            return w
        w, now = w + length * step, after
        if -gradient @ step <= 1e-15 * now:
            return w
    raise AssertionError("no minimum in 200 steps")


def varied(seed: int) -> Problem:
    """Return one of the problems: size, C, labels, codes and weights drawn by its seed."""
    random = np.random.default_rng(seed)
    kind = list(ProbeKind)[seed % 2]
    k = int(random.integers(2, 13)) if seed % 5 else 2
    n = max(int(10.0 ** random.uniform(1.0, 2.6)), 2 * k)
    d = int(np.exp(random.uniform(np.log(3), np.log(200))))
    C = 10.0 ** random.uniform(-6, 2)
    y = random.permutation(np.arange(n) % k)
    if random.random() < 0.4:  # unbalanced, down to one image a class
        y = np.minimum((k * random.random(n) ** 3).astype(int), k - 1)
    y[:k] = np.arange(k)
    mixing = random.normal(size=(min(d, 30), d)) / np.arange(1, min(d, 30) + 1)[:, None] ** 0.5
    hidden = random.normal(size=(n, len(mixing)))
    hidden += random.normal(size=(k, len(mixing)))[y] * random.uniform(0.0, 2.0)
    codes = np.maximum(hidden @ mixing - random.uniform(-1.0, 2.0), 0.0)
    codes *= 10.0 ** random.uniform(-3, 3, size=d)
    if random.random() < 0.3:  # the same image twice, with whatever label
        codes[n // 2 : n // 2 + n // 4] = codes[: n // 4]
    if random.random() < 0.3:  # collinear, constant and dead features
        codes[:, -1], codes[:, 0], codes[:, 1] = 3.0 * codes[:, -2], 7.5, 0.0
    sample_weight = random.exponential(size=n) if random.random() < 0.4 else None
    if sample_weight is not None:
        sample_weight[k : k + n // 10] = 0.0
    class_weight: Mapping[str, float] | str | None = None
    draw = random.random()
    if draw < 0.25:
        class_weight = "balanced"
    elif draw < 0.5:
        class_weight = {name: float(10.0 ** random.uniform(-1, 1)) for name in names(np.arange(k))}
    return Problem(seed, kind, codes.astype(np.float32), y, C, sample_weight, class_weight)

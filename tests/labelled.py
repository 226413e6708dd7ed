"""Synthetic labelled codes: classes that are Gaussian clouds behind a ReLU."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from icecore.probes.fitting import fit
from icecore.probes.linear_probe import Array, CodeArray, LinearProbe, ProbeKind


def clouds(
    n: int, d: int, k: int, *, seed: int = 0, separation: float = 1.0
) -> tuple[CodeArray, np.ndarray]:
    """Return codes (n, d) float32, never negative, and classes (n,) int, each present.

    Features are correlated and of very different scale, as those of a network are.
    """
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    centres = random.normal(size=(k, d)) * separation
    mixing = random.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    scales = 10.0 ** random.uniform(-2, 2, size=d)
    x = (centres[y] + random.normal(size=(n, d))) @ mixing + 0.5
    return (np.maximum(x, 0.0) * scales).astype(np.float32), y


def standardised(codes: np.ndarray) -> Array:
    """Return codes as fits see them, (n, d) float64: scikit-learn's scaler, but no scale is below
    a quarter of the median of those that are not constant."""
    scaler = StandardScaler().fit(codes.astype(np.float64))
    scale = scaler.scale_
    varies = scaler.var_ > 1e-30
    usual = np.median(np.sqrt(scaler.var_[varies])) if varies.any() else 0.0
    X: Array = (codes - scaler.mean_) / np.where(varies, np.maximum(scale, 0.25 * usual), 1.0)
    return X


def names(y: np.ndarray) -> list[str]:
    """Return class names whose order is that of the classes."""
    return [f"class-{label:02d}" for label in y]


def probe_of(codes: CodeArray, y: np.ndarray, kind: ProbeKind, C: float) -> LinearProbe:
    """Return the probe of the classes in `y`, fitted from nothing."""
    classes, own = np.unique(y, return_inverse=True)
    found = fit(codes, own, len(classes), kind=kind, C=C)
    return LinearProbe(kind, tuple(names(classes)), found.weights, found.bias, "tap")

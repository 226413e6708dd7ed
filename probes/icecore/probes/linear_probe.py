"""The value LinearProbe: weights over the raw codes of one tap, and how they are applied.

numpy alone; training is in `fitting` and `selection`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import CodesInvalid, InputInvalid, TapMismatch
from icecore.probes.preprocessing import Preprocessing, preprocessed

Array: TypeAlias = npt.NDArray[np.float64]
CodeArray: TypeAlias = npt.NDArray[np.floating[Any]]


class ProbeKind(StrEnum):
    """Which loss the probe was fitted with."""

    SVM = "svm"
    SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a probe says of `n` images, in their order.

    `scores` is (n, k) float64. `probability` is (n,) float64 and belongs to the label;
    None for an SVM, whose scores are distances, not probabilities.
    """

    labels: tuple[str, ...]
    probability: Array | None
    scores: Array


@dataclass(frozen=True, slots=True, eq=False)
class LinearProbe:
    """A linear classifier of `k` classes over codes of one tap.

    `weights` is (k, d) float32 and `bias` (k,) float64; both have a single row where
    k == 2, as scikit-learn's `coef_` has: it scores for the second class. They act on raw
    codes, preprocessed as the probe says: standardisation is folded in. `tap` is the identity
    of the tap as an opaque string, compared and never parsed. Arrays are kept as read-only
    views.

    Raises:
        InputInvalid: fewer than two classes, one named twice, names that are no strings,
            arrays of another shape or dtype, or with values that are not finite.
    """

    kind: ProbeKind
    classes: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    bias: Array
    tap: str
    preprocessing: Preprocessing = Preprocessing.NONE

    def __post_init__(self) -> None:
        k = len(self.classes)
        if k < 2 or len(set(self.classes)) != k:
            raise InputInvalid(f"a probe needs two or more different classes, not {self.classes!r}")
        if not all(isinstance(text, str) for text in (*self.classes, self.tap)):
            raise InputInvalid(f"classes {self.classes!r} and tap {self.tap!r} must be strings")
        rows = 1 if k == 2 else k
        weights, bias = self.weights, self.bias
        if weights.ndim != 2 or weights.shape[0] != rows or not weights.shape[1]:
            raise InputInvalid(
                f"weights have shape {weights.shape!r}, but {k} classes need ({rows}, d)"
            )
        if bias.shape != (rows,):
            raise InputInvalid(f"bias has shape {bias.shape!r}, but {k} classes need ({rows},)")
        if weights.dtype != np.float32 or bias.dtype != np.float64:
            raise InputInvalid(
                f"weights are {weights.dtype.name!r} and bias is {bias.dtype.name!r}, "
                "but must be float32 and float64"
            )
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise InputInvalid("weights or bias hold a value that is not finite")
        object.__setattr__(self, "kind", ProbeKind(self.kind))
        object.__setattr__(self, "preprocessing", Preprocessing(self.preprocessing))
        object.__setattr__(self, "weights", _read_only(weights))
        object.__setattr__(self, "bias", _read_only(bias))

    @property
    def d(self) -> int:
        """Values an image."""
        return int(self.weights.shape[1])

    def __eq__(self, other: object) -> bool:
        """Return whether kind, classes, tap and all numbers are the same."""
        return (
            isinstance(other, LinearProbe)
            and (self.kind, self.classes, self.tap) == (other.kind, other.classes, other.tap)
            and self.preprocessing is other.preprocessing
            and np.array_equal(self.weights, other.weights)
            and np.array_equal(self.bias, other.bias)
        )

    __hash__ = None  # type: ignore[assignment]

    def scores(self, codes: CodeArray, *, tap: str) -> Array:
        """Return one score a class for each image.

        SVM: decision values (binary: -s and s, s being scikit-learn's). Softmax: logits
        (binary: -s/2 and s/2, whose softmax is the logistic function of s).

        Args:
            codes: (n, d) float16, float32 or float64, finite, raw.
            tap: the identity of the tap they came from.

        Returns:
            (n, k) float64, columns in the order of `classes`.

        Raises:
            TapMismatch: the probe was fitted on codes of another tap.
            CodesInvalid: another shape or dtype, or a value that is not finite.

        Source: scikit-learn's decision_function, here in float64 with numpy alone.
        """
        if tap != self.tap:
            raise TapMismatch(
                f"codes of tap {tap!r} were given to a probe fitted on those of tap {self.tap!r}"
            )
        checked = checked_codes(codes, "codes", d=self.d)
        if self.preprocessing is not Preprocessing.NONE:
            # In the arithmetic of training, where codes of float16 and float32 are float32.
            checked = preprocessed(np.asarray(codes), self.preprocessing).astype(np.float64)
        raw = checked @ self.weights.T.astype(np.float64)
        raw += self.bias
        if len(self.classes) > 2:
            return raw
        s = raw if self.kind is ProbeKind.SVM else raw / 2
        return np.concatenate([-s, s], axis=1)

    def predict(self, codes: CodeArray, *, tap: str) -> Predictions:
        """Return label, probability and scores of each image.

        The label has the largest score, the first of equals. Arguments and errors are
        those of `scores`.
        """
        scores = self.scores(codes, tap=tap)
        best = scores.argmax(axis=1)
        probability: Array | None = None
        if self.kind is ProbeKind.SOFTMAX:
            # The label's logit is the largest, so its own term of the sum is exp(0) = 1.
            top = scores[np.arange(len(scores)), best, None]
            probability = 1.0 / np.exp(scores - top).sum(axis=1)
        return Predictions(tuple(self.classes[i] for i in best), probability, scores)


def checked_codes(codes: CodeArray, noun: str, *, d: int | None = None) -> Array:
    """Return a matrix of codes as float64; `d` is the width it must have.

    Raises:
        CodesInvalid: no float array of two dimensions, of another width, or not finite.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind != "f" or codes.ndim != 2:
        raise CodesInvalid(
            f"{noun} are {codes.dtype.name!r} of shape {codes.shape!r}, "
            "but must be a float array of shape (n, d)"
        )
    if d is not None and codes.shape[1] != d:
        raise CodesInvalid(f"{noun} have {codes.shape[1]} values an image, but the probe has {d}")
    check_finite(codes, noun)
    return codes.astype(np.float64)


def check_finite(codes: CodeArray, noun: str) -> None:
    """Refuse NaN and infinity, naming the first image that has one.

    Raises:
        CodesInvalid: as said.
    """
    finite = np.isfinite(codes).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise CodesInvalid(f"{noun} of image {row} hold a value that is not finite")


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view

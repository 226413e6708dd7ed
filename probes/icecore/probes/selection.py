"""Training a probe: C and layer are chosen, and judged by folds that chose nothing.

Five outer folds. In each, three inner folds of the training part choose a C for every
layer and, by the same predictions, the layer; the held-out part judges that choice. The
probe itself is chosen on all data: the layer that the outer predictions, with C chosen
inside, prefer (`preferring`), and its C by the outer folds. It is then fitted on all.

Source: nested cross-validation (Varma and Simon, "Bias in error estimation when using
cross-validation for model selection", 2006; Cawley and Talbot, "On over-fitting in model
selection", 2010).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from icecore.probes.cross_validation import OUTER_FOLDS, Folds
from icecore.probes.errors import InputInvalid
from icecore.probes.fitting import Fit, fit
from icecore.probes.intervals import Accuracy, held_out_accuracy
from icecore.probes.linear_probe import CodeArray, LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing
from icecore.probes.searching import FITTING, search
from icecore.probes.solving.weighting import Weighting
from icecore.probes.training_data import TrainingData

DEFAULT_CS: Final = {
    ProbeKind.SOFTMAX: (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    ProbeKind.SVM: (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
}
"""On standardised codes: wide layers want the small ones, a first layer of few channels
the large. An SVM's are a tenth, since its loss is eight times as curved."""

C_RANGE: Final = (1e-12, 1e8)
"""Outside, float64 no longer tells a probe from its best one: by far too small a C weights
vanish beside the loss, by far too large a one the loss beside its own rounding: from 1e9 on
gaps of wide codes were above 1e-6, and at 1e12 some were not told at all."""

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One layer's held-out accuracy, with C chosen inside the training folds.

    `C` is what all data prefer at this layer, with codes as they are: how they are preprocessed is
    chosen for the chosen layer afterwards. Each trial is judged fairly by itself, but the
    chosen one is the best of them, and so its accuracy is a little too high for the probe;
    `Training.accuracy` is not.
    """

    key: str
    accuracy: Accuracy
    C: float
    is_chosen: bool


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What training found.

    `accuracy` is of choosing and fitting together: from outer folds that had no part in
    C or layer. `naive` is the chosen layer's and C's accuracy in the very folds that chose
    them, kept to show the difference. `trials` are in the order of the codes given; of many
    layers, those on a shortlist. `predicted` (n,) int64 is what the outer folds behind
    `accuracy` took each image for, in the order of rows, an index of `classes`; -1 where an
    image was in no fold.
    """

    kind: ProbeKind
    key: str
    preprocessing: Preprocessing
    C: float
    classes: tuple[str, ...]
    fit: Fit
    accuracy: Accuracy
    predicted: np.ndarray
    naive: float
    trials: tuple[Trial, ...]
    seed: int
    n_images: int
    n_groups: int
    class_sizes: tuple[int, ...]
    """Images of each class, in the order of `classes`."""
    n_judged: int
    """Images that `accuracy` is of."""

    def probe(self, tap: str) -> LinearProbe:
        """Return the fitted probe, over the tap that `key` stands for."""
        return LinearProbe(
            self.kind,
            self.classes,
            self.fit.weights,
            self.fit.bias,
            tap,
            self.preprocessing,
        )


def train(
    codes: Mapping[str, CodeArray],
    labels: Sequence[str],
    *,
    kind: ProbeKind | str,
    groups: Sequence[str] | None = None,
    positions: Mapping[str, float] | None = None,
    preprocessings: Sequence[Preprocessing | str] = tuple(Preprocessing),
    may_shortlist: bool = True,
    sample_weight: npt.NDArray[Any] | None = None,
    class_weight: Mapping[str, float] | str | None = None,
    seed: int = 0,
    Cs: Sequence[float] | None = None,
    on_progress: OnProgress | None = None,
) -> Training:
    """Return the probe that cross-validation chooses among layers and Cs.

    The same arguments give the same answer. Folds are dealt by row, so the caller keeps
    one order of rows (by id); the order of `codes` decides between equal layers: the
    earlier one wins, which is the cheaper. BLAS runs on one thread.

    Args:
        codes: (n, d) float arrays by key, one a candidate layer, rows in one order.
        labels: n class names; `classes` are their sorted set.
        kind: "svm" or "softmax".
        groups: n names; images of one group are never on both sides of a fold. The
            digest of the image serves, so that copies of an image cannot help it.
        positions: each layer's depth as a share of its network's, above 0 to 1: neighbours help
            to tell which is best. None: each stands for itself.
        preprocessings: to choose from once the layer is chosen; of equals the first.
        may_shortlist: judge those on a shortlist where layers and images are many; else all.
        sample_weight, class_weight: as scikit-learn's: (n,), and a number a class or "balanced".
            They count in fits; accuracy is of images, each counted once.
        seed: decides the folds.
        Cs: to choose from, within `C_RANGE`; `DEFAULT_CS` of the kind when None.
        on_progress: called with "choosing" or "fitting" and the share done, 0..1.

    Raises:
        CodesInvalid, LabelsInvalid, InputInvalid: arguments of wrong shape or value.
        ClassesTooFew, ClassTooSmall: nothing to learn from.
    """
    kind = _checked_kind(kind)
    Cs = _checked_grid(DEFAULT_CS[kind] if Cs is None else Cs)
    data = TrainingData.of(codes, labels, groups)
    preprocessings = _checked_ways(preprocessings)
    _check_positions(positions, data)
    if seed < 0:
        raise InputInvalid(f"seed is {seed!r}, but must not be negative")
    weighting = Weighting.of(sample_weight, class_weight, data.classes, len(data.y))
    y, k = data.y, len(data.classes)
    folds = Folds.of(y, data.groups, seed)

    def tell(stage: str, share: float) -> None:
        if on_progress is not None:
            on_progress(stage, share)

    tell("choosing", 0.0)
    with threadpool_limits(1, user_api="blas"):
        found = search(
            data,
            folds,
            kind=kind,
            Cs=Cs,
            positions=positions,
            preprocessings=preprocessings,
            weighting=weighting,
            may_shortlist=may_shortlist,
            report=partial(tell, "choosing"),
        )
        choice, layers = found.choice, found.layers
        tell("fitting", 1.0 - FITTING)
        C = Cs[choice.C_of[choice.key]]
        fitted = fit(found.material, y, k, kind=kind, C=C, weighting=weighting)
    tell("fitting", 1.0)
    groups_held = data.groups[folds.outer >= 0]
    return Training(
        kind=kind,
        key=layers.key,
        preprocessing=found.ways[choice.key][1],
        C=fitted.C,
        classes=data.classes,
        fit=fitted,
        accuracy=held_out_accuracy(choice.right, groups_held, n_folds=OUTER_FOLDS),
        predicted=choice.predicted,
        naive=found.naive,
        trials=tuple(
            Trial(
                key,
                held_out_accuracy(layers.right_of[key], groups_held, n_folds=OUTER_FOLDS),
                Cs[layers.C_of[key]],
                key == layers.key,
            )
            for key in found.judgements
        ),
        seed=seed,
        n_images=len(y),
        n_groups=len(np.unique(data.groups)),
        class_sizes=tuple(int(size) for size in np.bincount(y)),
        n_judged=len(choice.right),
    )


def _checked_kind(kind: ProbeKind | str) -> ProbeKind:
    try:
        return ProbeKind(kind)
    except ValueError:
        known = ", ".join(repr(each.value) for each in ProbeKind)
        raise InputInvalid(f"probe kind {str(kind)!r} is not one of {known}") from None


def _checked_ways(preprocessings: Sequence[Preprocessing | str]) -> tuple[Preprocessing, ...]:
    try:
        ways = tuple(dict.fromkeys(Preprocessing(each) for each in preprocessings))
    except ValueError:
        ways = ()
    if not ways:
        known = ", ".join(repr(each.value) for each in Preprocessing)
        raise InputInvalid(f"preprocessings are {list(preprocessings)!r}, but some of {known} are")
    return ways


def _check_positions(positions: Mapping[str, float] | None, data: TrainingData) -> None:
    for key in data.codes if positions is not None else ():
        position = (positions or {}).get(key)
        if position is None or not 0.0 < position <= 1.0:
            raise InputInvalid(
                f"the position of layer {key!r} is {position!r}, but must be above 0 and at most 1"
            )


def _checked_grid(Cs: Sequence[float]) -> tuple[float, ...]:
    values = tuple(sorted({float(C) for C in Cs}))
    least, most = C_RANGE
    if not values or not all(least <= C <= most for C in values):
        raise InputInvalid(
            f"Cs are {tuple(Cs)!r}, but must be one or more numbers from {least:g} to {most:g}"
        )
    return values

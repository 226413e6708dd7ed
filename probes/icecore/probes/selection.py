"""Training a probe: C and layer are chosen, and judged by folds that chose nothing.

Five outer folds. In each, three inner folds of the training part choose a C for every
layer and, by the same predictions, the layer; the held-out part judges that choice. The
probe itself is chosen on all data: the layer that the outer predictions, with C chosen
inside, prefer (`preferring`), and its C by the outer folds. It is then fitted on all.

Source: nested cross-validation (Varma and Simon, "Bias in error estimation when using
cross-validation for model selection", 2006; Cawley and Talbot, "On over-fitting in model
selection", 2010).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from icecore.probes.comparing import Answers, compare
from icecore.probes.cross_validation import OUTER_FOLDS, Folds
from icecore.probes.errors import InputInvalid
from icecore.probes.fitting import fit
from icecore.probes.intervals import held_out_accuracy
from icecore.probes.joining.joint import Joint, join
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.preprocessing import FOR_ANY, Preprocessing
from icecore.probes.question import DEFAULT_CS, Question, checked_grid, checked_kind, checked_ways
from icecore.probes.searching import FITTING, Search, search
from icecore.probes.shares import OnShare
from icecore.probes.solving.weighting import Weighting
from icecore.probes.training import Gain, OnProgress, Training, Trial
from icecore.probes.training_data import TrainingData

ALONE: Final = 0.3
"""The share of the work that judging layers by themselves is, where they are also joined."""


def train(
    codes: Mapping[str, CodeArray],
    labels: Sequence[str],
    *,
    kind: ProbeKind | str,
    groups: Sequence[str] | None = None,
    positions: Mapping[str, float | None] | None = None,
    outputs: Sequence[str] = (),
    alternatives: Mapping[str, Sequence[str]] | None = None,
    preprocessings: Sequence[Preprocessing | str] = FOR_ANY,
    joining: bool = False,
    may_shortlist: bool = True,
    sample_weight: npt.NDArray[Any] | None = None,
    class_weight: Mapping[str, float] | str | None = None,
    seed: int = 0,
    Cs: Sequence[float] | None = None,
    threads: int = 1,
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
            to tell which is best. None for all: each stands for itself; for one, as for a network's
            outputs: it has to be surely better (`preferring.EVIDENCE`).
        outputs: keys of a classifier's logits: their softmax, the probabilities, is a
            candidate too.
        alternatives: for a layer's key, those of other codes of the same layer (of other
            poolings), to choose from once the layer is chosen.
        preprocessings: to choose from once the layer is chosen; of equals the first.
        joining: the probe reads several layers together (`joining.joint`); `Training.gain`
            says whether that is better than the best one by itself.
        may_shortlist: judge those on a shortlist where layers and images are many; else all.
        sample_weight, class_weight: as scikit-learn's: (n,), and a number a class or "balanced".
            They count in fits; accuracy is of images, each counted once.
        seed: decides the folds.
        Cs: to choose from, within `C_RANGE`; `DEFAULT_CS` of the kind when None.
        threads: that fits of folds may use at once; the answer is the same.
        on_progress: called with "choosing" or "fitting" and the share done, 0..1.

    Raises:
        CodesInvalid, LabelsInvalid, InputInvalid: arguments of wrong shape or value.
        ClassesTooFew, ClassTooSmall: nothing to learn from.
    """
    kind = checked_kind(kind)
    Cs = checked_grid(DEFAULT_CS[kind] if Cs is None else Cs)
    data = TrainingData.of(codes, labels, groups)
    if seed < 0:
        raise InputInvalid(f"seed is {seed!r}, but must not be negative")
    asked = Question(
        kind=kind,
        Cs=Cs,
        positions=positions,
        outputs=outputs,
        alternatives=alternatives or {},
        preprocessings=checked_ways(preprocessings),
        may_shortlist=may_shortlist,
        weighting=Weighting.of(sample_weight, class_weight, data.classes, len(data.y)),
        threads=threads,
    )
    asked.check(data)
    if joining and len(layers := data.codes.keys() - asked.others) < 2:
        raise InputInvalid(f"there is one layer, {next(iter(layers))!r}, and nothing to join it to")
    y = data.y
    folds = Folds.of(y, data.groups, seed)

    def tell(stage: str, share: float) -> None:
        if on_progress is not None:
            on_progress(stage, share)

    tell("choosing", 0.0)
    with threadpool_limits(1, user_api="blas"):
        part = ALONE if joining else 1.0
        found = search(data, folds, asked, lambda share: tell("choosing", part * share))
        joint = _joint(data, folds, asked, partial(tell, "choosing")) if joining else None
        tell("fitting", 1.0 - FITTING)
        choice, C, material = found.choice, Cs[found.choice.C_of[found.choice.key]], found.material
        if joint is not None:
            choice, C, material = joint.choice, joint.C, joint.material
        fitted = fit(material, y, len(data.classes), kind=kind, C=C, weighting=asked.weighting)
    tell("fitting", 1.0)
    groups_held = data.groups[folds.outer >= 0]
    key, preprocessing = found.ways[found.choice.key]
    return Training(
        kind=kind,
        key=key,
        preprocessing=preprocessing if joint is None else Preprocessing.NONE,
        C=fitted.C,
        classes=data.classes,
        fit=fitted,
        accuracy=held_out_accuracy(choice.right, groups_held, n_folds=OUTER_FOLDS),
        predicted=choice.predicted,
        naive=found.naive if joint is None else joint.naive,
        trials=_trials(found, Cs, groups_held),
        seed=seed,
        n_images=len(y),
        n_groups=len(np.unique(data.groups)),
        class_sizes=tuple(int(size) for size in np.bincount(y)),
        n_judged=len(choice.right),
        joined=() if joint is None else joint.layers,
        gain=None if joint is None else _gain(joint, found, groups_held),
        alternatives=_alternatives(found, Cs, groups_held),
        n_layers=found.n_layers,
    )


def _joint(data: TrainingData, folds: Folds, asked: Question, report: OnShare) -> Joint:
    layers = {key: codes for key, codes in data.codes.items() if key not in asked.others}
    begin, end = ALONE * (1.0 - FITTING), 1.0 - FITTING
    return join(
        replace(data, codes=layers),
        folds,
        kind=asked.kind,
        Cs=asked.Cs,
        report=lambda share: report(begin + share * (end - begin)),
        weighting=asked.weighting,
        threads=asked.threads,
    )


def _gain(joint: Joint, found: Search, groups: np.ndarray) -> Gain:
    is_new = np.zeros(len(groups), np.bool_)
    seen = compare(
        Answers(found.choice.right, is_new, OUTER_FOLDS),
        Answers(joint.choice.right, is_new, OUTER_FOLDS),
        groups,
    )
    return Gain(seen.accuracy_a, seen.difference, seen.low, seen.high)


def _trials(found: Search, Cs: Sequence[float], groups: np.ndarray) -> tuple[Trial, ...]:
    layers = found.layers
    return tuple(
        Trial(
            key,
            held_out_accuracy(layers.right_of[name], groups, n_folds=OUTER_FOLDS),
            Cs[layers.C_of[name]],
            name == layers.key,
            preprocessing,
        )
        for name, (key, preprocessing) in found.candidates.items()
    )


def _alternatives(found: Search, Cs: Sequence[float], groups: np.ndarray) -> tuple[Trial, ...]:
    """Return a trial of each key of the chosen layer. C and preprocessing of the chosen one are the
    probe's, of another what all data prefer there."""
    chosen, _ = found.ways[found.choice.key]
    trials = []
    for key, choice in found.alternatives.items():
        its = found.choice if key == chosen else choice
        _, preprocessing = found.ways[its.key]
        accuracy = held_out_accuracy(choice.right, groups, n_folds=OUTER_FOLDS)
        trials.append(Trial(key, accuracy, Cs[its.C_of[its.key]], key == chosen, preprocessing))
    return tuple(trials)

"""Going on from an earlier probe: more images, new classes, classes gone; nothing chosen anew.

Kind, preprocessing and C stay those of the earlier probe, and the fit starts at its weights. It
ends within the same certified gap as one from nothing, so that the same probe comes out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from icecore.probes.cross_validation import (
    CHOOSING_TOLERANCE,
    CHOOSING_WEIGHTS_TOLERANCE,
    OUTER_FOLDS,
    Folds,
)
from icecore.probes.errors import CodesInvalid, InputInvalid
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.intervals import held_out_accuracy
from icecore.probes.joining.joint import side_by_side
from icecore.probes.linear_probe import CodeArray, LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.question import C_RANGE
from icecore.probes.solving.material import ROTATED_UP_TO, Material
from icecore.probes.solving.paths import Paths
from icecore.probes.solving.plain import Plain
from icecore.probes.solving.row_blocks import RowBlocks
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.solving.tiles import sets_at_once
from icecore.probes.solving.weighting import ALIKE
from icecore.probes.starting import fit_from
from icecore.probes.training import OnProgress, Training, Trial
from icecore.probes.training_data import TrainingData

JUDGING: Final = 0.7
"""The share of the work that the folds are."""


def continued(
    base: LinearProbe,
    codes: Mapping[str, CodeArray],
    labels: Sequence[str],
    *,
    C: float,
    groups: Sequence[str] | None = None,
    chosen_on: Collection[str] | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Training:
    """Return the probe of `base`'s kind, preprocessing and C on these images.

    Layer and C were chosen on earlier images, which would flatter them: of thirty layers of
    noise the chosen one is right on 68 % of those, and not on half. So `Training.accuracy` is
    of the other images alone, each held out by one of five folds that fit from nothing;
    `predicted` is -1 for the earlier ones, and `n_judged` may be 0. `naive` is the folds'
    figure over all images.

    Args:
        base: may have other classes. A new one starts at zero, one that is gone is dropped.
        codes: (n, d) float, raw, by key: of the layer that `base` reads, or of those joined, in
            order.
        labels: n class names, as all of it.
        C: of `base`.
        chosen_on: groups that had a part in the choice; None: all may have had.
        groups, seed, on_progress: as in `train`.

    Raises:
        CodesInvalid, LabelsInvalid, InputInvalid: arguments of wrong shape or value.
        ClassesTooFew, ClassTooSmall: nothing to learn from.
    """
    if not C_RANGE[0] <= C <= C_RANGE[1]:
        raise InputInvalid(
            f"C is {C!r}, but must be a number from {C_RANGE[0]:g} to {C_RANGE[1]:g}"
        )
    data = TrainingData.of(codes, labels, groups)
    d = sum(each.shape[1] for each in codes.values())
    if d != base.d:
        raise CodesInvalid(f"codes have {d} values an image, but the earlier probe has {base.d}")
    y, k = data.y, len(data.classes)

    def tell(stage: str, share: float) -> None:
        if on_progress is not None:
            on_progress(stage, share)

    tell("fitting", 0.0)
    with threadpool_limits(1, user_api="blas"):
        material = _material(data.codes, base.preprocessing)
        fitted = fit_from(base, material, y, data.classes, C=C)
        tell("fitting", 1.0 - JUDGING)
        outer = Folds.of(y, data.groups, seed).outer
        predicted = _predicted(
            material,
            y,
            k,
            outer,
            base.kind,
            C,
            lambda share: tell("fitting", 1.0 - JUDGING + JUDGING * share),
        )
    held = outer != NEVER_HELD_OUT
    naive = float(np.mean((predicted == y)[held])) if held.any() else 0.0
    if chosen_on is None or groups is None:
        held[:] = False
    else:
        known = frozenset(chosen_on)
        held &= np.array([group not in known for group in groups])
    predicted = np.where(held, predicted, NEVER_HELD_OUT)
    accuracy = held_out_accuracy((predicted == y)[held], data.groups[held], n_folds=OUTER_FOLDS)
    keys = tuple(codes)
    return Training(
        kind=base.kind,
        key=keys[-1],
        preprocessing=base.preprocessing,
        C=C,
        classes=data.classes,
        fit=fitted,
        accuracy=accuracy,
        predicted=predicted,
        naive=naive,
        n_judged=int(np.count_nonzero(held)),
        trials=(Trial(keys[0], accuracy, C, is_chosen=True),) if len(keys) == 1 else (),
        seed=seed,
        n_images=len(y),
        n_groups=len(np.unique(data.groups)),
        class_sizes=tuple(int(size) for size in np.bincount(y)),
        joined=keys if len(keys) > 1 else (),
    )


def _material(codes: Mapping[str, CodeArray], how: Preprocessing) -> Plain | RowBlocks:
    standardisation: Standardisation | None = None
    if len(codes) > 1:
        standardisation = Standardisation.joined(list(map(Standardisation.of, codes.values())))
    joined = preprocessed(side_by_side(codes, list(codes)), how)
    if min(joined.shape) <= ROTATED_UP_TO:
        return Plain.of(joined, standardisation)
    return RowBlocks.of(joined, standardisation)


def _predicted(
    material: Material,
    y: np.ndarray,
    k: int,
    outer: np.ndarray,
    kind: ProbeKind,
    C: float,
    report: Callable[[float], None],
) -> np.ndarray:
    """Return what the fold that held an image out took it for, (n,) int64, or -1."""
    predicted = np.full(len(y), NEVER_HELD_OUT, np.int64)
    for at_once in sets_at_once(k, OUTER_FOLDS, len(y)):
        folds = range(OUTER_FOLDS)[at_once]
        training = [np.flatnonzero(outer != fold) for fold in folds]
        paths = Paths(material.features, y, k, kind, *ALIKE.of_sets(y, k, training))
        reached = paths.reach(C, tol=CHOOSING_TOLERANCE, weights_tol=CHOOSING_WEIGHTS_TOLERANCE)
        for fold, scores in zip(folds, reached.scores, strict=True):
            held = outer == fold
            seen = scores[:, held]
            predicted[held] = seen[0] > 0.0 if k == 2 else seen.argmax(axis=0)
        report(at_once.stop / OUTER_FOLDS)
    return predicted

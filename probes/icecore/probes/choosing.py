"""Choosing C and layer from what folds saw; the folds that judge have no say in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from icecore.probes.cross_validation import OUTER_FOLDS, Folds, Judgement
from icecore.probes.folds import NEVER_HELD_OUT


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen, and which held-out predictions are right, (rows held out,) bool.

    `key` and `C_of` (an index of the grid, for each layer) are chosen on all data. `right`
    is of predictions whose layer and C the outer fold's training part chose, and
    `predicted` (n,) int64 are these predictions, -1 for rows never held out; in
    `right_of` it chose the C of that layer alone.
    """

    key: str
    C_of: dict[str, int]
    right: np.ndarray
    predicted: np.ndarray
    right_of: dict[str, np.ndarray]


def choose(judgements: Mapping[str, Judgement], folds: Folds) -> Choice:
    """Return the choice: by right predictions; of equals the smaller loss, smaller C, later layer.

    An outer fold's inner folds choose for it, C first and then the layer. On all data, a
    layer is chosen by `right_of`, and its C by the outer folds.
    """
    n = len(folds.outer)
    right = np.zeros(n, np.bool_)
    predicted = np.full(n, NEVER_HELD_OUT, np.int64)
    right_of = {key: np.zeros(n, np.bool_) for key in judgements}
    loss_of = dict.fromkeys(judgements, 0.0)
    for fold in range(OUTER_FOLDS):
        held = folds.outer == fold
        ranks = []
        for place, (key, seen) in enumerate(judgements.items()):
            i = _best(seen.inner_right[fold], seen.inner_loss[fold])
            right_of[key][held] = seen.outer_right[i, held]
            loss_of[key] += seen.outer_loss[fold, i]
            ranks.append((-seen.inner_right[fold, i], seen.inner_loss[fold, i], -place, i, key))
        *_, i, key = min(ranks)
        right[held] = right_of[key][held]
        predicted[held] = judgements[key].outer_predicted[i, held]
    counted = folds.outer >= 0
    _, _, _, chosen = min(
        (-int(right_of[key].sum()), loss_of[key], -place, key)
        for place, key in enumerate(judgements)
    )
    return Choice(
        chosen,
        {
            key: _best(seen.outer_right[:, counted].sum(axis=1), seen.outer_loss.sum(axis=0))
            for key, seen in judgements.items()
        },
        right[counted],
        predicted,
        {key: values[counted] for key, values in right_of.items()},
    )


def _best(right: np.ndarray, loss: np.ndarray) -> int:
    return min(range(len(right)), key=lambda i: (-right[i], loss[i], i))

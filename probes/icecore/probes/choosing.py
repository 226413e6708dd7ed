"""Choosing C and layer from what folds saw; the folds that judge have no say in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from icecore.probes.cross_validation import OUTER_FOLDS, Folds, Judgement
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.preferring import Places, preferred
from icecore.probes.shortlisting import Shortlists


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen, and which held-out predictions are right, (rows held out,) bool.

    `key` and `C_of` (an index of the grid, for each layer) are chosen on all data. `right`
    is of predictions whose layer and C the outer fold's training part chose, and
    `predicted` (n,) int64 are these predictions, -1 for rows never held out; in
    `right_of` it chose the C of that layer alone. `key_of` is what each outer fold chose.
    """

    key: str
    C_of: dict[str, int]
    right: np.ndarray
    predicted: np.ndarray
    right_of: dict[str, np.ndarray]
    key_of: tuple[str, ...] = ()


def choose(
    judgements: Mapping[str, Judgement],
    folds: Folds,
    *,
    positions: Mapping[str, float | None] | None = None,
    allowed: Shortlists | None = None,
) -> Choice:
    """Return the choice: C by right predictions (of equals the smaller loss, then the
    smaller C), then the layer as `preferred` says.

    An outer fold's inner folds choose for it. On all data, a layer is chosen by
    `right_of`, and its C by the outer folds.

    Args:
        judgements: of each layer, from the first to the last.
        positions: each one's depth as a share of the network's; None, of one or of all: no
            neighbours, and one beside others has to be surely better (`preferred`).
        allowed: what each outer fold, and all data, may choose among; None: all.
    """
    n = len(folds.outer)
    keys = list(judgements)
    right = np.zeros(n, np.bool_)
    predicted = np.full(n, NEVER_HELD_OUT, np.int64)
    right_of = {key: np.zeros(n, np.bool_) for key in keys}
    loss_of = dict.fromkeys(keys, 0.0)
    key_of = []
    for fold in range(OUTER_FOLDS):
        held = folds.outer == fold
        judged = np.flatnonzero(folds.outer != fold)[folds.inner[fold] != NEVER_HELD_OUT]
        C_in = {
            key: _best(seen.inner_right[fold][:, judged].sum(axis=1), seen.inner_loss[fold])
            for key, seen in judgements.items()
        }
        for key, seen in judgements.items():
            right_of[key][held] = seen.outer_right[C_in[key], held]
            loss_of[key] += seen.outer_loss[fold, C_in[key]]
        among = keys if allowed is None else allowed.of_folds[fold]
        key = _preferred(
            among,
            [judgements[key].inner_right[fold][C_in[key], judged] for key in among],
            [judgements[key].inner_loss[fold, C_in[key]] for key in among],
            _places(among, judgements, positions),
        )
        right[held] = right_of[key][held]
        predicted[held] = judgements[key].outer_predicted[C_in[key], held]
        key_of.append(key)
    counted = folds.outer >= 0
    among = keys if allowed is None else allowed.of_all
    return Choice(
        _preferred(
            among,
            [right_of[key][counted] for key in among],
            [loss_of[key] for key in among],
            _places(among, judgements, positions),
        ),
        {
            key: _best(seen.outer_right[:, counted].sum(axis=1), seen.outer_loss.sum(axis=0))
            for key, seen in judgements.items()
        },
        right[counted],
        predicted,
        {key: values[counted] for key, values in right_of.items()},
        tuple(key_of),
    )


def _preferred(
    among: Sequence[str],
    right: Sequence[np.ndarray],
    loss: Sequence[float],
    places: Places | None,
) -> str:
    return among[preferred(np.stack(right), np.array(loss), places)]


def _places(
    among: Sequence[str],
    judgements: Mapping[str, Judgement],
    positions: Mapping[str, float | None] | None,
) -> Places | None:
    if positions is None:
        return None
    return Places.of([positions[key] for key in among], [judgements[key].width for key in among])


def _best(right: np.ndarray, loss: np.ndarray) -> int:
    return min(range(len(right)), key=lambda i: (-right[i], loss[i], i))

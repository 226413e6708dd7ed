"""Several layers of the chosen backbone read together: whether that is better than the best one."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.comparing import Answers, compare
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.intervals import Accuracy
from icecore.probes.joining.joint import Joint, join
from icecore.probes.shares import OnShare, work

WORK: Final = 0.4
"""Of what judging the same layers by themselves takes: .46, .27 and .41 of 182, 400 and 960
images at 34 places of EfficientNet-Lite0."""


@dataclass(frozen=True, slots=True)
class Together:
    """Layers that folds choose to read together; `places` are in the advice's layers.

    `difference` is their accuracy less that of the choice of one layer, codes as they are in both,
    `low` and `high` its 95 % interval, from the same held-out images. Where `low` is above 0
    it is to be offered.
    """

    places: tuple[int, ...]
    accuracy: Accuracy
    difference: float
    low: float
    high: float


def together(contest: LayerContest, on_share: OnShare) -> Together | None:
    """Return what the layers of the chosen one's backbone do together; None of a single one.

    Of several backbones each outer fold joins the layers of the one that its own choice is of:
    the one that all images prefer would flatter what they say of it.

    Source: `join`, in the contest's folds.
    """
    backbone_of = [contest.candidates[key].backbone for key in contest.choice.key_of]
    chosen = contest.chosen.backbone
    if len(contest.layers_of(chosen)) < 2:
        return None
    folds, y = contest.contest.deals[0], contest.data.y
    joints: dict[str, Joint] = {}
    names = list(dict.fromkeys([chosen, *backbone_of]))
    for place, name in enumerate(names):
        layers = contest.layers_of(name)
        if len(layers) < 2:
            continue
        begin = place / len(names)
        with threadpool_limits(1, user_api="blas"):
            joints[name] = join(
                replace(contest.data, codes={one.key: one.codes for one in layers}),
                folds,
                kind=contest.kind,
                Cs=contest.Cs,
                report=partial(_part, on_share, begin, 1.0 / len(names)),
            )
    predicted = contest.choice.predicted.copy()  # of a backbone of one layer, its choice
    for fold, name in enumerate(backbone_of):
        if name in joints:
            held = folds.outer == fold
            predicted[held] = joints[name].choice.predicted[held]
    is_new = np.zeros(len(contest.groups), np.bool_)
    seen = compare(
        Answers(contest.choice.right, is_new, OUTER_FOLDS),
        Answers((predicted == y)[contest.contest.held], is_new, OUTER_FOLDS),
        contest.groups,
    )
    by_key = {one.key: contest.place(one) for one in contest.layers_of(chosen)}
    return Together(
        tuple(by_key[key] for key in joints[chosen].layers),
        seen.accuracy_b,
        seen.difference,
        seen.low,
        seen.high,
    )


def work_of(contest: LayerContest) -> float:
    """Return what it takes, as `contest.work` counts."""
    keys = [*contest.choice.key_of, contest.choice.key]
    each = [contest.layers_of(name) for name in {contest.candidates[key].backbone for key in keys}]
    return WORK * sum(work(one.codes) for layers in each if len(layers) > 1 for one in layers)


def _part(on_share: OnShare, begin: float, width: float, share: float) -> None:
    on_share(begin + width * share)

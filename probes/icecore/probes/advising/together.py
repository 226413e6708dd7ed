"""Several layers of the chosen backbone read together: whether that is better than the best one."""

from dataclasses import dataclass, replace
from typing import Final

from threadpoolctl import threadpool_limits

from icecore.probes.advising.contest import work
from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.comparing import Answers, compare
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.intervals import Accuracy
from icecore.probes.joining.joint import join
from icecore.probes.shares import OnShare

WORK: Final = 0.4
"""Of what judging the same layers by themselves takes: .46, .27 and .41 of 182, 400 and 960
images at 34 places of EfficientNet-Lite0."""


@dataclass(frozen=True, slots=True)
class Together:
    """Layers that folds choose to read together; `places` are in the advice's layers.

    `difference` is their accuracy less that of the choice of one, `low` and `high` its 95 %
    interval, from the same held-out images. Where `low` is above 0 it is to be offered.
    """

    places: tuple[int, ...]
    accuracy: Accuracy
    difference: float
    low: float
    high: float


def together(contest: LayerContest, on_share: OnShare) -> Together | None:
    """Return what the layers of the chosen one's backbone do together; None of a single one.

    Source: `join`, in the contest's folds.
    """
    layers = contest.layers_of(contest.chosen.backbone)
    if len(layers) < 2:
        return None
    with threadpool_limits(1, user_api="blas"):
        joint = join(
            replace(contest.data, codes={one.key: one.codes for one in layers}),
            contest.contest.deals[0],
            kind=contest.kind,
            Cs=contest.Cs,
            report=on_share,
        )
    is_new = contest.choice.right & False
    seen = compare(
        Answers(contest.choice.right, is_new, OUTER_FOLDS),
        Answers(joint.choice.right, is_new, OUTER_FOLDS),
        contest.groups,
    )
    by_key = {one.key: contest.place(one) for one in layers}
    return Together(
        tuple(by_key[key] for key in joint.layers),
        seen.accuracy_b,
        seen.difference,
        seen.low,
        seen.high,
    )


def work_of(contest: LayerContest) -> float:
    """Return what it takes, as `contest.work` counts."""
    layers = contest.layers_of(contest.chosen.backbone)
    return WORK * sum(work(one.codes) for one in layers) if len(layers) > 1 else 0.0

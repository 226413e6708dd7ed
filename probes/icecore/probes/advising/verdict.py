"""Does transfer help? The verdict from paired tests against what costs less than a backbone.

It judges the frozen probe. A network trained from scratch on the same images, or all of a
backbone trained further, is another contestant, dearer by orders, and not judged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.probes.advising.deciding import Outcome, Standing, more_images, outcome
from icecore.probes.advising.paired import Array, n_effective
from icecore.probes.errors import InputInvalid
from icecore.probes.intervals import Accuracy, held_out_accuracy

MAJORITY: Final = "majority"
PIXELS: Final = "pixels"
HOG: Final = "hog"
TWIN: Final = "random twin"

MARGIN: Final = 0.02
"""A gain below two points counts as none. Between classifiers of equal cost one point is the
usual region of practical equivalence (Benavoli et al., 2017), and it is what a cheaper layer
may lose here; a backbone costs its bytes and a pass on every image, so it has to bring twice
that."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The transfer beside one baseline.

    `accuracy` is the baseline's; of the random twin, the mean over its seeds. `difference` is
    what was seen, the transfer's accuracy less the baseline's; `low` and `high` are one-sided
    bounds of 95 %, together a 90 % interval; all in -1..1. `p` is one-sided, of being no better.
    """

    baseline: str
    accuracy: Accuracy
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests say together.

    `limiting` is the baseline that decides: the one shown better (NEGATIVE), the one over which
    no gain worth it is left (NO_GAIN), else the one over which the gain is least sure.
    `more_images` is of UNDECIDED: how many of the same mixture would decide, either way, if
    the differences are what they seem; None where not even `MOST` times today's would.
    """

    kind: Outcome
    limiting: str
    accuracy: Accuracy
    comparisons: tuple[Comparison, ...]
    margin: float
    n_images: int
    more_images: int | None


def verdict(
    transfer: npt.NDArray[Any],
    baselines: Mapping[str, npt.NDArray[Any]],
    groups: npt.NDArray[Any],
    *,
    n_folds: int,
    margin: float = MARGIN,
) -> Verdict:
    """Return the verdict on a transfer, from answers to the same images in the same folds.

    - POSITIVE: shown better than every baseline, each at 5 %. No correction for their number
      is needed: one that is not beaten is enough to withhold it.
    - NEGATIVE: shown worse than one of them, 5 % divided by their number, unless shown to be
      worse by less than the margin.
    - NO_GAIN: not negative, but over one of them a gain of `margin` or more is shown not
      to be there, 5 % divided by their number; also where a smaller gain is shown to be.
    - UNDECIDED: none of these.

    Of a baseline with several seeds the mean stands for all, and what seeds differ by,
    beyond what the images explain, widens its interval. The same arguments give the same answer.

    Args:
        transfer: (n,) bool, one a held-out image: whether the class predicted is right, where
            the layer and all else were chosen without it. Of several deals of folds, (n,)
            float, the share of right ones, 0..1.
        baselines: the same for each; (seeds, n) where it was drawn with several seeds.
        groups: (n,); images of one group count as copies of each other.
        n_folds: two or more.
        margin: in 0..1, above 0.

    Raises:
        InputInvalid: no image, no baseline, or arguments of wrong shape or value.

    Source: Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982
    (intersection-union tests); Dunn, 1961 (Bonferroni), which is Holm's first step, 1979, and
    the only one that counts where one rejection is enough; Benavoli, Corani, Demsar and Zaffalon,
    "Time for a change", 2017 (practical equivalence); `paired` names those of the intervals.
    """
    n = len(groups)
    right = _checked("the transfer", transfer, n)[0]
    answers = [_checked(repr(name), each, n) for name, each in baselines.items()]
    if not n or not answers or n_folds < 2 or not 0.0 < margin < 1.0:
        raise InputInvalid(
            f"a verdict needs images ({n}), baselines ({len(answers)}), two folds or more "
            f"({n_folds}) and a margin between 0 and 1 ({margin:g})"
        )
    standing = Standing.of(right, answers, groups, n_effective(groups, n_folds=n_folds))
    evidence = standing.evidence()
    kind, place = outcome(evidence, margin)
    found = Outcome(str(kind))
    low, high, p = evidence.low(), evidence.high(), evidence.p_better()
    names = list(baselines)
    return Verdict(
        kind=found,
        limiting=names[int(place)],
        accuracy=held_out_accuracy(right, groups, n_folds=n_folds),
        comparisons=tuple(
            Comparison(
                baseline=name,
                accuracy=held_out_accuracy(answers[i].mean(axis=0), groups, n_folds=n_folds),
                difference=float(standing.mean[i]),
                low=max(float(low[i]), -1.0),
                high=min(float(high[i]), 1.0),
                p=float(p[i]),
            )
            for i, name in enumerate(names)
        ),
        margin=margin,
        n_images=n,
        more_images=more_images(standing, n, margin) if found is Outcome.UNDECIDED else None,
    )


def _checked(name: str, right: npt.NDArray[Any], n: int) -> Array:
    """Return answers as (seeds, n) float64."""
    if right.ndim not in (1, 2) or right.shape[-1] != n or not right.size:
        raise InputInvalid(
            f"answers of {name} are of shape {right.shape!r}, but must be of {n} images"
        )
    answers = np.atleast_2d(right).astype(np.float64)
    if not ((answers >= 0.0) & (answers <= 1.0)).all():
        raise InputInvalid(f"answers of {name} are not all from 0 to 1")
    return answers

"""What labelled images say about transfer, put together from the judgements beside it.

It judges the frozen probe: a network trained from scratch, or further, is not run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from icecore.probes.advising.confusion import Confusion
from icecore.probes.advising.layer_contest import LayerAdvice, LayerContest
from icecore.probes.advising.learning_curve import learning_curve
from icecore.probes.advising.scenario import Scenario, scenario
from icecore.probes.advising.sufficiency import Sufficiency, sufficiency
from icecore.probes.advising.together import Together, together, work_of
from icecore.probes.advising.verdict import HOG, MAJORITY, PIXELS, TWIN, Verdict, verdict
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.errors import InputInvalid
from icecore.probes.intervals import Accuracy
from icecore.probes.linear_probe import CodeArray
from icecore.probes.shares import Shares, work

TWIN_SEEDS: Final = 3
"""Random twins that the chosen backbone is compared with, each of a seed of its own."""

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Baselines:
    """Codes of what costs less than a backbone, rows in the order of the images.

    `twins` has one mapping of layers a seed, of random twins of the chosen backbone; their
    layer is chosen as the backbone's is.
    """

    pixels: CodeArray
    hog: CodeArray
    twins: Sequence[Mapping[str, CodeArray]]


@dataclass(frozen=True, slots=True)
class Advice:
    """All of it; `chosen`, `cheapest` and `last` are places in `layers`.

    `accuracy` is of choosing the layer and all else, by folds that chose nothing;
    `class_sizes` are those of the images judged, in the order of `classes`. `together` is what
    several layers of the chosen one's backbone do together, None where it has one only.
    """

    classes: tuple[str, ...]
    class_sizes: tuple[int, ...]
    n_different_images: int
    layers: tuple[LayerAdvice, ...]
    chosen: int
    cheapest: int
    last: int
    accuracy: Accuracy
    verdict: Verdict
    sufficiency: Sufficiency
    scenario: Scenario
    confusion: Confusion
    together: Together | None = None


def advise(
    contest: LayerContest,
    baselines: Baselines,
    *,
    logits: CodeArray | None = None,
    n_labelled: int = 0,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Advice:
    """Return the advice that a contest of layers and its baselines give.

    Args:
        contest: of all layers.
        baselines: of the same images, twins being of `contest.chosen`'s backbone.
        logits: (n, classes) of that backbone itself, where it has them.
        n_labelled: images there are, where those judged are a part of more.
        seed: of the learning curve's draws.
        on_progress: called with "baselines" or "curve" and the share of it done, 0..1.

    Raises:
        InputInvalid: no twin.
        CodesInvalid: logits as `scenario` wants them not.
    """
    if not baselines.twins:
        raise InputInvalid("there is no random twin to compare with")
    data, depths = contest.data, contest.depths_of(contest.chosen.backbone)
    tell = _nothing if on_progress is None else on_progress
    both, of_joint = _works(contest, baselines)
    told = _verdict(
        contest, baselines, lambda share: tell("baselines", share * (1.0 - of_joint / both))
    )
    joint = together(
        contest, lambda share: tell("baselines", 1.0 - (1.0 - share) * of_joint / both)
    )
    curve = learning_curve(
        contest.chosen.codes,
        data.y,
        len(data.classes),
        data.groups,
        kind=contest.kind,
        Cs=contest.Cs,
        seed=seed,
        on_share=partial(tell, "curve"),
    )
    enough = sufficiency(curve)
    sizes = np.bincount(data.y).tolist()
    return Advice(
        classes=data.classes,
        class_sizes=tuple(sizes),
        n_different_images=len(np.unique(data.groups)),
        layers=contest.layers,
        chosen=contest.place(contest.chosen),
        cheapest=contest.cheapest,
        last=contest.place(depths[-1]),
        accuracy=contest.accuracy,
        verdict=told,
        sufficiency=enough,
        scenario=scenario(
            sizes,
            np.stack([contest.choice.right_of[one.key] for one in depths]),
            groups=data.groups,
            groups_held=contest.groups,
            advice=enough.advice,
            logits=logits,
            n_labelled=n_labelled,
        ),
        confusion=contest.confusion,
        together=joint,
    )


def _nothing(stage: str, share: float) -> None: ...


def _works(contest: LayerContest, baselines: Baselines) -> tuple[float, float]:
    """What baselines and joined layers take, and the joined layers alone."""
    codes = [
        baselines.pixels,
        baselines.hog,
        *(each for twin in baselines.twins for each in twin.values()),
    ]
    joint = work_of(contest)
    return joint + sum(map(work, codes)), joint


def _verdict(
    contest: LayerContest, baselines: Baselines, on_share: Callable[[float], None]
) -> Verdict:
    twins = [
        {f"{seed} {key}": codes for key, codes in twin.items()}
        for seed, twin in enumerate(baselines.twins)
    ]
    contestants = [{PIXELS: baselines.pixels}, {HOG: baselines.hog}, *twins]
    sizes = {key: work(codes) for each in contestants for key, codes in each.items()}
    done = Shares(sizes, 0.0, 1.0, on_share)
    pixels, hog, *drawn = [contest.answers_of(each, done.add) for each in contestants]
    return verdict(
        contest.answers,
        {
            MAJORITY: contest.contest.majority(),
            PIXELS: pixels,
            HOG: hog,
            TWIN: np.stack(drawn),
        },
        contest.groups,
        n_folds=OUTER_FOLDS,
    )

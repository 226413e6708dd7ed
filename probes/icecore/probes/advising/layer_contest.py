"""Every layer of one or more backbones over labelled images: which one, and how well.

The choice of a layer is repeated inside each outer fold, so that what is said of the choice is
not said by the images that made it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Self

import numpy as np
from threadpoolctl import threadpool_limits

from icecore.probes.advising.candidates import Candidate, positions_of
from icecore.probes.advising.confusion import Confusion
from icecore.probes.advising.contest import Answers, Contest
from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import OUTER_FOLDS, judge
from icecore.probes.errors import InputInvalid
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.intervals import Accuracy, held_out_accuracy
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.preferring import Places
from icecore.probes.question import DEFAULT_CS
from icecore.probes.shares import OnShare, Shares, work
from icecore.probes.training_data import TrainingData

AS_GOOD: Final = 0.01
"""One point of accuracy, which a cheaper layer may lose."""

_FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class LayerAdvice:
    """Held-out accuracy at one layer with C chosen inside, and what it costs to get there.

    `C` is what all images prefer. `n_bytes` and `macs` count the probe too.
    """

    backbone: str
    layer: str
    depth: int
    accuracy: Accuracy
    C: float
    dims: int
    n_bytes: int
    macs: int


@dataclass(frozen=True, eq=False)
class LayerContest:
    """All candidates judged in the same folds, and the choice among them.

    `choice.right` and `choice.predicted` are of choosing the layer and C anew in each outer
    fold; `choice.right_of` has each layer by itself, with C chosen inside. A layer picked for
    its own figure is a little worse than that, which `accuracy` is not.
    """

    data: TrainingData
    contest: Contest
    candidates: Mapping[str, Candidate]
    choice: Choice
    kind: ProbeKind
    Cs: tuple[float, ...]

    @classmethod
    def of(
        cls,
        candidates: Sequence[Candidate],
        labels: Sequence[str],
        groups: Sequence[str],
        *,
        kind: ProbeKind,
        seed: int,
        on_share: OnShare = lambda _: None,
    ) -> Self:
        """Return the contest, held in the folds of a training with the same seed.

        Of layers that are as good as each other the cheapest in bytes is chosen, which in
        one network is the earliest.

        Args:
            candidates: in the order in which they are told.
            labels: n class names.
            groups: n names; images of one group are never on both sides of a fold.
            kind: of all probes.
            seed: of the folds.
            on_share: hears the share done, 0..1, as folds are judged.

        Raises:
            InputInvalid: two candidates of one backbone and layer, or none that has a depth.
            CodesInvalid, LabelsInvalid, ClassesTooFew, ClassTooSmall: as `TrainingData.of`.
        """
        by_key = {one.key: one for one in candidates}
        if len(by_key) < len(candidates) or not any(one.depth for one in candidates):
            raise InputInvalid(
                f"{len(candidates)} candidates, {len(by_key)} of them different, must be all "
                "different, and one at least must have a depth"
            )
        codes = {key: one.codes for key, one in by_key.items()}
        data = TrainingData.of(codes, labels, groups)
        contest, Cs = Contest.of(data.y, data.groups, seed=seed), DEFAULT_CS[kind]
        cheap = sorted(candidates, key=lambda one: (one.n_bytes, one.macs))
        done = Shares({key: work(each) for key, each in codes.items()}, 0.0, 1.0, on_share)
        choice = _chosen(
            {one.key: one.codes for one in cheap},
            positions_of(candidates),
            contest,
            kind,
            Cs,
            done.add,
        )
        return cls(data, contest, by_key, choice, kind, Cs)

    def answers_of(
        self, codes: Mapping[str, CodeArray], on_fold: Callable[[str], None] = lambda _: None
    ) -> Answers:
        """Return (held out,) whether another contestant is right, its layers chosen alike.

        `codes` are in the order of depth, evenly spread over it; `on_fold` hears whose fold
        was judged, `OUTER_FOLDS` times of each.
        """
        positions = {key: place / len(codes) for place, key in enumerate(codes, 1)}
        choice = _chosen(codes, positions, self.contest, self.kind, self.Cs, on_fold)
        return self.contest.answers_of([choice])

    @property
    def answers(self) -> Answers:
        """Whether the choice's answers are right, (held out,)."""
        return self.contest.answers_of([self.choice])

    @property
    def groups(self) -> np.ndarray:
        """The groups of images held out, (held out,) int64."""
        return self.data.groups[self.contest.held]

    @property
    def accuracy(self) -> Accuracy:
        """Of choosing the layer and C together."""
        return held_out_accuracy(self.choice.right, self.groups, n_folds=OUTER_FOLDS)

    @property
    def chosen(self) -> Candidate:
        return self.candidates[self.choice.key]

    @property
    def confusion(self) -> Confusion:
        """What the choice took held-out images for."""
        return Confusion.of(self.data.y, self.choice.predicted, len(self.data.classes))

    def depths_of(self, backbone: str) -> list[Candidate]:
        """Return a backbone's candidates that have a depth, in its order."""
        found = [one for one in self.candidates.values() if one.backbone == backbone and one.depth]
        return sorted(found, key=lambda one: one.depth)

    def layers_of(self, backbone: str) -> list[Candidate]:
        """Return all of a backbone's candidates, its own outputs after its depths."""
        outputs = [one for one in self.candidates.values() if one.backbone == backbone]
        return [*self.depths_of(backbone), *(one for one in outputs if not one.depth)]

    @cached_property
    def layers(self) -> tuple[LayerAdvice, ...]:
        """All candidates in their order."""
        return tuple(self._advice(one) for one in self.candidates.values())

    @cached_property
    def cheapest(self) -> int:
        """Return the place in `layers` of the cheapest as good as the chosen one.

        By bytes, then by multiply-accumulates; within `AS_GOOD` of the chosen one's accuracy,
        by its own answers and with those of layers like it: one spike is luck.
        """
        keys = list(self.candidates)
        positions = positions_of(list(self.candidates.values()))
        places = Places.of(
            [positions[key] for key in keys],
            [self.candidates[key].codes.shape[1] for key in keys],
        )
        right = np.stack([self.choice.right_of[key] for key in keys]).astype(np.float64)
        means = np.stack([right.mean(axis=1), places.smoothed(right).mean(axis=1)])
        least = means[:, self.place(self.chosen)] - AS_GOOD - 1e-6
        good = np.flatnonzero((means >= least[:, None]).all(axis=0)).tolist()
        return min(good, key=lambda i: (self.layers[i].n_bytes, self.layers[i].macs, i))

    def place(self, candidate: Candidate) -> int:
        """Return the candidate's place in `layers`."""
        return list(self.candidates).index(candidate.key)

    def _advice(self, one: Candidate) -> LayerAdvice:
        dims, k = one.codes.shape[1], len(self.data.classes)
        # Of two classes a probe has one row.
        n_rows = 1 if k == 2 else k
        right = self.choice.right_of[one.key]
        return LayerAdvice(
            one.backbone,
            one.layer,
            one.depth,
            held_out_accuracy(right, self.groups, n_folds=OUTER_FOLDS),
            self.Cs[self.choice.C_of[one.key]],
            dims,
            one.n_bytes + _FLOAT_BYTES * (dims + 1) * n_rows,
            one.macs + dims * n_rows,
        )


def _chosen(
    codes: Mapping[str, CodeArray],
    positions: Mapping[str, float | None],
    contest: Contest,
    kind: ProbeKind,
    Cs: Sequence[float],
    on_fold: Callable[[str], None],
) -> Choice:
    """The one way in which layer and C are chosen here, for all contestants alike."""
    (folds,) = contest.deals
    if not (folds.outer != NEVER_HELD_OUT).any():
        raise AssertionError("two images of a class are never both kept out of all folds")
    with threadpool_limits(1, user_api="blas"):
        judgements = {
            key: judge(
                array, contest.y, contest.k, folds, kind=kind, Cs=Cs, on_fold=partial(on_fold, key)
            )
            for key, array in codes.items()
        }
    return choose(judgements, folds, positions=positions)

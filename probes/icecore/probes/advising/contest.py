"""One contest for all: each contestant answers for the same images in the same folds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import Folds, judge
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.linear_probe import CodeArray, ProbeKind

Answers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Labelled images, and one or more deals of them into folds.

    `y` is (n,) of 0..k-1. `held` (n,) bool says which images are held out in one deal at least;
    answers are of these, in their order.
    """

    y: npt.NDArray[Any]
    k: int
    deals: tuple[Folds, ...]
    held: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, y: npt.NDArray[Any], groups: npt.NDArray[Any], *, seed: int, n_deals: int = 1
    ) -> Self:
        """Return a contest whose first deal is that of a training with the same seed."""
        deals = tuple(Folds.of(y, groups, seed + deal) for deal in range(n_deals))
        held = np.any([folds.outer != NEVER_HELD_OUT for folds in deals], axis=0)
        return cls(y, int(y.max()) + 1, deals, held)

    def answers(
        self,
        layers: Mapping[str, CodeArray],
        *,
        kind: ProbeKind,
        Cs: Sequence[float],
        on_fold: Callable[[], None] = lambda: None,
    ) -> Answers:
        """Return the share of deals in which each held-out image was taken for what it is.

        Layer and C are chosen anew in each outer fold, for every contestant alike: one with
        a single layer, such as pixels, chooses C alone.

        Args:
            layers: (n, d) codes by key, rows in the order of `y`.
            kind: of the probe, the same for all contestants.
            Cs: to choose from.
            on_fold: called after each outer fold of each layer.
        """
        choices = []
        for folds in self.deals:
            judgements = {
                key: judge(codes, self.y, self.k, folds, kind=kind, Cs=Cs, on_fold=on_fold)
                for key, codes in layers.items()
            }
            choices.append(choose(judgements, folds))
        return self.answers_of(choices)

    def answers_of(self, choices: Sequence[Choice]) -> Answers:
        """Return the same from choices made already, one a deal."""
        predicted = np.stack([choice.predicted for choice in choices])[:, self.held]
        times_held = (predicted != NEVER_HELD_OUT).sum(axis=0)
        times_right = (predicted == self.y[self.held]).sum(axis=0)
        return np.asarray(times_right / times_held, np.float64)

    def majority(self) -> Answers:
        """Return the answers of who always names the largest class.

        The largest of all images: that of training folds is, among classes of one size, the one
        held out least, and so would be wrong more often than chance.
        """
        largest = int(np.bincount(self.y).argmax())
        return np.asarray(self.y[self.held] == largest, np.float64)

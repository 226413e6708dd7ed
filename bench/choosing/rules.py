"""Which rule takes a layer that serves: the highest accuracy, or one that asks neighbours?

Draws as in `layers.py`: half of a set is trained on, every candidate is cross-validated, fitted
and judged by the other half. Each rule then takes one by the same held-out answers: the first five
a layer, the others also the network's own answers. Prints the regret of each to the depth that
is best in hindsight, the mean depth it takes as a share of the network's, and in which share of
the draws it takes the network's answers.

Usage: python bench/choosing/rules.py [--cache DIR] [--draws N] [--most N] [--network NAME]...
    [--set NAME]...
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.layers import MOST, Draw, drawn
from choosing.pool import Pool
from icecore.probes import preferring
from icecore.probes.choosing import choose
from science.asking import headline, parser, parts

FEW = ("hymenoptera", "blood-wbc", "textures-dtd10", "clothing")
"""Sets whose halves have 90 to 300 images."""


class Answers(StrEnum):
    """Where the network's own answers stand."""

    OUT = "no candidates"
    APART = "without a depth"
    FAR = "as a layer far from all"
    LAST = "as a layer beside the last"


@dataclass(frozen=True, slots=True)
class Rule:
    """Scales of `preferring`; without a bandwidth each layer stands for itself."""

    name: str
    bandwidth: float | None
    octaves: float
    errors: float
    answers: Answers = Answers.OUT
    evidence: float = 1.0

    def taken(self, draw: Draw) -> int:
        """Return which candidate it takes."""
        scales = {
            "OCTAVES": self.octaves,
            "STANDARD_ERRORS": self.errors,
            "EVIDENCE": self.evidence,
        }
        if self.bandwidth is not None:
            scales["BANDWIDTH"] = self.bandwidth
        keys = list(draw.judgements)
        layers = keys[: draw.n_layers]
        among = layers if self.answers is Answers.OUT else keys
        with patch.dict(vars(preferring), scales):
            judged = {key: draw.judgements[key] for key in among}
            key = choose(judged, draw.folds, positions=self._positions(draw)).key
        return keys.index(key)

    def _positions(self, draw: Draw) -> dict[str, float | None] | None:
        if self.bandwidth is None:
            return None
        if self.answers in (Answers.OUT, Answers.APART):
            return dict(draw.positions)
        beyond = list(draw.judgements)[draw.n_layers :]
        step = 2.0 if self.answers is Answers.FAR else 0.0
        return dict(draw.positions) | {
            key: 1.0 + step * place for place, key in enumerate(beyond, 1)
        }


RULES = (
    Rule("the highest accuracy", None, inf, 0.0),
    Rule("averaged over depth (8 %), within one standard error", 0.08, inf, 1.0),
    Rule("averaged over depth (12 %) and width, the highest", 0.12, 0.5, 0.0),
    Rule("the same, the earliest within half a standard error", 0.12, 0.5, 0.5),
    Rule("the same, the earliest within a whole one", 0.12, 0.5, 1.0),
    Rule("the fourth, answers as a layer far from all", 0.12, 0.5, 0.5, Answers.FAR),
    Rule("the fourth, answers as a layer beside the last", 0.12, 0.5, 0.5, Answers.LAST),
    Rule("the fourth, answers that are ahead", 0.12, 0.5, 0.5, Answers.APART, 0.0),
    Rule("the fourth, answers ahead by a standard error", 0.12, 0.5, 0.5, Answers.APART),
)


def main() -> int:
    asked = parser(__doc__ or "", sets=FEW)
    asked.add_argument("--draws", type=int, default=6)
    asked.add_argument("--most", type=int, default=MOST, help="images trained on")
    given = asked.parse_args()
    print(headline())
    found: list[list[tuple[float, float, float]]] = []
    for name in given.set or given.sets:
        for part in parts(given, name):
            pool = Pool.of(part)
            draws = [drawn(pool, seed, given.most) for seed in range(given.draws)]
            layers = np.stack([one.accuracy[: one.n_layers] for one in draws])
            best = float(layers.mean(axis=0).max())
            found.append([figures(rule, draws, best) for rule in RULES])
            shown = " ".join(f"{regret:+5.2f}" for regret, _, _ in found[-1])
            print(f"{part.core.backbone + ', ' + name:38} {shown}", flush=True)
    if found:
        print(f"mean of {len(found)}: {'':46} regret, points   depth   answers")
        for rule, (regret, depth, answers) in zip(RULES, np.mean(found, axis=0), strict=True):
            print(f"{rule.name:58} {regret:+11.2f} {depth:11.2f} {answers:9.2f}")
    return 0


def figures(rule: Rule, draws: Sequence[Draw], best: float) -> tuple[float, float, float]:
    """Return regret in points, and shares: mean depth, and draws in which answers are taken."""
    taken = [(one, rule.taken(one)) for one in draws]
    got = float(np.mean([one.accuracy[place] for one, place in taken]))
    depth = float(np.mean([one.depth_of(place) / one.n_layers for one, place in taken]))
    answers = float(np.mean([place >= one.n_layers for one, place in taken]))
    return 100 * (best - got), depth, answers


if __name__ == "__main__":
    sys.exit(main())

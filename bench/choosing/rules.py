"""Which rule takes a layer that serves: the highest accuracy, or one that asks neighbours?

Draws as in `layers.py`: half of a set is trained on, every depth is cross-validated, fitted and
judged by the other half. Each rule then takes a layer by the same held-out answers. Prints the
regret of each to the depth that is best in hindsight, and the mean depth it takes as a share
of the network's.

Usage: python bench/choosing/rules.py [--cache DIR] [--draws N] [--network NAME]... [--set NAME]...
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.layers import Draw, drawn
from choosing.pool import Pool
from icecore.probes import preferring
from icecore.probes.choosing import choose
from science.asking import headline, parser, parts

FEW = ("hymenoptera", "blood-wbc", "textures-dtd10", "clothing")
"""Sets whose halves have 90 to 300 images."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Scales of `preferring`; without a bandwidth each layer stands for itself."""

    name: str
    bandwidth: float | None
    octaves: float
    errors: float

    def taken(self, draw: Draw) -> int:
        """Return which layer it takes."""
        scales = {"OCTAVES": self.octaves, "STANDARD_ERRORS": self.errors}
        if self.bandwidth is not None:
            scales["BANDWIDTH"] = self.bandwidth
        with patch.dict(vars(preferring), scales):
            positions = None if self.bandwidth is None else draw.positions
            key = choose(draw.judgements, draw.folds, positions=positions).key
        return list(draw.judgements).index(key)


RULES = (
    Rule("the highest accuracy", None, inf, 0.0),
    Rule("averaged over depth (8 %), within one standard error", 0.08, inf, 1.0),
    Rule("averaged over depth (12 %) and width, the highest", 0.12, 0.5, 0.0),
    Rule("the same, the earliest within half a standard error", 0.12, 0.5, 0.5),
    Rule("the same, the earliest within a whole one", 0.12, 0.5, 1.0),
)


def main() -> int:
    asked = parser(__doc__ or "", sets=FEW)
    asked.add_argument("--draws", type=int, default=6)
    given = asked.parse_args()
    print(headline())
    regrets: list[list[float]] = []
    depths: list[list[float]] = []
    for name in given.set or given.sets:
        for part in parts(given, name):
            pool = Pool.of(part)
            draws = [drawn(pool, seed) for seed in range(given.draws)]
            best = np.stack([one.accuracy for one in draws]).mean(axis=0).max()
            taken = [[rule.taken(one) for one in draws] for rule in RULES]
            got = [
                float(np.mean([one.accuracy[i] for one, i in zip(draws, rows, strict=True)]))
                for rows in taken
            ]
            regrets.append([100 * (float(best) - each) for each in got])
            depths.append([(float(np.mean(rows)) + 1) / len(part.layers) for rows in taken])
            shown = " ".join(f"{each:+5.2f}" for each in regrets[-1])
            print(f"{part.core.backbone + ', ' + name:38} {shown}", flush=True)
    if regrets:
        print(f"mean of {len(regrets)}: {'':46} regret, points   depth")
        for rule, regret, depth in zip(
            RULES, np.mean(regrets, axis=0), np.mean(depths, axis=0), strict=True
        ):
            print(f"{rule.name:58} {regret:+11.2f} {depth:11.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

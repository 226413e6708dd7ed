"""Is the accuracy that a training publishes the one its probe has?

Draws of a labelled set are trained on, every depth and the network's own answers being
candidates; the probe is then judged by all other images. Prints, over all draws, the estimate
less that accuracy (the law: at most one point either way), how often the interval holds it,
and beside it the naive figure: the accuracy of the winner in the folds that chose it.

With --joining the probe reads several layers together, and naive is the winner's among sets of
layers. With --layers only so many depths are candidates, evenly spread.

Usage: python bench/choosing/estimate.py [--cache DIR] [--draws N] [--joining] [--layers N]
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.pool import Pool
from science.asking import Part, headline, spread
from science.core_files import CACHE, Core, CoreMissing

LAW = 0.01
CASES = (
    ("efficientnet-lite0", "omniglot-alphabets", 200),
    ("efficientnet-lite0", "cifar10", 200),
    ("squeezenet1.1", "clothing", 150),
    ("squeezenet1.1", "cifar10", 100),
    ("mobilenetv2", "textures-dtd10", 120),
    ("mobilenetv2", "omniglot-alphabets", 150),
    ("efficientnet-lite0", "blood-wbc", 90),
    ("mobilenetv2", "hymenoptera", 80),
)
"""Network, set, images trained on; the others judge."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One training: what it said, what was true, and what the folds that chose would have said."""

    estimate: float
    truth: float
    naive: float
    is_held: bool


def draw(pool: Pool, n: int, seed: int, *, joining: bool) -> Draw:
    """Train on `n` images and judge on the rest; copies of an image stay on one side."""
    order = np.random.default_rng(seed).permutation(len(pool.labels))
    is_trained = np.isin(pool.groups, pool.groups[order[:n]])
    rows, others = np.flatnonzero(is_trained), np.flatnonzero(~is_trained)
    found = pool.trained(rows, seed=seed, joining=joining)
    truth = float(pool.right(found, others).mean())
    return Draw(
        found.accuracy.estimate,
        truth,
        found.naive,
        found.accuracy.low <= truth <= found.accuracy.high,
    )


def row(name: str, draws: Sequence[Draw]) -> str:
    """Return the line of a case; ± is a standard error over draws."""
    off = np.array([one.estimate - one.truth for one in draws])
    naive = np.mean([one.naive - one.truth for one in draws])
    error = off.std(ddof=1) / np.sqrt(len(off)) if len(off) > 1 else float("nan")
    said, true = np.mean([(one.estimate, one.truth) for one in draws], axis=0)
    held = np.mean([one.is_held for one in draws])
    return (
        f"{name:44} {len(draws):5} {said:6.3f} {true:6.3f} {100 * off.mean():+7.2f} ± "
        f"{100 * error:5.2f} {100 * naive:+7.2f} {held:6.2f}"
    )


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--cache", type=Path, default=CACHE, help="where cores.py left them")
    asked.add_argument("--draws", type=int, default=200, help="of all cases together")
    asked.add_argument("--joining", action="store_true", help="several layers, read together")
    asked.add_argument("--layers", type=int, help="so many, evenly spread; default: all")
    given = asked.parse_args()
    print(headline())
    print(f"{'':44} {'draws':>5} {'said':>6} {'true':>6} {'bias':>16} {'naive':>7} {'held':>6}")
    everything: list[Draw] = []
    for place, (network, name, n) in enumerate(CASES):
        try:
            core = Core.read(given.cache, network, name)
        except CoreMissing as missing:
            print(missing)
            continue
        count = given.draws // len(CASES) + (place < given.draws % len(CASES))
        layers = spread(core.layers, given.layers or len(core.layers))
        pool = Pool.of(Part(core, layers, np.arange(len(core.labels))))
        draws = [draw(pool, n, seed, joining=given.joining) for seed in range(count)]
        print(row(f"{network}, {name}, {n} images", draws), flush=True)
        everything += draws
    if everything:
        print(row("all", everything))
        bias = abs(np.mean([one.estimate - one.truth for one in everything]))
        print(f"law: bias over all draws at most {LAW:.2f}: {'met' if bias <= LAW else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

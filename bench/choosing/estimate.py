"""Is the accuracy that a training publishes the one its probe has?

Draws of a labelled set are trained on, every depth being a candidate; the probe is then
judged by all other images. Prints, over all draws, the estimate less that accuracy (the law:
at most one point either way), how often the interval holds it, and beside it the naive
figure: the accuracy of the winner in the folds that chose it.

Usage: python bench/choosing/estimate.py [--cache DIR] [--draws N]
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.probes.selection import train
from science.asking import headline
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


def draw(core: Core, n: int, seed: int) -> Draw:
    """Train on `n` images and judge on the rest; copies of an image stay on one side."""
    order = np.random.default_rng(seed).permutation(len(core.labels))
    shas = np.array(core.sha)
    is_trained = np.isin(shas, shas[order[:n]])
    rows, others = np.flatnonzero(is_trained), np.flatnonzero(~is_trained)
    labels = np.array(core.labels)
    found = train(
        {layer.key: core.codes[layer.key][rows] for layer in core.layers},
        labels[rows].tolist(),
        kind="softmax",
        groups=shas[rows].tolist(),
        positions={layer.key: layer.depth / len(core.layers) for layer in core.layers},
        seed=seed,
    )
    said = found.probe("tap").predict(core.codes[found.key][others], tap="tap").labels
    truth = float(np.mean(np.array(said) == labels[others]))
    return Draw(
        found.accuracy.estimate,
        truth,
        found.naive,
        found.accuracy.low <= truth <= found.accuracy.high,
    )


def table(draws: dict[str, list[Draw]]) -> None:
    print(f"{'':44} {'draws':>5} {'said':>6} {'true':>6} {'bias':>16} {'naive':>7} {'held':>6}")
    everything = [one for some in draws.values() for one in some]
    for name, some in [*draws.items(), ("all", everything)]:
        off = np.array([one.estimate - one.truth for one in some])
        naive = np.mean([one.naive - one.truth for one in some])
        error = off.std(ddof=1) / np.sqrt(len(off)) if len(off) > 1 else float("nan")
        said, true = np.mean([(one.estimate, one.truth) for one in some], axis=0)
        held = np.mean([one.is_held for one in some])
        print(
            f"{name:44} {len(some):5} {said:6.3f} {true:6.3f} {100 * off.mean():+7.2f} ± "
            f"{100 * error:5.2f} {100 * naive:+7.2f} {held:6.2f}"
        )
    bias = abs(np.mean([one.estimate - one.truth for one in everything]))
    print(f"law: bias over all draws at most {LAW:.2f}: {'met' if bias <= LAW else 'MISSED'}")


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--cache", type=Path, default=CACHE, help="where cores.py left them")
    asked.add_argument("--draws", type=int, default=200, help="of all cases together")
    given = asked.parse_args()
    print(headline())
    draws: dict[str, list[Draw]] = {}
    for place, (network, name, n) in enumerate(CASES):
        try:
            core = Core.read(given.cache, network, name)
        except CoreMissing as missing:
            print(missing)
            continue
        count = given.draws // len(CASES) + (place < given.draws % len(CASES))
        codes = {layer.key: core.codes[layer.key] for layer in core.layers}
        held = replace(core, codes=codes)  # read once, not in each draw
        title = f"{network}, {name}, {n} images"
        draws[title] = [draw(held, n, seed) for seed in range(count)]
        print(f"{title}: done", file=sys.stderr)
    if draws:
        table(draws)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Does the measure of similarity tell sets like ImageNet from others, whatever the backbone?

For each backbone and labelled set: how familiar its images are, what the best earlier layer
has over the last, and the scenario that follows. MANIFEST.md of ../shared says which sets are
like ImageNet. Each depth is a softmax probe, five folds, the best of three C; 400 images at most.

Usage: OMP_NUM_THREADS=1 nice python bench/advice/scenario.py [--cache DIR] [--network NAME]...
Needs the cores of bench/science/cores.py.
"""

import argparse
import platform
import sys
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.probes.advising.scenario import scenario
from icecore.probes.advising.similarity import Measured
from icecore.probes.advising.sufficiency import MoreImages
from icecore.probes.cross_validation import Folds, judge
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.linear_probe import CodeArray, ProbeKind
from science.core_files import CACHE, LOGITS, Core

OWN_ACCURACY = {"efficientnet-lite0": 0.751, "squeezenet1.1": 0.551, "mobilenetv2": 0.682}
"""Top-1 on ImageNet: lite0's published, the others as measured in MANIFEST.md."""
LIKE = {
    "hymenoptera": "yes",
    "clothing": "yes",
    "textures-dtd10": "partly",
    "cifar10": "small",
    "blood-wbc": "no",
    "omniglot-alphabets": "no",
}
CS = (1e-3, 1e-2, 1e-1)
AT_MOST = 400


def right_at(codes: CodeArray, y: np.ndarray, folds: Folds) -> np.ndarray:
    """Return which held-out images one layer gets right, (n,) bool."""
    none = tuple(np.full_like(inner, NEVER_HELD_OUT) for inner in folds.inner)
    seen = judge(
        codes,
        y,
        int(y.max()) + 1,
        Folds(folds.outer, none),
        kind=ProbeKind.SOFTMAX,
        Cs=CS,
        on_fold=lambda: None,
    )
    best: np.ndarray = seen.outer_right[seen.outer_right.sum(axis=1).argmax()]
    return best


def shown(measured: Measured) -> str:
    return f"{measured.value:.2f} ({measured.low:.2f} to {measured.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--network", action="append", choices=sorted(OWN_ACCURACY))
    arguments = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}\n")
    print("| backbone | set | like ImageNet? | familiarity | earlier - last | | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for network in arguments.network or OWN_ACCURACY:
        for set_name, like in LIKE.items():
            core = Core.read(arguments.cache, network, set_name)
            order = np.random.default_rng(0).permutation(len(core.labels))[:AT_MOST]
            y = np.unique(core.labels, return_inverse=True)[1][order]
            folds = Folds.of(y, np.arange(len(y)), 0)
            right = [right_at(core.codes[layer.key][order], y, folds) for layer in core.layers]
            found = scenario(
                np.bincount(y).tolist(),
                np.array(right),
                groups=np.arange(len(y)),
                groups_held=np.arange(len(y)),
                advice=MoreImages.UNDECIDED,
                logits=core.codes[LOGITS][order],
                own_accuracy=OWN_ACCURACY[network],
            )
            assert found.familiarity is not None
            print(
                f"| {network} | {set_name} | {like} | {shown(found.familiarity)} | "
                f"{shown(found.earlier_gain)} | {found.similarity.value} | "
                f"{found.recommendation.value}"
                f"{', but the depths say otherwise' if found.is_contradicted else ''} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

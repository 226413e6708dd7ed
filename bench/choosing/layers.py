"""What `--layer auto` costs against trying everything.

Half of each labelled set is trained on, the other half judges; several draws. Every depth is
cross-validated, fitted and judged, so that three choices can be told apart:

- auto: what a training chooses (a shortlist where there are many images, neighbours, the
  earlier of equals), from one pass over the images;
- brute force: the depth whose cross-validated accuracy is the highest;
- hindsight: the one depth that is best on the judging halves, the mean of all draws.

Prints each one's accuracy and mean depth; regret is the other's accuracy less that of auto.
The law: at most one point, the mean over all sets and networks.

Usage: python bench/choosing/layers.py [--cache DIR] [--draws N] [--network NAME]... [--set NAME]...
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.probes.choosing import choose
from icecore.probes.cross_validation import Folds, Judgement, judge
from icecore.probes.fitting import fit
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.question import DEFAULT_CS
from icecore.probes.shortlisting import FEWEST_IMAGES, SHORTEST, guess, shortlists
from icecore.probes.solving.directions import Rotation
from icecore.probes.training_data import TrainingData
from science.asking import Part, headline, parser, parts

LAW = 0.01
KIND = ProbeKind.SOFTMAX
MOST = 600
"""Images trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Accuracy on the judging half at each depth (layers,), and which depth each way takes.

    `judgements` by key, `folds` and `positions` are what the ways go by.
    """

    accuracy: np.ndarray
    auto: int
    brute: int
    judgements: Mapping[str, Judgement]
    folds: Folds
    positions: Mapping[str, float]


def drawn(part: Part, seed: int) -> Draw:
    """Judge every layer of one draw."""
    labels = np.array(part.labels)
    shas = np.array(part.groups)
    rows, others = halves(labels, shas, seed)
    keys = [layer.key for layer in part.layers]
    positions = {key: (place + 1) / len(keys) for place, key in enumerate(keys)}
    codes = {key: part.codes(key) for key in keys}
    data = TrainingData.of(
        {key: codes[key][rows] for key in keys}, labels[rows].tolist(), shas[rows].tolist()
    )
    y, k, Cs = data.y, len(data.classes), DEFAULT_CS[KIND]
    folds = Folds.of(y, data.groups, seed)
    with threadpool_limits(1, user_api="blas"):
        materials = {key: Rotation.of(data.codes[key]) for key in keys}
        judgements = {
            key: judge(materials[key], y, k, folds, kind=KIND, Cs=Cs, on_fold=lambda: None)
            for key in keys
        }
        allowed = None
        if len(keys) > SHORTEST and len(y) >= FEWEST_IMAGES:
            guesses = {
                key: guess(materials[key].features, y, k, folds, width=codes[key].shape[1])
                for key in keys
            }
            allowed = shortlists(guesses, positions)
        choice = choose(judgements, folds, positions=positions, allowed=allowed)
        accuracy = np.empty(len(keys))
        for place, key in enumerate(keys):
            found = fit(materials[key], y, k, kind=KIND, C=Cs[choice.C_of[key]])
            probe = LinearProbe(KIND, data.classes, found.weights, found.bias, "tap")
            said = probe.predict(codes[key][others], tap="tap").labels
            accuracy[place] = np.mean(np.array(said) == labels[others])
    counts = [choice.right_of[key].sum() for key in keys]
    brute = len(keys) - 1 - int(np.argmax(counts[::-1]))  # of equals the last, as the field does
    auto = keys.index(choice.key)
    return Draw(accuracy, auto, brute, judgements, folds, positions)


def halves(labels: np.ndarray, shas: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and to judge by, each class halved, copies on one side."""
    random = np.random.default_rng(seed)
    is_trained = np.zeros(len(labels), np.bool_)
    classes = np.unique(labels)
    for name in classes:
        members = np.flatnonzero(labels == name)
        found = random.permutation(np.unique(shas[members]))
        taken = found[: min(len(found) // 2, MOST // len(classes))]
        is_trained[members] = np.isin(shas[members], taken)
    return np.flatnonzero(is_trained), np.flatnonzero(~is_trained)


def main() -> int:
    asked = parser(__doc__ or "")
    asked.add_argument("--draws", type=int, default=6)
    given = asked.parse_args()
    print(headline())
    print(f"{'':38} {'auto':>12} {'brute force':>12} {'hindsight':>12}   regret to both, points")
    regrets: list[tuple[float, float]] = []
    for name in given.set or given.sets:
        for part in parts(given, name):
            draws = [drawn(part, seed) for seed in range(given.draws)]
            accuracies = np.stack([one.accuracy for one in draws])
            best = int(accuracies.mean(axis=0).argmax())
            auto = np.mean([one.accuracy[one.auto] for one in draws])
            brute = np.mean([one.accuracy[one.brute] for one in draws])
            hindsight = accuracies[:, best].mean()
            regrets.append((100 * float(brute - auto), 100 * float(hindsight - auto)))
            depths = [
                np.mean([one.auto + 1 for one in draws]),
                np.mean([one.brute + 1 for one in draws]),
            ]
            print(
                f"{part.core.backbone + ', ' + name:38} {auto:.3f} at {depths[0]:3.0f} "
                f"{brute:.3f} at {depths[1]:3.0f} {hindsight:.3f} at {best + 1:3}   "
                f"{regrets[-1][0]:+5.1f} {regrets[-1][1]:+5.1f}",
                flush=True,
            )
    if regrets:
        to_brute, to_hindsight = np.mean(regrets, axis=0)
        print(f"mean regret: {to_brute:+.2f} to brute force, {to_hindsight:+.2f} to hindsight")
        print(
            f"law: at most {100 * LAW:.0f} to trying everything: "
            f"{'met' if to_brute <= 100 * LAW else 'MISSED'}; to hindsight "
            f"{'met' if to_hindsight <= 100 * LAW else 'MISSED'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

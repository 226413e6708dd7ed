"""What `--layer auto` costs against trying everything.

Half of each labelled set is trained on, the other half judges; several draws. Every candidate,
each depth and the network's own answers (its logits and their softmax), is cross-validated,
fitted and judged, so that four choices can be told apart:

- auto: what a training chooses (a shortlist where there are many images, neighbours, the
  earlier of equals), from one pass over the images;
- depths: what it would choose without the network's answers;
- brute force: the candidate whose cross-validated accuracy is the highest;
- hindsight: the one candidate that is best on the judging halves, the mean of all draws.

Prints each one's accuracy and mean depth, at which answers count as the last; regret is the
other's accuracy less that of auto. `answers` says in how many draws auto took them.
The law: at most one point, the mean over all sets and networks.

Usage: python bench/choosing/layers.py [--cache DIR] [--draws N] [--most N] [--network NAME]...
    [--set NAME]...
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.pool import Pool, split
from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import Folds, Judgement, judge
from icecore.probes.fitting import fit
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.question import DEFAULT_CS
from icecore.probes.shortlisting import FEWEST_IMAGES, SHORTEST, guess, shortlists
from icecore.probes.solving.directions import Rotation
from icecore.probes.training_data import TrainingData
from science.asking import headline, parser, parts
from science.core_files import FloatArray

LAW = 0.01
KIND = ProbeKind.SOFTMAX
MOST = 600
"""Images trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Accuracy on the judging half by each candidate (candidates,), and which each way takes.

    Of the candidates the first `n_layers` are layers by depth, those beyond are the network's
    answers. `judgements` by key, `folds` and `positions` are what the ways go by.
    """

    accuracy: np.ndarray
    n_layers: int
    auto: int
    depths: int
    brute: int
    judgements: Mapping[str, Judgement]
    folds: Folds
    positions: Mapping[str, float | None]

    def depth_of(self, place: int) -> int:
        """Return how deep the network has to be run for a candidate."""
        return min(place + 1, self.n_layers)


def drawn(pool: Pool, seed: int, most: int = MOST) -> Draw:
    """Judge every candidate of one draw of at most `most` images."""
    rows, others = split(pool.labels, pool.groups, seed, most)
    codes = candidates(pool)
    keys, n_layers = list(codes), len(pool.codes) - len(pool.outputs)
    positions = {key: pool.positions.get(key) for key in keys}
    data = TrainingData.of(
        {key: codes[key][rows] for key in keys},
        pool.labels[rows].tolist(),
        pool.groups[rows].tolist(),
    )
    y, k, Cs = data.y, len(data.classes), DEFAULT_CS[KIND]
    folds = Folds.of(y, data.groups, seed)
    with threadpool_limits(1, user_api="blas"):
        materials = {key: Rotation.of(data.codes[key]) for key in keys}
        judgements = {
            key: judge(materials[key], y, k, folds, kind=KIND, Cs=Cs, on_fold=lambda: None)
            for key in keys
        }
        guesses = None
        if len(keys) > SHORTEST and len(y) >= FEWEST_IMAGES:
            guesses = {
                key: guess(materials[key].features, y, k, folds, width=codes[key].shape[1])
                for key in keys
            }

        def chosen(among: list[str]) -> Choice:
            some = {key: judgements[key] for key in among}
            allowed = None
            if guesses is not None:
                allowed = shortlists({key: guesses[key] for key in among}, positions)
            return choose(some, folds, positions=positions, allowed=allowed)

        choice = chosen(keys)
        accuracy = np.empty(len(keys))
        for place, key in enumerate(keys):
            found = fit(materials[key], y, k, kind=KIND, C=Cs[choice.C_of[key]])
            probe = LinearProbe(KIND, data.classes, found.weights, found.bias, "tap")
            said = probe.predict(codes[key][others], tap="tap").labels
            accuracy[place] = np.mean(np.array(said) == pool.labels[others])
    counts = [choice.right_of[key].sum() for key in keys]
    brute = len(keys) - 1 - int(np.argmax(counts[::-1]))  # of equals the last, as the field does
    return Draw(
        accuracy,
        n_layers,
        keys.index(choice.key),
        keys.index(chosen(keys[:n_layers]).key),
        brute,
        judgements,
        folds,
        positions,
    )


def candidates(pool: Pool) -> dict[str, FloatArray]:
    """Return codes of each layer by depth, then the network's answers, logits and softmax."""
    codes = dict(pool.codes)
    for key in pool.outputs:
        codes["softmax"] = preprocessed(pool.codes[key], Preprocessing.SOFTMAX)
    return codes


def main() -> int:
    asked = parser(__doc__ or "")
    asked.add_argument("--draws", type=int, default=6)
    asked.add_argument("--most", type=int, default=MOST, help="images trained on")
    given = asked.parse_args()
    print(headline())
    print(
        f"{'':38} {'auto':>12} {'depths':>12} {'brute force':>12} {'hindsight':>12}   "
        "regret to all three, points; answers"
    )
    regrets: list[tuple[float, ...]] = []
    for name in given.set or given.sets:
        for part in parts(given, name):
            pool = Pool.of(part)
            draws = [drawn(pool, seed, given.most) for seed in range(given.draws)]
            accuracies = np.stack([one.accuracy for one in draws])
            best = int(accuracies.mean(axis=0).argmax())
            ways = [
                [(one.accuracy[place], one.depth_of(place)) for one, place in taken]
                for taken in (
                    [(one, one.auto) for one in draws],
                    [(one, one.depths) for one in draws],
                    [(one, one.brute) for one in draws],
                    [(one, best) for one in draws],
                )
            ]
            means = np.mean(ways, axis=1)
            regrets.append(tuple(100 * float(other - means[0, 0]) for other in means[1:, 0]))
            shown = " ".join(f"{accuracy:.3f} at {depth:3.0f}" for accuracy, depth in means)
            n_answers = sum(one.auto >= one.n_layers for one in draws)
            print(
                f"{part.core.backbone + ', ' + name:38} {shown}   "
                + " ".join(f"{each:+5.1f}" for each in regrets[-1])
                + f" {n_answers:3} of {len(draws)}",
                flush=True,
            )
    if regrets:
        to_depths, to_brute, to_hindsight = np.mean(regrets, axis=0)
        print(
            f"mean regret of {len(regrets)}: {to_depths:+.2f} to depths alone, {to_brute:+.2f} to "
            f"brute force, {to_hindsight:+.2f} to hindsight"
        )
        print(
            f"law: at most {100 * LAW:.0f} to trying everything: "
            f"{'met' if to_brute <= 100 * LAW else 'MISSED'}; to hindsight "
            f"{'met' if to_hindsight <= 100 * LAW else 'MISSED'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How much more do answers of folds vary than answers that have nothing in common?

Folds share training images, so their held-out answers are not independent, and no unbiased
estimate of their variance exists (Bengio and Grandvalet, 2004). Here it is measured: draws of a
labelled set are trained on by several contestants (layers from the first to the last, losses, a
choice of layer, layers read together), and the rest of the set tells what was to be estimated:
each probe's accuracy, and the difference of each pair. `factor` is the mean square of what held-out
answers are off by, less what chance on the rest explains, in units of the variance of independent
answers: of pairs, and of single accuracies. It counts everything that puts an estimate off,
also that folds train on four fifths of the images.

`held` is how often 95 % intervals hold the difference, the rest's own chance allowed for, with a
number of factors; `worst` is the least of all cells. Laws, of the factor that `intervals.PAIRED`
makes: at least 95 % of all, and at least 90 % in each cell.

Usage: OMP_NUM_THREADS=1 python bench/choosing/shared_folds.py [--cache DIR] [--draws N]
           [--network NAME]... [--set NAME]... [--most N]...
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.pool import Pool, split
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.intervals import Z_95, paired_difference, paired_training_factor
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.selection import train
from icecore.probes.training import Training
from science.asking import headline, parser, parts
from science.held_out import Bools

FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25)
IN_USE = paired_training_factor(OUTER_FOLDS)
MOST = (60, 120, 240)
"""Images trained on."""
LAYERS = 4
"""Of a network, evenly spread, the last among them."""
LAW, LAW_EACH = 0.95, 0.90


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """Which images a training's folds get right, (n,), and its probe of the rest, (rest,)."""

    held_out: Bools
    rest: Bools


@dataclass(frozen=True, slots=True)
class Off:
    """What an estimate is off by; variances of it if answers were independent, and of the rest."""

    error: float
    variance: float
    of_rest: float
    is_held: tuple[bool, ...]
    """With each of `FACTORS`; of a pair."""


def contestants(pool: Pool, rows: np.ndarray, others: np.ndarray, seed: int) -> list[Contestant]:
    """Train all on `rows`."""
    everything = {key: codes[rows] for key, codes in pool.codes.items()}

    def of(
        keys: Sequence[str], kind: ProbeKind = ProbeKind.SOFTMAX, *, joining: bool = False
    ) -> Contestant:
        found = train(
            {key: everything[key] for key in keys},
            pool.labels[rows].tolist(),
            kind=kind,
            groups=pool.groups[rows].tolist(),
            positions={key: pool.positions[key] for key in keys},
            outputs=[key for key in pool.outputs if key in keys],
            joining=joining,
            seed=seed,
        )
        return Contestant(_right(found, pool.labels[rows]), pool.right(found, others))

    layers = [key for key in pool.codes if key not in pool.outputs]
    return [
        *(of([key]) for key in layers),
        of(layers[-1:], ProbeKind.SVM),
        of(list(pool.codes)),
        of(layers, joining=True),
    ]


def _right(found: Training, labels: np.ndarray) -> Bools:
    is_right: Bools = (found.predicted >= 0) & (np.array(found.classes)[found.predicted] == labels)
    return is_right


def single(one: Contestant) -> Off:
    """Return what the accuracy of one is off by."""
    return Off(
        float(one.held_out.mean() - one.rest.mean()),
        float(one.held_out.var()) / len(one.held_out),
        float(one.rest.var()) / len(one.rest),
        (),
    )


def pair(a: Contestant, b: Contestant) -> Off:
    """Return what the difference of two is off by, with one image added that speaks for each
    side, as few images of which all say the same are not without chance (Bonett and Price)."""
    seen = b.held_out.astype(np.float64) - a.held_out
    true = b.rest.astype(np.float64) - a.rest
    n, middle, truth = len(seen), float(seen.mean()), float(true.mean())
    of_rest = float(true.var()) / len(true)
    cells = np.array(
        [
            np.count_nonzero(cell)
            for cell in (
                a.held_out & b.held_out,
                a.held_out & ~b.held_out,
                ~a.held_out & b.held_out,
                ~a.held_out & ~b.held_out,
            )
        ],
        np.float64,
    )
    is_held = []
    for factor in FACTORS:
        low, high = paired_difference(*(cells / factor).tolist())
        half = middle - low if truth < middle else high - middle
        is_held.append(abs(middle - truth) <= np.hypot(half, Z_95 * np.sqrt(of_rest)))
    variance = (np.square(seen).sum() + 2.0) / (n + 2.0) ** 2 - middle**2 / n
    return Off(middle - truth, float(variance), of_rest, tuple(is_held))


def factor(found: Sequence[Off]) -> float:
    """Return by how much the errors exceed independent answers'."""
    errors = sum(one.error**2 - one.of_rest for one in found)
    return errors / sum(one.variance for one in found)


def row(name: str, singles: Sequence[Off], pairs: Sequence[Off]) -> str:
    """Return the line of a cell."""
    held = " ".join(f"{share:6.3f}" for share in _held(pairs))
    return f"{name:44} {factor(singles):7.2f} {factor(pairs):6.2f}  {held}"


def _held(pairs: Sequence[Off]) -> np.ndarray:
    shares: np.ndarray = np.mean([one.is_held for one in pairs], axis=0)
    return shares


def draw(pool: Pool, most: int, seed: int) -> tuple[list[Off], list[Off]]:
    """Return what single accuracies and differences are off by in one draw."""
    rows, others = split(pool.labels, pool.groups, seed, most)
    all_of_them = contestants(pool, rows, others, seed)
    return (
        [single(one) for one in all_of_them],
        [pair(a, b) for a, b in combinations(all_of_them, 2)],
    )


def summary(cells: Mapping[str, tuple[list[Off], list[Off]]]) -> str:
    """Return what all cells say; ± is a standard error over cells."""
    singles = [one for some, _ in cells.values() for one in some]
    pairs = [one for _, some in cells.values() for one in some]
    each = np.array([factor(some) for _, some in cells.values()])
    worst = np.min([_held(some) for _, some in cells.values()], axis=0)
    lines = [
        row("all", singles, pairs),
        f"{'worst':59}  " + " ".join(f"{share:6.3f}" for share in worst),
        f"factor of pairs over cells: {each.mean():.2f} ± "
        f"{each.std(ddof=1) / np.sqrt(len(each)):.2f}, from {each.min():.2f} to {each.max():.2f}",
    ]
    place = FACTORS.index(IN_USE)
    is_kept = _held(pairs)[place] >= LAW and worst[place] >= LAW_EACH
    lines.append(
        f"law: with {IN_USE:g} at least {LAW} of all, {LAW_EACH} of each: "
        f"{'met' if is_kept else 'MISSED'}"
    )
    return "\n".join(lines)


def main() -> int:
    asked = parser(__doc__ or "")
    asked.add_argument("--draws", type=int, default=10, help="of each set and number of images")
    asked.add_argument(
        "--most", type=int, action="append", help=f"images trained on; default: {MOST}"
    )
    asked.set_defaults(layers=LAYERS)
    given: argparse.Namespace = asked.parse_args()
    print(headline())
    print(f"{'':44} {'single':>7} {'pair':>6}  held with " + " ".join(f"{x:6.2f}" for x in FACTORS))
    cells: dict[str, tuple[list[Off], list[Off]]] = {}
    for name in given.set or given.sets:
        for part in parts(given, name):
            pool = Pool.of(part)
            for most in given.most or MOST:
                draws = [draw(pool, most, seed) for seed in range(given.draws)]
                cell = [off for some, _ in draws for off in some], [o for _, s in draws for o in s]
                n = len(split(pool.labels, pool.groups, 0, most)[0])
                cells[f"{part.core.backbone}, {name}, {n}"] = cell
                print(row(f"{part.core.backbone}, {name}, {n}", *cell), flush=True)
    if len(cells) > 1:
        print(summary(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What do several layers read together gain over the best one, and does a training say so?

Draws of a labelled set are trained on twice, every depth and the network's own answers being
candidates: one candidate is chosen, or several are joined. All other images judge both probes.
Prints, a network and a set each,

- accuracy of both on the rest, and their paired difference with its 95 % interval (the mean of
  the draws, counted as one look at the rest);
- the gain that the training tells from its own folds, with its interval, means of the draws;
- in how many draws the joined probe was offered (the interval of the gain is above 0), in how
  many that interval holds the difference on the rest, whose own noise is not taken out;
- how many candidates are read together, and CPU seconds of both trainings (the joined one's
  have the other's in them).

The last lines are means over all draws: also what is won by joining always, and where offered.

Usage: python bench/choosing/joined.py [--cache DIR] [--draws N] [--most N] [--share S]
    [--network NAME]... [--set NAME]... [--layers N]
In a minute: --network squeezenet1.1 --set hymenoptera --set blood-wbc --draws 1
Reads cores that bench/science/cores.py wrote; says so where there are none.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from choosing.pool import Pool, split
from icecore.probes.intervals import paired_difference
from icecore.probes.training import Gain
from science.asking import headline, parser, parts
from science.held_out import Bools, Difference

MOST = 200
"""Images trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Two trainings on the same `n` images, and which of the rest each gets right, (rest,) bool.

    `seconds` are CPU time of the one that chooses and of the one that joins.
    """

    n: int
    alone: Bools
    joined: Bools
    gain: Gain
    n_read: int
    seconds: tuple[float, float]

    @property
    def seen(self) -> float:
        """The joined probe's accuracy on the rest less the other's."""
        return float(self.joined.mean() - self.alone.mean())

    @property
    def is_offered(self) -> bool:
        return self.gain.low > 0.0

    @property
    def is_held(self) -> bool:
        return self.gain.low <= self.seen <= self.gain.high


def drawn(pool: Pool, seed: int, most: int = MOST, share: float = 0.5) -> Draw:
    """Train twice on at most `most` images, at most `share` of each class; the rest judges."""
    rows, others = split(pool.labels, pool.groups, seed, most, share)
    began = process_time()
    alone = pool.trained(rows, seed=seed)
    between = process_time()
    joined = pool.trained(rows, seed=seed, joining=True)
    ended = process_time()
    if joined.gain is None:
        raise AssertionError("a training that joins tells its gain")
    return Draw(
        len(rows),
        pool.right(alone, others),
        pool.right(joined, others),
        joined.gain,
        len(joined.joined),
        (between - began, ended - between),
    )


def on_the_rest(draws: Sequence[Draw]) -> Difference:
    """Return the mean difference on the rest; the draws judge by nearly the same images, so that
    the interval is that of one draw."""
    cells = np.mean(
        [
            [cell.sum() for cell in (a & b, a & ~b, ~a & b, ~a & ~b)]
            for a, b in ((one.alone, one.joined) for one in draws)
        ],
        axis=0,
    )
    low, high = paired_difference(*cells.tolist())
    return Difference(float(np.mean([one.seen for one in draws])), low, high)


def told(draws: Sequence[Draw]) -> Difference:
    """Return the gain that trainings told, the mean of the draws and of their intervals' ends."""
    ends = [(one.gain.difference, one.gain.low, one.gain.high) for one in draws]
    return Difference(*np.mean(ends, axis=0).tolist())


def row(name: str, draws: Sequence[Draw]) -> str:
    """Return the line of a network and a set."""
    alone, joined, read = np.mean(
        [(one.alone.mean(), one.joined.mean(), one.n_read) for one in draws], axis=0
    )
    seconds = np.mean([one.seconds for one in draws], axis=0)
    return (
        f"{name:38} {draws[0].n:5} {alone:6.3f} {joined:6.3f}  {on_the_rest(draws)!s:22} "
        f"{told(draws)!s:22} {sum(one.is_offered for one in draws):3} "
        f"{sum(one.is_held for one in draws):5} of {len(draws)} {read:5.0f} "
        f"{seconds[0]:6.1f} {seconds[1]:6.1f}"
    )


def summary(draws: Sequence[Draw]) -> str:
    """Return what all draws say together, in points; ± is a standard error over draws."""
    seen = 100 * np.array([one.seen for one in draws])
    off = 100 * np.array([one.gain.difference for one in draws]) - seen
    is_offered = np.array([one.is_offered for one in draws])
    error = (seen.std(ddof=1), off.std(ddof=1)) if len(draws) > 1 else (np.nan, np.nan)
    lines = [
        f"mean of {len(draws)} draws: {seen.mean():+.2f} ± {error[0] / len(draws) ** 0.5:.2f} seen "
        f"on the rest (from {seen.min():+.1f} to {seen.max():+.1f}), told less seen "
        f"{off.mean():+.2f} ± {error[1] / len(draws) ** 0.5:.2f}; the interval held "
        f"{np.mean([one.is_held for one in draws]):.2f}",
        f"won by joining always {seen.mean():+.2f}, where offered "
        f"{np.where(is_offered, seen, 0.0).mean():+.2f}",
    ]
    for name, some in (("offered", seen[is_offered]), ("not offered", seen[~is_offered])):
        if len(some):
            lines.append(
                f"{name}: {len(some)}, of which {np.mean(some > 0.0):.2f} better on the rest, "
                f"mean {some.mean():+.2f}"
            )
    return "\n".join(lines)


def main() -> int:
    asked = parser(__doc__ or "")
    asked.add_argument("--draws", type=int, default=3)
    asked.add_argument("--most", type=int, default=MOST, help="images trained on")
    asked.add_argument("--share", type=float, default=0.5, help="of a class, at most")
    given = asked.parse_args()
    print(headline())
    print(
        f"{'':38} {'n':>5} {'alone':>6} {'joined':>6}  {'seen, points':22} {'told':22} "
        f"offered held      read  CPU s of both"
    )
    everything: list[Draw] = []
    for name in given.set or given.sets:
        for part in parts(given, name):
            pool = Pool.of(part)
            draws = [drawn(pool, seed, given.most, given.share) for seed in range(given.draws)]
            everything += draws
            print(row(f"{part.core.backbone}, {name}", draws), flush=True)
    if everything:
        print(summary(everything))
    return 0


if __name__ == "__main__":
    sys.exit(main())

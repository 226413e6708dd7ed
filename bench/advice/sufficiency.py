"""Do the intervals for three times the images hold what three times the images reach?

Real codes: of a set of N images, n are a tenant's, drawn at random; the truth is the mean
accuracy of probes trained on m of the N (C chosen by three folds), judged on the others. 3 n
is at most .75 N. As a tenant's images are part of those N, chance does a little less than in
life: by 1 - n / N in variance. Gaussian classes, of which there are as many images as one
wants, have no such mercy; half of them have a tenth of their labels wrong, which is a ceiling.
COLLECT_MORE is right where the true gain at three times is a point or more, the others where not.

Usage: OMP_NUM_THREADS=1 nice python bench/advice/sufficiency.py [--cache DIR] [--network NAME]...
           [--draws N] [--gaussian N]
Needs the cores of bench/science/cores.py.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.probes.advising.learning_curve import held_out_right, learning_curve
from icecore.probes.advising.sufficiency import MARGIN, MoreImages, Sufficiency, sufficiency
from icecore.probes.folds import stratified_folds
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.question import DEFAULT_CS
from science.core_files import CACHE, Core

SIZES = {
    "hymenoptera": (20, 50),
    "clothing": (40, 80, 150),
    "textures-dtd10": (40, 80),
    "cifar10": (40, 100, 200, 400),
    "blood-wbc": (24, 45),
    "omniglot-alphabets": (40, 100, 200),
}
CLOUDS = ((2, 10, 2.0, 0.0), (2, 200, 3.0, 0.1), (5, 50, 3.0, 0.0), (5, 20, 4.0, 0.1))
"""Classes, features, distance of their centres from the middle, share of wrong labels."""
CLOUD_SIZES = (30, 100, 300)
JUDGED = 4000
TRUTHS = 6
"""Probes whose mean is the truth."""
DEPTHS = (1.0, 0.6)


@dataclass(frozen=True)
class Case:
    """What was foretold of one tenant's images, and the accuracy at once, twice, three times."""

    source: str
    set: str
    n: int
    found: Sufficiency
    truth: tuple[float, float, float]

    def holds(self, place: int) -> bool:
        forecast = self.found.forecasts[(0, 2, 3)[place]]
        return forecast.low <= self.truth[place] <= forecast.high

    @property
    def gain(self) -> float:
        return self.truth[2] - self.truth[0]


Split = Callable[[np.random.Generator, int], tuple[CodeArray, np.ndarray, CodeArray, np.ndarray]]


def reached(split: Split, k: int, kind: ProbeKind, m: int, seed: int) -> float:
    """Return the mean accuracy of probes trained on m images."""
    found = []
    for draw in range(TRUTHS):
        rng = np.random.default_rng([seed, m, draw])
        X, y, judged, wanted = split(rng, m)
        folds, Cs = stratified_folds(y, np.arange(m), 3, rng), DEFAULT_CS[kind]
        seen = np.zeros(len(Cs))
        for fold in range(3):
            train, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            seen += held_out_right(X, y, k, train, held, kind, Cs).sum(axis=1)
        both, labels = np.concatenate([X, judged]), np.concatenate([y, wanted])
        places = np.arange(len(labels))
        right = held_out_right(both, labels, k, places[:m], places[m:], kind, Cs)
        found.append(right[seen.argmax()].mean())
    return float(np.mean(found))


def cases(
    source: str, name: str, split: Split, k: int, kind: ProbeKind, n: int, draws: int
) -> Iterator[Case]:
    """Yield what is foretold of several tenants' images, and what comes true."""
    began = time.perf_counter()
    truth = tuple(reached(split, k, kind, round(times * n), 7) for times in (1, 2, 3))
    held = 0
    for draw in range(draws):
        X, y, *_ = split(np.random.default_rng([n, draw]), n)
        curve = learning_curve(X, y, k, np.arange(n), kind=kind, Cs=DEFAULT_CS[kind], seed=draw)
        case = Case(source, name, n, sufficiency(curve), (truth[0], truth[1], truth[2]))
        held += case.holds(2)
        yield case
    what = f"{source} {name} {kind.value} n={n}: {held} of {draws} held"
    print(f"{what}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


def of_images(X: CodeArray, y: np.ndarray) -> Split:
    """Return how a set is split at random, two images of each class or more on the left."""

    def split(
        rng: np.random.Generator, m: int
    ) -> tuple[CodeArray, np.ndarray, CodeArray, np.ndarray]:
        while True:
            order = rng.permutation(len(y))
            left, right = order[:m], order[m:]
            if np.bincount(y[left], minlength=int(y.max()) + 1).min() >= 2:
                return X[left], y[left], X[right], y[right]

    return split


def of_clouds(k: int, d: int, distance: float, wrong: float) -> Split:
    """Return how images of Gaussian classes are made; the centres are always the same."""
    centres = np.random.default_rng(k * d).normal(size=(k, d))
    centres *= distance / np.linalg.norm(centres, axis=1, keepdims=True)

    def some(rng: np.random.Generator, m: int) -> tuple[CodeArray, np.ndarray]:
        y = np.arange(m) % k
        X = centres[y] + rng.normal(size=(m, d))
        shown = np.where(rng.random(m) < wrong, rng.integers(k, size=m), y)
        shown[: 2 * k] = y[: 2 * k]
        return X.astype(np.float32), shown

    return lambda rng, m: (*some(rng, m), *some(rng, JUDGED))


def campaign(cache: Path, networks: Sequence[str], draws: int, gaussian: int) -> Iterator[Case]:
    kinds = cycle(ProbeKind)
    for cloud in CLOUDS:
        for n in CLOUD_SIZES:
            kind = next(kinds)
            name = f"k={cloud[0]} d={cloud[1]} wrong={cloud[3]}"
            yield from cases("Gaussian", name, of_clouds(*cloud), cloud[0], kind, n, gaussian)
    for network in networks:
        for set_name, sizes in SIZES.items():
            core = Core.read(cache, network, set_name)
            y = np.unique(core.labels, return_inverse=True)[1]
            for depth in DEPTHS:
                key = core.layers[round(depth * len(core.layers)) - 1].key
                split, kind = of_images(core.codes[key], y), next(kinds)
                for n in sizes:
                    yield from cases(network, set_name, split, int(y.max()) + 1, kind, n, draws)


def wilson(hits: int, of: int) -> str:
    z2, p = 1.96**2, hits / of
    middle, reach = p + z2 / 2 / of, (z2 * p * (1 - p) / of + (z2 / 2 / of) ** 2) ** 0.5
    low, high = ((middle + sign * reach) / (1 + z2 / of) for sign in (-1, 1))
    return f"{p:.3f} ({low:.3f} to {high:.3f})"


def table(rows: Sequence[tuple[str, list[Case]]]) -> None:
    print(
        "| | draws | held at 1 x | held at 2 x | held at 3 x | mean width at 3 x | "
        "truth above, below | forecast - truth |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, some in rows:
        held = [wilson(sum(case.holds(place) for case in some), len(some)) for place in range(3)]
        last = [(case.found.forecasts[-1], case.truth[2]) for case in some]
        print(
            f"| {name} | {len(some)} | {' | '.join(held)} | "
            f"{np.mean([f.high - f.low for f, _ in last]):.3f} | "
            f"{np.mean([t > f.high for f, t in last]):.2f}, "
            f"{np.mean([t < f.low for f, t in last]):.2f} | "
            f"{np.mean([f.estimate - t for f, t in last]):+.3f} |"
        )


def advice(found: Sequence[Case]) -> None:
    print("\n| advice | times | true gain at 3 x, mean | a point or more | n_more / n, mean |")
    print("| --- | --- | --- | --- | --- |")
    for word in MoreImages:
        some = [case for case in found if case.found.advice is word]
        if some:
            gains = np.array([case.gain for case in some])
            print(
                f"| {word.value} | {len(some)} | {gains.mean():+.3f} | "
                f"{(gains >= MARGIN).mean():.2f} | "
                f"{np.mean([case.found.n_more / case.n for case in some]):.2f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--network", action="append")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--gaussian", type=int, default=8)
    arguments = parser.parse_args()
    networks = arguments.network or ["squeezenet1.1", "mobilenetv2"]
    began = time.perf_counter()
    found = list(campaign(arguments.cache, networks, arguments.draws, arguments.gaussian))
    print(f"{date.today()}, {platform.machine()}, {time.perf_counter() - began:.0f} s\n")
    real = [case for case in found if case.source != "Gaussian"]
    rows = [("real codes", real)]
    rows += [(name, [c for c in real if c.source == name]) for name in networks]
    rows += [(name, [c for c in real if c.set == name]) for name in SIZES]
    bounds = ((0, 49), (50, 99), (100, 199), (200, 999))
    rows += [
        (f"n {low} to {high}", [c for c in real if low <= c.n <= high]) for low, high in bounds
    ]
    clouds = [case for case in found if case.source == "Gaussian"]
    rows += [("Gaussian", clouds)]
    rows += [(f"Gaussian n={n}", [c for c in clouds if c.n == n]) for n in CLOUD_SIZES]
    table([(name, some) for name, some in rows if some])
    advice(found)


if __name__ == "__main__":
    main()

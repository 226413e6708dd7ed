"""How often is the verdict POSITIVE where it must not be, and does it come where promised?

False: images with labels dealt anew, under a trained network; and images with their own labels
under a network with random weights, judged against three others like it (a pool of eight
twins; which is the transfer, and which three are its twins, is drawn). For the latter also
against the twins alone, as if the other baselines were worth nothing: the hardest case.

Power: clouds with a true gain over every baseline. Where a first sample is UNDECIDED and a
number of images is told, as many are drawn anew, all of them, and judged again.

All through the folds, choices and fits of a real training, three values of C. Laws: POSITIVE
in at most 5 % of all false trials; POSITIVE in at least 80 % of second samples.

Usage: OMP_NUM_THREADS=1 nice python bench/advice/verdict.py [--shuffled N] [--random N]
           [--power N] [--network NAME]
Needs ../shared for the first two, and says so where it is absent.
"""

import argparse
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from advice.contestants import Clouds, Entry, Photos
from icecore.probes.advising.deciding import MOST, Outcome
from icecore.probes.advising.verdict import TWIN, Verdict, verdict
from icecore.probes.cross_validation import OUTER_FOLDS
from science.cores import SHARED

NETWORK = "resnet56-cifar10"
SETS = ("blood-wbc", "hymenoptera", "textures-dtd10", "omniglot-alphabets")
N_MOST = 240
N_TWINS = 8
N_LAYERS = 3
SIZES = (40, 70, 100, 140)

POPULATIONS = (
    Clouds("gain over HOG of 10 points", 0.84, 0.25, 0.52, (0.40, 0.43, 0.38)),
    Clouds("gain over the twin of 10 points", 0.84, 0.25, 0.35, (0.52, 0.55, 0.50)),
    Clouds("gain over all of 15 points", 1.04, 0.39, 0.39, (0.39, 0.42, 0.36)),
)
"""Bayes accuracies: transfer .80 or .85, best baseline .70."""
FIRST = (60, 100)


@dataclass
class Tally:
    """Verdicts of one kind of trial."""

    name: str
    kinds: Counter[str] = field(default_factory=Counter)
    limiting: Counter[str] = field(default_factory=Counter)

    def add(self, found: Verdict) -> None:
        self.kinds[found.kind] += 1
        self.limiting[found.limiting] += 1

    @property
    def n(self) -> int:
        return self.kinds.total()

    def line(self) -> str:
        """Return the share of POSITIVE with Wilson's 95 % interval, and all counts."""
        low, high = wilson(self.kinds[Outcome.POSITIVE], self.n)
        counts = " ".join(f"{kind.value} {self.kinds[kind]}" for kind in Outcome)
        limits = " ".join(f"{name} {count}" for name, count in self.limiting.most_common())
        share = self.kinds[Outcome.POSITIVE] / max(self.n, 1)
        return (
            f"{self.name:42} {self.n:4} trials, POSITIVE {share:.3f} [{low:.3f}, {high:.3f}]"
            f" | {counts} | limiting: {limits}"
        )


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of independent trials."""
    if not n:
        return 0.0, 1.0
    z2 = 1.96**2 / n
    middle, p = (count / n + z2 / 2) / (1 + z2), count / n
    half = float(np.sqrt(z2 * p * (1 - p) + z2**2 / 4)) / (1 + z2)
    return middle - half, middle + half


def judged(entry: Entry, seed: int, *, only: Sequence[str] = ()) -> tuple[Verdict, Verdict | None]:
    """Return the verdict, and that against some baselines alone."""
    transfer, baselines = entry.answers(seed)
    groups = np.arange(len(transfer))
    partly = {name: baselines[name] for name in only}
    return (
        verdict(transfer, baselines, groups, n_folds=OUTER_FOLDS),
        verdict(transfer, partly, groups, n_folds=OUTER_FOLDS) if partly else None,
    )


def false_positives(network: str, n_shuffled: int, n_random: int) -> list[Tally]:
    """Return tallies over all sets in turn."""
    photos = []
    for name in SETS:
        began = time.perf_counter()
        photos.append(Photos.of(name, network, n_most=N_MOST, n_twins=N_TWINS, n_layers=N_LAYERS))
        seconds = time.perf_counter() - began
        print(
            f"{name}: {len(photos[-1].labels)} images, {N_TWINS} twins, {seconds:.0f} s", flush=True
        )
    shuffled, random_backbone = Tally("shuffled labels"), Tally("random backbone")
    twins_alone = Tally("random backbone, against twins alone")
    for trial in range(max(n_shuffled, n_random)):
        source, n = photos[trial % len(photos)], SIZES[trial // len(photos) % len(SIZES)]
        if trial < n_shuffled:
            random = np.random.default_rng([1, trial])
            entry = source.draw(random, n, is_shuffled=True, is_random=False)
            shuffled.add(judged(entry, trial)[0])
        if trial < n_random:
            random = np.random.default_rng([3, trial])
            entry = source.draw(random, n, is_shuffled=False, is_random=True)
            whole, alone = judged(entry, trial, only=[TWIN])
            random_backbone.add(whole)
            assert alone is not None
            twins_alone.add(alone)
    return [shuffled, random_backbone, twins_alone]


def power(population: Clouds, n_first: int, n_trials: int) -> tuple[Tally, Tally, list[int]]:
    """Return verdicts on first samples, on second ones, and the sizes of those."""
    first = Tally(f"{population.name}, n = {n_first}")
    second, sizes = Tally("  at the number told"), []
    for trial in range(n_trials):
        random = np.random.default_rng([4, n_first, trial])
        found = judged(population.draw(random, n_first), trial)[0]
        first.add(found)
        if found.more_images is not None:
            sizes.append(n_first + found.more_images)
            second.add(judged(population.draw(random, sizes[-1]), trial)[0])
    return first, second, sizes


def law(name: str, is_kept: bool) -> str:
    return f"{'met   ' if is_kept else 'MISSED'} {name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shuffled", type=int, default=240)
    parser.add_argument("--random", type=int, default=240)
    parser.add_argument("--power", type=int, default=40, help="first samples a population and size")
    parser.add_argument("--network", default=NETWORK)
    arguments = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}")
    laws = []
    if not (SHARED / "datasets").is_dir():
        print("the false trials need images and weights in ../shared, which is absent")
    elif arguments.shuffled or arguments.random:
        tallies = false_positives(arguments.network, arguments.shuffled, arguments.random)
        for tally in tallies:
            if tally.n:
                print(tally.line(), flush=True)
        laws += [
            law(f"{each.name}: at most 5 %", each.kinds[Outcome.POSITIVE] <= 0.05 * each.n)
            for each in tallies
            if each.n
        ]
    seconds = Tally("all second samples")
    for n_first in FIRST if arguments.power else ():
        for population in POPULATIONS:
            began = time.perf_counter()
            first, second, sizes = power(population, n_first, arguments.power)
            seconds.kinds += second.kinds
            seconds.limiting += second.limiting
            print(first.line())
            told = f"{len(sizes)} of {first.kinds[Outcome.UNDECIDED]}"
            quantiles = np.quantile(sizes, [0.1, 0.5, 0.9]).round().astype(int) if sizes else "-"
            print(f"  told how many (at most {MOST} times): {told}; n, 10/50/90 %: {quantiles}")
            print(f"{second.line()} | {time.perf_counter() - began:.0f} s", flush=True)
    if arguments.power:
        print(seconds.line())
        laws.append(
            law(
                "POSITIVE at the number told: at least 80 %",
                seconds.kinds["POSITIVE"] >= 0.8 * seconds.n,
            )
        )
    print("\n".join(laws))


if __name__ == "__main__":
    main()

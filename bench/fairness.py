"""What a tenant notices of another that asks for twenty times its share.

Two tenants with keys of their own. A victim sends a steady trickle (Poisson, --victim of
the peak) all along; its neighbour sends, in turns, exactly its share (half of the
peak) and 20 times that. Both ways the neighbour sends one image a call, then a
hundred images a call, the same number of images a second. Nobody retries.

The law: the victim's p99 beside the greedy neighbour is at most 1.2 times what it is beside
the fair one, and beside either at most 0.5 % of its calls are refused or fail: a p99 is that of
the calls that were answered, and must not be bought with those that were not.
Each period is 1.5 s of settling and --period of measuring; the periods take turns, so
that what else goes on meets both alike. The server has a core of its own, the
generators the other; the neighbour's is niced, so that it does not delay the victim's.

Usage: python bench/fairness.py [--periods N] [--period SECONDS] [--model NAME]
       [--images 1,100] [--times 20] [-- FLAGS OF THE SERVER]
About 2 x N x (SECONDS + 3.5) s for each number of images; JPEG, 500 x 375 pixels, 39 KB.
A p99 needs some 500 calls of the victim for each kind of neighbour: the number is printed.
"""

import argparse
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

from load.bodies import Body
from load.calling import Target
from load.generator import Generator, Job
from load.icecore_server import icecore_server, jpeg_request
from load.networks import NETWORKS, NetworkMissing, network, photo
from load.outcome import OK, Outcome, merged, percentile

AT_PEAK = 8
SHARE = 0.5
"""Of the peak; there are two tenants."""
SETTLING_S = 1.5
LAW = 1.2
MOST_LOST = 0.005
"""Of the victim's calls, beside either neighbour: none but a stray one in 200."""
TIMEOUT_S = 10.0
BETWEEN_S = 8.0
"""At most, for what waits to be done with before the next period."""


@dataclass
class Numbers:
    """Numbers for jobs: no image of a run is sent twice."""

    next: int = 0

    def take(self, n_calls: float) -> int:
        first = self.next
        self.next += int(n_calls) + 1000
        return first


@dataclass(frozen=True)
class Verdict:
    """What the law is judged by: p99 beside the greedy neighbour over p99 beside the fair one,
    and the parts of the victim's calls that were not answered."""

    ratio: float
    lost: tuple[float, float]

    @classmethod
    def of(cls, fair: Outcome, greedy: Outcome) -> Self:
        p99s = [percentile(one.ms_of(OK), 99) for one in (fair, greedy)]
        return cls(p99s[1] / p99s[0], (_lost(fair), _lost(greedy)))

    @property
    def is_met(self) -> bool:
        return self.ratio <= LAW and max(self.lost) <= MOST_LOST


def _lost(outcome: Outcome) -> float:
    """Return the part not answered; all, where nothing was asked."""
    return outcome.failures().total() / len(outcome.ends) if outcome.ends else 1.0


@dataclass(frozen=True)
class Scene:
    """Who sends what where."""

    victim: Generator
    neighbour: Generator
    victims: Target
    neighbours: Target
    single: Body
    numbers: Numbers
    pid: int


def period(
    scene: Scene, rate: float, theirs: Body, their_rate: float, seconds: float, seed: int
) -> tuple[Outcome, Outcome]:
    """Return what the victim saw after settling, and all that the neighbour saw."""
    whole = SETTLING_S + seconds
    numbers = scene.numbers
    scene.neighbour.begin(
        Job(
            scene.neighbours, theirs, whole, numbers.take(2 * whole * their_rate),
            rate=their_rate, timeout_s=TIMEOUT_S, seed=2 * seed, pid=scene.pid,
        )
    )  # fmt: skip
    mine = scene.victim.run(
        Job(
            scene.victims, scene.single, whole, numbers.take(2 * whole * rate),
            rate=rate, timeout_s=TIMEOUT_S, seed=2 * seed + 1,
        )
    )  # fmt: skip
    return _after(mine, SETTLING_S), scene.neighbour.end()


def _after(outcome: Outcome, seconds: float) -> Outcome:
    kept = [place for place, at in enumerate(outcome.at) if at >= seconds]
    return Outcome(
        seconds=outcome.seconds - seconds,
        at=[outcome.at[place] for place in kept],
        ms=[outcome.ms[place] for place in kept],
        late_ms=[outcome.late_ms[place] for place in kept],
        ends=[outcome.ends[place] for place in kept],
        complaint=outcome.complaint,
    )


def settle(scene: Scene, lone_ms: float) -> None:
    """Wait until the victim alone is answered as quickly as at first."""
    deadline = time.monotonic() + BETWEEN_S
    while time.monotonic() < deadline:
        first = scene.numbers.take(100)
        seen = scene.victim.run(Job(scene.victims, scene.single, 0.3, first, concurrency=1))
        if percentile(seen.ms, 90) <= 2 * lone_ms:
            return


def compare(
    scene: Scene, asked: argparse.Namespace, peak: float, lone_ms: float, n_images: int
) -> bool:
    """Print both kinds of periods and return whether the law is met."""
    theirs = jpeg_request(asked.model, photo(), n_images)
    rates = {"its share": SHARE * peak, f"{asked.times:g} x": asked.times * SHARE * peak}
    mine: dict[str, list[Outcome]] = {name: [] for name in rates}
    others: dict[str, list[Outcome]] = {name: [] for name in rates}
    for turn in range(asked.periods):
        names = list(rates) if turn % 2 == 0 else list(rates)[::-1]
        for name in names:
            seen, other = period(
                scene, asked.victim * peak, theirs, rates[name] / n_images, asked.period, turn
            )
            mine[name].append(seen)
            others[name].append(other)
            settle(scene, lone_ms)
    print(f"the neighbour sends {n_images} image{'s' * (n_images > 1)} a call")
    for name in rates:
        whole, other = merged(mine[name]), merged(others[name])
        ok = whole.ms_of(OK)
        each = " ".join(f"{percentile(one.ms_of(OK), 99):.0f}" for one in mine[name])
        print(
            f"  neighbour at {name:10} victim: {len(ok)} calls, p50 {percentile(ok, 50):6.1f}, "
            f"p99 {percentile(ok, 99):6.1f} ms (periods: {each}), failed "
            f"{dict(whole.failures()) or 0}, sent late by {percentile(whole.late_ms, 99):.1f} ms"
        )
        done = n_images * sum(
            one.rate_of_ends(0, SETTLING_S + asked.period) for one in others[name]
        )
        done /= peak * len(others[name])
        print(
            f"  {'':23} neighbour: {len(other.ends)} calls, {done:.2f} of the peak done, "
            f"{dict(Counter(other.ends))}; the server had "
            f"{other.server_cpu_s / other.seconds:.2f} of its core"
        )
    fair, greedy = (merged(mine[name]) for name in rates)
    p50s = [percentile(one.ms_of(OK), 50) for one in (fair, greedy)]
    verdict = Verdict.of(fair, greedy)
    print(
        f"  p50 {p50s[1] / p50s[0]:.2f} times, p99 {verdict.ratio:.2f} times (law: <= {LAW}), "
        f"not answered {verdict.lost[0]:.2%} and {verdict.lost[1]:.2%} (law: <= {MOST_LOST:.1%}) "
        f"{'met' if verdict.is_met else 'NOT MET'}\n"
    )
    return verdict.is_met


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--periods", type=int, default=4, help="of each kind")
    parser.add_argument("--period", type=float, default=8.0, help="seconds")
    parser.add_argument("--model", default="efficientnet-lite0", choices=NETWORKS)
    parser.add_argument("--images", default="1,100", help="a call of the neighbour's")
    parser.add_argument("--times", type=float, default=20.0, help="the neighbour's share")
    parser.add_argument("--victim", type=float, default=0.2, help="of the peak")
    parser.add_argument("flags", nargs="*", help="of the server")
    asked = parser.parse_args()
    try:
        network(asked.model)
    except NetworkMissing as error:
        print(f"{error}; efficientnet-lite0 instead")
        asked.model = "efficientnet-lite0"
    cores = sorted(os.sched_getaffinity(0))
    print(f"{date.today()}  {platform.machine()}, {asked.model}, JPEG of {len(photo()):,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        run(asked, Path(folder), cores[:1], cores[-1:])


def run(
    asked: argparse.Namespace, folder: Path, of_server: Sequence[int], of_load: Sequence[int]
) -> None:
    with (
        icecore_server(folder, *asked.flags, cores=of_server) as server,
        Generator(cores=of_load) as victim,
        Generator(cores=of_load, niceness=10) as neighbour,
    ):
        os.sched_setaffinity(0, of_load)
        server.add(network(asked.model))
        numbers = Numbers()
        scene = Scene(
            victim,
            neighbour,
            server.target(server.new_tenant("victim")),
            server.target(server.new_tenant("neighbour")),
            jpeg_request(asked.model, photo()),
            numbers,
            server.tree.pid,
        )
        lone = victim.run(Job(scene.victims, scene.single, 3.0, numbers.take(2000), 1, warm_up=20))
        full = neighbour.run(Job(scene.neighbours, scene.single, 5.0, numbers.take(9000), AT_PEAK))
        lone_ms = percentile(lone.ms, 50)
        print(
            f"peak {full.rate:.1f} images/s; the victim alone: p50 {lone_ms:.1f}, "
            f"p99 {percentile(lone.ms, 99):.1f} ms; "
            f"it sends {asked.victim * full.rate:.1f} a second\n"
        )
        for n_images in (int(number) for number in asked.images.split(",")):
            compare(scene, asked, full.rate, lone_ms, n_images)


if __name__ == "__main__":
    main()

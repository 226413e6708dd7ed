"""What a request through the server costs over the bare ONNX Runtime pass.

The same cut graph runs bare in a process of its own and behind the server, in turn, round
by round: float32 tensors (602 KB), uint8 tensors of the network's size (151 KB) and JPEG
(500 x 375 pixels, 39 KB), no two requests alike. The server's figure is its whole process
tree, by the kernel's clocks; the generator is another process, whose CPU is told.

ONNX Runtime's threads wait by spinning, unless told not to, as the server tells them. Bare loops
run both ways, and each law has the base that is harder on the server. No round begins before the
server has measured how the network runs best and has kept it, or it is said that it has not.

Beside them stands a thin server: a gRPC handler of ten lines around the same graph, and nothing
that makes a service of it. What it costs over the bare pass, every server of gRPC's in Python does.

The laws, each printed as met or not:
  CPU-ms over the bare pass: at most 2.0 with float32 and 1.2 with uint8, at 1 and 8 at once;
  alone, the base is the cheaper of all threads on one image, spinning and not;
  JPEG: at most 1.25 times the CPU-ms of the same network fed float32 (EfficientNet-Lite0);
  a lone request: p50 at most 3 ms above the bare pass of all threads, as ONNX Runtime has it by
  default, spinning, and above the one that does not spin, which is quicker where others are at
  work; both are told;
  requests a second at 8 at once: at least 0.85 (EfficientNet-Lite0) and 0.95 (ResNet-50) of the
  best bare loop: an image a thread, or all threads on one image, spinning or not, or one thread,
  whichever did most. Both on core 0 with the generator on core 1; and on all cores, where the
  generator's CPU is taken from what the bare loop had.

Usage: python bench/embed_overhead.py [--seconds S] [--rounds R] [--model NAME ...]
About 38 x R x S for each network.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

from load.bare_loop import BareLoop, Loop, Ran, choices
from load.bodies import Body
from load.calling import Target
from load.generator import Generator, Job
from load.icecore_server import (
    EMBED,
    Icecore,
    icecore_server,
    jpeg_request,
    pixels_request,
    tensor_request,
)
from load.networks import NETWORKS, Network, NetworkMissing, network, photo, tensor
from load.outcome import Outcome, percentile
from load.processes import Tree
from load.thin_server import thin_server

MOST_OVER = {"float32": 2.0, "uint8": 1.2}
MOST_JPEG = 1.25
MOST_LONE_MS = 3.0
LEAST_RATE = {"efficientnet-lite0": 0.85, "resnet50": 0.95}
AT_ONCE = (1, 8)
UNTIL_PLANNED = 50
"""Requests after which the server has begun to wait for a quiet moment, to measure in."""
PLANNED_S = 60.0
"""At most. EfficientNet-Lite0 takes a few seconds, and is begun again when it is disturbed."""
NUMBERS = count()


@dataclass
class Side:
    """Some cores, with a server and a bare loop on them and a generator beside."""

    server: Icecore
    generator: Generator
    bare: BareLoop
    thin: tuple[Tree, str]
    n_cores: int
    seconds: float
    ran: dict[Loop, list[Ran]] = field(default_factory=dict)
    thinly: dict[int, list[Outcome]] = field(default_factory=dict)
    came: dict[tuple[str, int], list[Outcome]] = field(default_factory=dict)

    def round(self, bodies: Mapping[str, Body], concurrency: int) -> None:
        """One round: the bare loops, then each kind of request."""
        for loop in choices(self.n_cores, self.seconds):
            self.ran.setdefault(loop, []).append(self.bare.run(loop))
        for kind, body in bodies.items():
            outcome = self._load(self.server.target(), self.server.tree, body, concurrency)
            self.came.setdefault((kind, concurrency), []).append(outcome)
        tree, address = self.thin
        outcome = self._load(Target("grpc", address, EMBED), tree, bodies["float32"], concurrency)
        self.thinly.setdefault(concurrency, []).append(outcome)

    def _load(self, target: Target, tree: Tree, body: Body, concurrency: int) -> Outcome:
        job = Job(
            target,
            body,
            self.seconds,
            next(NUMBERS) * 100_000,
            concurrency=concurrency,
            warm_up=2,
            pid=tree.pid,
        )
        outcome = self.generator.run(job)
        if outcome.failures():
            raise SystemExit(f"{target}: {outcome.failures()}: {outcome.complaint}")
        return outcome

    def each(self) -> list[Ran]:
        """Return the rounds of an image a thread."""
        return self.ran[Loop(self.n_cores, 1, self.seconds)]

    def wide(self, *, spins: bool) -> list[Ran]:
        """Return the rounds of all threads on one image."""
        return self.ran[Loop(1, self.n_cores, self.seconds, spins or self.n_cores == 1)]

    def cheaper_wide(self) -> list[Ran]:
        """Return the rounds of all threads on one image, the way that took less CPU."""
        ways = (self.wide(spins=True), self.wide(spins=False))
        return min(ways, key=lambda ran: median(one.cpu_ms for one in ran))

    def best(self) -> Loop:
        """Return the way that did most images a second."""
        return max(self.ran, key=lambda loop: median(one.rate for one in self.ran[loop]))

    def warm_up(self, body: Body) -> None:
        """Have the server measure, undisturbed, how it runs the network, and print what it kept."""
        first = next(NUMBERS) * 100_000
        self.generator.run(Job(self.server.target(), body, 0.01, first, 1, warm_up=UNTIL_PLANNED))
        deadline = time.monotonic() + PLANNED_S
        while not (plans := self.server.plans()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for plan in plans:
            print(
                f"  the server's plan: {plan['lone_threads']} threads for a lone image, "
                f"at most {plan['batch']} images a pass"
            )
        if not plans:
            print(
                f"  the server kept no plan in {PLANNED_S:.0f} s: it may be measuring still, "
                "and figures say little"
            )


@contextmanager
def side(
    folder: Path, made: Network, seconds: float, *, pinned: tuple[int, int] | None = None
) -> Iterator[Side]:
    """Start all three; `pinned` are the cores of server and bare loop, and of the generator."""
    graph = folder / "cut.onnx"
    folder.mkdir()
    graph.write_bytes(made.cut())
    ours, other = (None, None) if pinned is None else ([pinned[0]], [pinned[1]])
    with ExitStack() as stack:
        server = stack.enter_context(
            icecore_server(folder / "server", "--max-queue-ms", "60000", cores=ours)
        )
        server.add(made)
        generator = stack.enter_context(Generator(cores=other))
        bare = stack.enter_context(BareLoop(graph, cores=ours))
        n_cores = 1 if pinned else len(os.sched_getaffinity(0))
        thin = stack.enter_context(thin_server(folder, graph, n_cores, cores=ours))
        whole = Side(server, generator, bare, thin, n_cores, seconds)
        whole.warm_up(bodies(made)["float32"])
        yield whole


def bodies(made: Network) -> dict[str, Body]:
    height, width = made.backbone.recipe.shape[1:]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return {
        "float32": tensor_request(made.name, tensor(made.backbone.recipe.shape)),
        "uint8": pixels_request(made.name, pixels),
        "JPEG": jpeg_request(made.name, photo()),
    }


def told(text: str, holds: bool) -> None:
    print(f"{text:92} {'PASS' if holds else 'MISSED'}")


def costs(run: Side, concurrency: int, name: str) -> None:
    """Print what requests cost, and whether that is within the laws."""
    base = run.cheaper_wide() if concurrency == 1 else run.each()
    print(f"\n{name}, {concurrency} at once")
    for loop, ran in run.ran.items():
        cpu, rate, p50 = (
            median(getattr(one, what) for one in ran) for what in ("cpu_ms", "rate", "p50")
        )
        print(f"  bare, {loop!s:27} {cpu:8.2f} CPU-ms {rate:8.1f} images/s  p50 {p50:7.2f} ms")
    rows = [(kind, came) for (kind, at), came in run.came.items() if at == concurrency]
    for kind, came in [*rows, ("thin, float32", run.thinly[concurrency])]:
        cpu, rate, own = (
            median(getattr(one, what) for one in came)
            for what in ("server_cpu_ms", "rate", "own_cpu_ms")
        )
        p50, p99 = (median(percentile(one.ms, p) for one in came) for p in (50, 99))
        over = sorted(a.server_cpu_ms - b.cpu_ms for a, b in zip(came, base, strict=True))
        print(
            f"  {kind:14} {cpu:8.2f} CPU-ms {rate:8.1f} images/s  p50 {p50:7.2f} p99 {p99:7.2f} ms"
            f"  over bare {median(over):5.2f} ({over[0]:.2f} to {over[-1]:.2f})"
            f"  generator {own:.2f}"
        )
    for kind, most in MOST_OVER.items():
        over_ms = _over(run, kind, concurrency, base)
        told(
            f"  {kind} at {concurrency}: {over_ms:.2f} CPU-ms over bare, at most {most}",
            over_ms <= most,
        )
    ratio = median(
        a.server_cpu_ms / b.server_cpu_ms
        for a, b in zip(
            run.came["JPEG", concurrency], run.came["float32", concurrency], strict=True
        )
    )
    if name in LEAST_RATE and name != "resnet50":
        told(
            f"  JPEG at {concurrency}: {ratio:.3f} times float32's CPU-ms, at most {MOST_JPEG}",
            ratio <= MOST_JPEG,
        )
    else:
        print(f"  JPEG at {concurrency}: {ratio:.3f} times float32's CPU-ms")


def lone(run: Side) -> None:
    default, still = (
        median(
            percentile(came.ms, 50) - ran.p50
            for came, ran in zip(run.came["float32", 1], run.wide(spins=spins), strict=True)
        )
        for spins in (True, False)
    )
    told(
        f"  a lone request: p50 {default:.2f} ms above bare spinning (the default), "
        f"{still:.2f} not spinning, at most {MOST_LONE_MS}",
        max(default, still) <= MOST_LONE_MS,
    )


def rates(run: Side, name: str, where: str) -> None:
    """Print images a second as parts of the best bare loop's, each round by itself."""
    least = LEAST_RATE.get(name, 0.0)
    best = run.best()
    plain, corrected, own = [], [], []
    for came, ran in zip(run.came["float32", 8], run.ran[best], strict=True):
        share = came.own_cpu_s / came.seconds / run.n_cores if where == "all cores" else 0.0
        plain.append(came.rate / ran.rate)
        corrected.append(came.rate / (ran.rate * (1 - share)))
        own.append(came.own_cpu_ms)
    text = f"  {where}: {median(plain):.3f} of the best bare loop ({best})"
    if where == "all cores":
        text += (
            f", {median(corrected):.3f} of what the generator ({median(own):.2f} CPU-ms) left it"
        )
    told(f"{text}, at least {least}", median(corrected) >= least)


def _over(run: Side, kind: str, concurrency: int, base: list[Ran]) -> float:
    pairs = zip(run.came[kind, concurrency], base, strict=True)
    return median(came.server_cpu_ms - ran.cpu_ms for came, ran in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="of each part of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", nargs="*", choices=NETWORKS, default=NETWORKS)
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {len(cores)} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}; medians of {asked.rounds} rounds"
    )
    for name in asked.model:
        try:
            made = network(name)
        except NetworkMissing as missing:
            print(f"\n{missing}")
            continue
        with tempfile.TemporaryDirectory(prefix="icecore-bench-") as folder:
            with side(Path(folder) / "free", made, asked.seconds) as free:
                for concurrency in AT_ONCE:
                    free.ran.clear()
                    for _ in range(asked.rounds):
                        free.round(bodies(made), concurrency)
                    costs(free, concurrency, name)
                    if concurrency == 1:
                        lone(free)
                rates(free, name, "all cores")
            if len(cores) < 2:
                print("  one core only: nothing to pin the generator to")
                continue
            with side(
                Path(folder) / "pinned", made, asked.seconds, pinned=(cores[0], cores[1])
            ) as one:
                for _ in range(asked.rounds):
                    one.round({"float32": bodies(made)["float32"]}, 8)
                rates(one, name, "a core each")


if __name__ == "__main__":
    main()

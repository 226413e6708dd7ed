"""Does Embed stay as quick while the server trains a probe, or builds a large index?

One client embeds photos with the default backbone, one after the other, without a pause; the code
cache is off. In turns of some seconds the server has nothing else to do, trains a probe on
N examples of D values (that the server reads those first is told apart), or is asked to search a
collection of so many that has just changed, so that its index is built anew again and again.
Prints percentiles of all turns of a kind, and their ratio to those alone. The law: p99 at most
1.3 times that alone, no error, and in each turn a training that ran to its end, or an index
built at least.

Usage: python bench/niced_work.py [--examples N] [--values D] [--rounds R] [--seconds S]
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from icecore.client import Client, NewExample, VersionState
from load.embedding_beside import Calls, Embedding, beside
from servers import Server, process, start
from wide_collection import fill

LAW = 1.3
SENT_S = 1.0
"""In which the codes that were read have reached the process."""
COLLECTION, PROBE = "large", "large"

Intervals: TypeAlias = dict[str, list[tuple[float, float]]]
"""From and until when, of `time.perf_counter`, by what was done then."""


@dataclass
class Turns:
    """What was done beside the calls, turn after turn; `errors` is what went wrong."""

    n_trainings: list[int] = field(default_factory=list)
    """1 where one ran all the turn."""
    n_builds: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def are_sound(self) -> bool:
        """Whether in each turn something was done beside the calls, and nothing went wrong."""
        return not self.errors and all([*self.n_trainings, *self.n_builds])


@contextmanager
def training(server: Server, turns: Turns) -> Iterator[Intervals]:
    """A training that is cancelled at the end of the block; its process works in the block.

    Before it the server itself reads the codes, and gives them to the process: "reading".
    """
    with Client(server.address) as client:
        began = time.perf_counter()
        version = client.train_probe(PROBE, COLLECTION, wait=False).version
        for progress in client.watch_probe(PROBE, version):
            if progress.stage not in ("waiting", "codes"):
                break
        time.sleep(SENT_S)
        yield {"reading": [(began, time.perf_counter())]}
        ended = client.cancel_training(PROBE, version)
        turns.n_trainings.append(int(ended.state is VersionState.CANCELLED))
        if ended.state is not VersionState.CANCELLED:
            turns.errors.append(f"a training {ended.state} too soon: {ended.failure_message!r}")


@contextmanager
def indexing(server: Server, turns: Turns) -> Iterator[Intervals]:
    """Changes and searches, one after the other, until the end of the block.

    A search that finds what was added just before it has had its index built.
    """
    turns.n_builds.append(0)

    def search(stop: threading.Event) -> None:
        random = np.random.default_rng(time.time_ns())
        with Client(server.address) as client:
            while not stop.is_set():
                image = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                new = NewExample(f"new-{time.time_ns()}", image, label="0")
                client.add_examples(COLLECTION, [new])
                [hits] = client.search(COLLECTION, [image], k=10, timeout_s=300)
                if new.example_id not in [hit.example.example_id for hit in hits]:
                    raise AssertionError("a search did not find what was added before it")
                turns.n_builds[-1] += 1

    with beside(search, turns.errors):
        yield {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--values", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--kinds", nargs="*", default=["training", "indexing"])
    options = parser.parse_args()
    kinds = {"training": training, "indexing": indexing}
    calls, turns = Calls(), Turns()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        start(data, "--until-idle", "0.1").communicate()  # the default backbone is built once
        fill(data, COLLECTION, options.examples, options.values)
        with process(data, "--threads", "0", "--cache-mb", "0") as server:
            embedding = Embedding(server.address)
            with embedding.at_work():
                time.sleep(2.0)
                embedding.take({}, calls)
                for _ in range(options.rounds):
                    for kind in options.kinds:
                        embedding.turn("alone", options.seconds / 2, calls)
                        with kinds[kind](server, turns) as before:
                            embedding.take(before, calls)
                            embedding.turn(kind, options.seconds, calls)
                        embedding.take({}, calls)
                        embedding.turn("alone", options.seconds / 2, calls)
    errors = [*embedding.errors, *turns.errors]
    is_met = calls.table("alone", LAW) and not errors and turns.are_sound
    print(f"trainings that ran all their turn: {sum(turns.n_trainings)}/{len(turns.n_trainings)}")
    print(f"indexes built, turn after turn: {turns.n_builds}")
    print(f"errors: {len(errors)} {errors[:3] or ''}")
    print("met" if is_met else "NOT met")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())

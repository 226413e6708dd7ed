"""Does Embed stay as quick while the server trains a probe, or builds a large index?

One client embeds photos with the default backbone, one after the other, without a pause; the code
cache is off. In turns of some seconds the server has nothing else to do, trains a probe on
N examples of D values, or is asked to search a collection of so many that has just changed,
so that its index is built anew again and again. Prints percentiles of all turns of a kind, and
their ratio to those alone. The law: p99 at most 1.3 times that alone.

Usage: python bench/niced_work.py [--examples N] [--values D] [--rounds R] [--seconds S]
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from embedding_beside import Calls, Embedding
from icecore.client import Client, NewExample
from servers import Server, process, start
from wide_collection import fill

LAW = 1.3
COLLECTION, PROBE = "large", "large"


@contextmanager
def training(server: Server) -> Iterator[None]:
    """A training that is cancelled at the end of the block; it has begun when the block does."""
    with Client(server.address) as client:
        version = client.train_probe(PROBE, COLLECTION, wait=False).version
        assert server.child is not None
        watched = client.watch_probe(PROBE, version)
        for progress in watched:
            if progress.stage not in ("waiting", "reading"):
                break
        yield
        client.cancel_training(PROBE, version)


@contextmanager
def indexing(server: Server) -> Iterator[None]:
    """Changes and searches, one after the other, until the end of the block."""
    stop = threading.Event()

    def search() -> None:
        random = np.random.default_rng(time.time_ns())
        with Client(server.address) as client:
            while not stop.is_set():
                image = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                new = NewExample(f"new-{time.time_ns()}", image, label="0")
                client.add_examples(COLLECTION, [new])
                client.search(COLLECTION, [image], k=10, timeout_s=300)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--values", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--kinds", nargs="*", default=["training", "indexing"])
    options = parser.parse_args()
    kinds = {"training": training, "indexing": indexing}
    calls = Calls()
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
                        with kinds[kind](server):
                            embedding.take({}, calls)
                            embedding.turn(kind, options.seconds, calls)
                        embedding.take({}, calls)
                        embedding.turn("alone", options.seconds / 2, calls)
    is_met = calls.table("alone", LAW) and not embedding.errors
    print(f"errors: {len(embedding.errors)} {embedding.errors[:3] or ''}")
    print("met" if is_met else "NOT met")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())

"""Do others notice that a backbone is added, replaced or removed?

One client embeds photos with the default backbone, one after the other, without a pause; the
code cache is off. In turns the server has nothing else to do, or a network is added under a
new name, used, replaced by another under that name while a second client embeds with it, and
removed. Prints percentiles of the first client's calls that fall into each, their ratio to
those alone, and the errors that the two saw. The law: no error, p99 at most 1.3 times.

Usage: python bench/backbones_under_load.py [--rounds R] [--seconds S] [FIRST.onnx SECOND.onnx]
Without files two networks of 2 MB are made.
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

from cycles import SIDE, two_megabytes
from icecore.client import Client, Recipe
from load.embedding_beside import Calls, Embedding, beside
from servers import Server, process, start

LAW = 1.3
NAME = "comes-and-goes"


class User:
    """Embeds with the backbone that comes and goes, for as long as it is there."""

    def __init__(self, address: str) -> None:
        self.errors: list[str] = []
        self.n_calls = 0
        self._address = address

    @contextmanager
    def at_work(self) -> Iterator[None]:
        def use(stop: threading.Event) -> None:
            image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            with Client(self._address) as client:
                while not stop.wait(0.05):
                    try:
                        client.embed([image], backbone=NAME)
                        self.n_calls += 1
                    except Exception as error:
                        self.errors.append(f"{type(error).__name__}: {error}")

        with beside(use, self.errors):
            yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.onnx")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    if len(options.files) not in (0, 2):
        parser.error("two files, or none")
    files = [file.read_bytes() for file in options.files] or [two_megabytes(1), two_megabytes(2)]
    recipe = None if options.files else Recipe(height=SIDE, width=SIDE, resize=SIDE)
    calls = Calls()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        start(data, "--until-idle", "0.1").communicate()  # the default backbone is built once
        with process(data, "--threads", "0", "--cache-mb", "0") as server:
            embedding, user = Embedding(server.address), User(server.address)
            with embedding.at_work():
                time.sleep(2.0)
                embedding.take({}, calls)
                for _ in range(options.rounds):
                    embedding.turn("alone", options.seconds, calls)
                    intervals = _comes_and_goes(server, files, recipe, user)
                    embedding.take(intervals, calls)
    is_met = calls.table("alone", LAW)
    errors = [*embedding.errors, *user.errors]
    print(f"calls to what came and went: {user.n_calls}; errors: {len(errors)} {errors[:3] or ''}")
    is_met &= not errors
    print("met" if is_met else "NOT met")
    return 0 if is_met else 1


def _comes_and_goes(
    server: Server, files: list[bytes], recipe: Recipe | None, user: User
) -> dict[str, list[tuple[float, float]]]:
    """Add, replace and remove; return when each began and ended."""
    times = []
    with Client(server.address, key=server.admin_key, timeout_s=300) as admin:
        times.append(time.perf_counter())
        admin.add_backbone(NAME, files[0], recipe=recipe)
        times.append(time.perf_counter())
        with user.at_work():
            time.sleep(0.5)
            times.append(time.perf_counter())
            admin.add_backbone(NAME, files[1], recipe=recipe)
            times.append(time.perf_counter())
            time.sleep(0.5)
        times.append(time.perf_counter())
        admin.remove_backbone(NAME)
        times.append(time.perf_counter())
    adding, using, replacing, used, removing, gone = times
    return {
        "adding": [(adding, using)],
        "in use": [(using, replacing), (used, removing)],
        "replacing": [(replacing, used)],
        "removing": [(removing, gone)],
    }


if __name__ == "__main__":
    sys.exit(main())

"""One who embeds without a pause, and how long each call took; for benches of what goes on beside.

In turns: calls that lie in an interval, or touch it, are told apart from those alone.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from icecore.client import Client


@contextmanager
def beside(work: Callable[[threading.Event], None], errors: list[str]) -> Iterator[None]:
    """Have work done in a thread until the block ends, which sets what the work is given.

    What ends it sooner is added to `errors`.
    """
    stop = threading.Event()

    def work_or_tell() -> None:
        try:
            work(stop)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=work_or_tell)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Calls:
    """Times of calls by what went on beside them, in ms."""

    ms: dict[str, list[float]] = field(default_factory=dict)

    def table(self, alone: str, law: float) -> bool:
        """Print percentiles and their ratio to those alone; return whether the law holds."""
        heads = ("beside", "calls", "p50 ms", "p95 ms", "p99 ms", "p50 ratio", "p99 ratio")
        print(" ".join(f"{head:>10}" for head in heads))
        middle, late = np.percentile(self.ms[alone], [50, 99])
        is_met = True
        for kind, ms in self.ms.items():
            p50, p95, p99 = np.percentile(ms, [50, 95, 99])
            is_met &= bool(p99 <= law * late)
            print(
                f"{kind:>10} {len(ms):10} {p50:10.1f} {p95:10.1f} {p99:10.1f} "
                f"{p50 / middle:10.2f} {p99 / late:10.2f}"
            )
        return is_met


class Embedding:
    """Embeds a photo of its own each time with the default backbone, so that none is known.

    `errors` is what went wrong.
    """

    def __init__(self, address: str) -> None:
        self.errors: list[str] = []
        self._address = address
        self._calls: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._embed)
        self._thread.start()

    def take(self, intervals: dict[str, list[tuple[float, float]]], into: Calls) -> None:
        """Sort the calls made since: a call belongs to each kind that it touched."""
        calls, self._calls = self._calls, []
        for began, ended in calls:
            for kind, ones in intervals.items():
                if any(began < until and ended > since for since, until in ones):
                    into.ms.setdefault(kind, []).append((ended - began) * 1e3)

    def turn(self, kind: str, seconds: float, into: Calls) -> None:
        """Let it call for so long, beside what is under way."""
        began = time.perf_counter()
        time.sleep(seconds)
        self.take({kind: [(began, time.perf_counter())]}, into)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _embed(self) -> None:
        random = np.random.default_rng(0)
        with Client(self._address) as client:
            while not self._stop.is_set():
                image = random.integers(0, 256, (224, 224, 3), dtype=np.uint8)
                began = time.perf_counter()
                try:
                    client.embed([image])
                except Exception as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                self._calls.append((began, time.perf_counter()))

"""What is seen of a server from outside while others load it: memory, and whatever is asked."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from load.outcome import OK, Outcome
from load.processes import Tree, memory_mb

EVERY_S = 0.25
IN_A_ROW = 5


@dataclass
class Watched:
    """One entry a look; `said` are the answers to what was asked, `said_ms` their times."""

    memory_mb: list[float] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    said_ms: list[float] = field(default_factory=list)


@contextmanager
def watching(tree: Tree, ask: Callable[[], str] | None = None) -> Iterator[Watched]:
    """Look at a server's memory four times a second, and ask it something each time."""
    seen = Watched()
    done = threading.Event()

    def watch() -> None:
        members = tree.members()
        while not done.wait(EVERY_S):
            if ask is not None:
                began = time.perf_counter()
                seen.said[ask()] += 1
                seen.said_ms.append((time.perf_counter() - began) * 1e3)
            seen.memory_mb.append(memory_mb(members))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def recovered_after(probe: Outcome, most_ms: float) -> float:
    """Return when answers became good: in seconds from the beginning, inf if never.

    That is when the first of `IN_A_ROW` good answers in a row was asked for, each within `most_ms`.
    """
    in_a_row, since = 0, 0.0
    for at, ms, end in sorted(zip(probe.at, probe.ms, probe.ends, strict=True)):
        in_a_row = in_a_row + 1 if end == OK and ms <= most_ms else 0
        if in_a_row == 1:
            since = at
        if in_a_row == IN_A_ROW:
            return since
    return float("inf")

"""Which plan a measurement speaks for. The naive plan is among those tried, and wins ties."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Barrier, Thread
from time import perf_counter
from typing import Final, TypeAlias

from icecore.server.embedding.working.plans import MOST_IMAGES, MOST_THREADS, Plan

Run: TypeAlias = Callable[[int, int], object]
"""A pass of so many images on so many threads."""

MARGIN: Final = 0.05
"""A plan has to be so much quicker than the naive one; measured twice, one differs by 3 %."""

ROUNDS: Final = 6
LARGEST_ON_CPU: Final = 8
LONGEST_ON_CPU_MS: Final = 100.0
"""Of a pass: more images gain nothing more there, and whoever comes meanwhile waits for all."""


class Disturbed(Exception):
    """Somebody else wanted the processor: what was measured says nothing."""


def candidates(naive: Plan, *, threads: int, is_cpu: bool) -> tuple[list[int], list[int]]:
    """Return the threads for a lone image, and the images of a pass, that are to be tried."""
    if not is_cpu:
        return [1], [2**power for power in range(MOST_IMAGES.bit_length())]
    most = min(threads, MOST_THREADS)
    lone = {2**power for power in range(most.bit_length())} | {most, naive.lone_threads}
    return sorted(one for one in lone if one <= most), [1, 2, 4, LARGEST_ON_CPU]


def measure(
    run: Run,
    naive: Plan,
    *,
    threads: int,
    at_once: int,
    is_cpu: bool,
    is_disturbed: Callable[[], bool] = lambda: False,
    seconds: float = 4.0,
) -> Plan:
    """Return the best plan of those tried, in turn, round by round.

    Args:
        run: makes a pass; codes are thrown away.
        threads: what a lone image may have.
        at_once: passes that go on at the same time under load.
        is_disturbed: asked after each pass.
        seconds: begin no further round after so long; two are made at least.

    Raises:
        Disturbed: there was other work.
    """
    lone, batches = candidates(naive, threads=threads, is_cpu=is_cpu)
    lone_ms: dict[int, float] = {}
    batch_ms: dict[int, float] = {}
    began = perf_counter()
    for number in range(-1, ROUNDS):  # the first makes the sessions
        if number >= 2 and perf_counter() - began > seconds:
            break
        for n_threads in lone:
            _note(lone_ms, n_threads, _timed(run, 1, n_threads, 1), number, is_disturbed)
        for n_images in batches if number >= 0 else [1]:
            if _is_hopeless(batch_ms, n_images, is_cpu=is_cpu):
                continue
            took = _timed(run, n_images, 1, at_once)
            _note(batch_ms, n_images, took, number, is_disturbed)
    return decided(naive, lone_ms, batch_ms)


def decided(naive: Plan, lone_ms: Mapping[int, float], batch_ms: Mapping[int, float]) -> Plan:
    """Return the plan for the shortest times seen.

    Args:
        lone_ms: of a pass of one image, by its threads.
        batch_ms: of a pass, by its images, while as many others go on as there would.
    """
    an_image = {n: ms / n for n, ms in batch_ms.items()}
    per_image = (batch_ms[max(batch_ms)] - batch_ms[1]) / max(1, max(batch_ms) - 1)
    per_image = min(max(0.0, per_image), batch_ms[1])
    return replace(
        naive,
        lone_threads=_best(lone_ms, naive.lone_threads),
        batch=_best(an_image, naive.batch),
        a_pass_ms=round(batch_ms[1] - per_image, 4),
        an_image_ms=round(per_image, 4),
    )


def _best(ms: Mapping[int, float], naive: int) -> int:
    """The quickest; the naive one unless another is clearly quicker, the smaller of equals."""
    best = min(ms, key=lambda one: (ms[one], one))
    near = min(one for one in ms if ms[one] <= ms[best] * (1 + MARGIN))
    return near if ms[near] * (1 + MARGIN) < ms[naive] else naive


def _is_hopeless(batch_ms: Mapping[int, float], n_images: int, *, is_cpu: bool) -> bool:
    """Whether so large a pass would be too long, or larger ones only became slower."""
    known = sorted(n for n in batch_ms if n < n_images)
    if not known:
        return False
    an_image = [batch_ms[n] / n for n in known]
    if is_cpu and an_image[-1] * n_images > LONGEST_ON_CPU_MS:
        return True
    return len(known) >= 2 and an_image[-1] > 1.2 * min(an_image)


def _note(
    shortest: dict[int, float],
    key: int,
    took_ms: float,
    number: int,
    is_disturbed: Callable[[], bool],
) -> None:
    if is_disturbed():
        raise Disturbed
    if number >= 0:
        shortest[key] = min(took_ms, shortest.get(key, took_ms))


def _timed(run: Run, n_images: int, threads: int, at_once: int) -> float:
    """Milliseconds of a pass while `at_once` of them go on, the mean of all."""
    if at_once == 1:
        began = perf_counter()
        run(n_images, threads)
        return (perf_counter() - began) * 1e3
    together = Barrier(at_once)
    took: list[float] = []

    def one() -> None:
        together.wait()
        began = perf_counter()
        run(n_images, threads)
        took.append(perf_counter() - began)

    _all_of(Thread(target=one, name="measuring", daemon=True) for _ in range(at_once))
    if len(took) < at_once:
        raise RuntimeError("a pass that was measured has failed; its error was printed")
    return sum(took) / at_once * 1e3


def _all_of(threads: Iterable[Thread]) -> None:
    started = list(threads)
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()

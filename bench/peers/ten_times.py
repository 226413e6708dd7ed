"""What each server does with ten times the load of its own peak; no caller retries."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from load.generator import Generator, Job
from load.outcome import OK, percentile
from load.processes import memory_mb
from load.watching import recovered_after, watching
from peers.asking import Asked

TIMES = 10.0
AT_PEAK = 8
GIVES_UP_S = 10.0
"""A caller's own deadline: an answer after it is of no use to anybody."""
RECOVERY_S = 15.0
"""How long is looked for it; "no" is told where it was not enough."""


@dataclass(frozen=True)
class Flood:
    """One server under ten times its peak; rates in requests a second."""

    peak: float
    offered: float
    goodput: float
    p50: float
    p99: float
    ends: dict[str, int]
    memory_before_mb: float
    memory_most_mb: float
    recovered_s: float
    late_ms: float
    complaint: str


def flood(
    asked: Asked, generator: Generator, after: Generator, seconds: float, first: int
) -> Flood:
    """Measure the peak, send ten times that for some seconds, and wait for recovery."""
    target, body, pid = asked.targets["jpeg"], asked.bodies["jpeg"], asked.tree.pid
    lone = after.run(Job(target, body, 2.0, first, 1, warm_up=5, pid=pid))
    peak = generator.run(Job(target, body, 5.0, first + 10_000, AT_PEAK, warm_up=2, pid=pid))
    held = memory_mb(asked.tree.members())
    offered = TIMES * peak.rate
    job = Job(
        target, body, seconds, first + 20_000, rate=offered, timeout_s=GIVES_UP_S, seed=1, pid=pid
    )
    probe = Job(target, body, RECOVERY_S, first + 200_000, 1, timeout_s=RECOVERY_S)
    with watching(asked.tree) as seen:
        generator.begin(job)
        time.sleep(seconds)
        recovery = after.run(probe)
        outcome = generator.end()
    good = outcome.ms_of(OK)
    return Flood(
        peak=peak.rate,
        offered=len(outcome.ends) / seconds,
        goodput=outcome.rate_of_ends(0, seconds),
        p50=percentile(good, 50),
        p99=percentile(good, 99),
        ends={OK: outcome.n_ok, **outcome.failures()},
        memory_before_mb=held,
        memory_most_mb=max(seen.memory_mb, default=held),
        recovered_s=recovered_after(recovery, 2 * percentile(lone.ms, 50)),
        late_ms=percentile(outcome.late_ms, 99),
        complaint=outcome.complaint,
    )


def table(floods: dict[str, Flood]) -> Iterator[str]:
    yield (
        f"  {'':24} {'peak':>6} {'offered':>8} {'goodput':>8} {'of peak':>7} {'p50 ms':>8} "
        f"{'p99 ms':>8} {'MB':>11} {'recovered':>9} {'sent late':>9}  ends"
    )
    for server, one in floods.items():
        again = f"{one.recovered_s:.2f} s" if isfinite(one.recovered_s) else "no"
        memory = f"{one.memory_before_mb:.0f}->{one.memory_most_mb:.0f}"
        yield (
            f"  {server:24} {one.peak:>6.1f} {one.offered:>8.0f} {one.goodput:>8.1f} "
            f"{one.goodput / one.peak:>7.2f} {one.p50:>8.0f} {one.p99:>8.0f} {memory:>11} "
            f"{again:>9} {one.late_ms:>6.1f} ms  {one.ends}"
        )

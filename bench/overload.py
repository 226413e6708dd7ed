"""What a server does with ten times the load it can carry.

One server on a core of its own, the generator on another. First its peak (closed loop,
8 callers at once; again at the end), then requests as a Poisson process of 10 times
that rate, no caller retrying, then one caller after the load has ended.

The laws: goodput at least 0.90 of the peak; admitted p99 within the bound on waiting
(--bound-ms); refusals told within 5 ms (p99), as RESOURCE_EXHAUSTED with the trailer
grpc-retry-pushback-ms; memory within 5 % of what the peak took; health SERVING all along;
recovered (5 answers in a row within twice a lone caller's median) at most 1 s after the load;
of calls whose callers give up after a quarter of the bound, none is started too late.
--bound-ms is the server's --max-queue-ms, and so what it is held to.

Usage: python bench/overload.py [--seconds N] [--model resnet50|efficientnet-lite0]
       [--times X] [--images-a-call N] [--bound-ms MS] [-- FLAGS OF THE SERVER]
About 30 s more than --seconds. JPEG, 500 x 375 pixels, 39 KB.
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

from icecore.server.settings import DEFAULT_QUEUE_MS
from load.generator import Generator, Job
from load.icecore_server import icecore_server, jpeg_request
from load.networks import NETWORKS, NetworkMissing, network, photo
from load.outcome import OK, Outcome, percentile
from load.processes import memory_mb
from load.watching import Watched, recovered_after, watching

AT_PEAK = 8
REFUSED = "RESOURCE_EXHAUSTED"
TIMEOUT_S = 30.0
QUIET = 0.85
"""Of its core, that a server under ten times its load has where it is alone on it."""
IMPATIENT_S = 3.0
"""How long calls are sent whose callers wait for a quarter of the bound."""
RECOVERY_S = 10.0
"""How long the one caller goes on after the load."""


@dataclass(frozen=True)
class Vain:
    """Calls whose callers did not wait: told TIMEOUT, never started, and started all the same."""

    n_given_up: int
    never: float
    late: float


def line(name: str, figure: str, law: str = "", holds: bool | None = None) -> None:
    verdict = "" if holds is None else "met" if holds else "NOT MET"
    print(f"{name:32} {figure:46} {law:28} {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--peak-seconds", type=float, default=8.0)
    parser.add_argument("--model", default="resnet50", choices=NETWORKS)
    parser.add_argument("--times", type=float, default=10.0, help="of the peak")
    parser.add_argument("--images-a-call", type=int, default=1)
    parser.add_argument(
        "--bound-ms", type=int, default=DEFAULT_QUEUE_MS, help="the server's bound on waiting"
    )
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


def flags_of_server(asked: argparse.Namespace) -> list[str]:
    """Return them with the bound at last: the law is judged by the bound that the server has."""
    return [*asked.flags, "--max-queue-ms", str(asked.bound_ms)]


def run(
    asked: argparse.Namespace, folder: Path, of_server: Sequence[int], of_load: Sequence[int]
) -> None:
    body = jpeg_request(asked.model, photo(), asked.images_a_call)
    with (
        icecore_server(folder, *flags_of_server(asked), cores=of_server) as server,
        Generator(cores=of_load) as generator,
        Generator(cores=of_load) as after,
    ):
        os.sched_setaffinity(0, of_load)
        server.add(network(asked.model))
        pid, target = server.tree.pid, server.target()

        def peak(first: int) -> Outcome:
            return generator.run(
                Job(target, body, asked.peak_seconds, first, AT_PEAK, warm_up=3, pid=pid)
            )

        alone = after.run(Job(target, body, 3.0, 0, concurrency=1, warm_up=10, pid=pid))
        before = peak(100_000)
        held = memory_mb(server.tree.members())
        offered = asked.times * before.rate
        probe = Job(target, body, RECOVERY_S, 7_000_000, concurrency=1, timeout_s=5.0)
        with watching(server.tree, lambda: server.health(5.0)) as seen:
            generator.begin(
                Job(
                    target, body, asked.seconds, 200_000, rate=offered,
                    timeout_s=TIMEOUT_S, seed=1, pid=pid,
                )
            )  # fmt: skip
            time.sleep(asked.seconds)
            recovery = after.run(probe)
            flood = generator.end()
        impatient = generator.run(
            Job(
                target, body, IMPATIENT_S, 5_000_000, rate=offered,
                timeout_s=asked.bound_ms / 4e3, seed=2, pid=pid,
            )
        )  # fmt: skip
        vain = Vain(
            impatient.ends.count("TIMEOUT"),
            server.counted("icecore_never_started_total"),
            server.counted("icecore_started_late_total"),
        )
        again = peak(6_000_000)
    report(asked, alone, (before, again), flood, recovery, seen, held, vain)


def report(
    asked: argparse.Namespace,
    alone: Outcome,
    peaks: tuple[Outcome, Outcome],
    flood: Outcome,
    recovery: Outcome,
    seen: Watched,
    held_mb: float,
    vain: Vain,
) -> None:
    peak = sum(one.rate for one in peaks) / 2
    calls = len(flood.ends) / asked.seconds
    goodput = flood.rate_of_ends(0, asked.seconds)
    admitted, refused = flood.ms_of(OK), flood.ms_of(REFUSED)
    lone = percentile(alone.ms, 50)
    per_call = f"{asked.images_a_call} image{'s' * (asked.images_a_call > 1)} a call"
    print(
        f"peak {peaks[0].rate:.1f} calls/s before, {peaks[1].rate:.1f} after; {per_call}, "
        f"{peaks[0].server_cpu_ms:.1f} CPU-ms; a lone caller's median {lone:.1f} ms\n"
        f"{calls:.0f} calls/s offered for {asked.seconds:.0f} s; sent late by at most "
        f"{percentile(flood.late_ms, 99):.1f} ms (99 %); ends: "
        f"{dict(Counter(flood.ends))}{'; first complaint: ' * bool(flood.complaint)}"
        f"{flood.complaint[:160]}\n"
    )
    share = goodput / peak
    line("goodput", f"{goodput:.1f} calls/s, {share:.2f} of peak", ">= 0.90", share >= 0.9)
    late = percentile(admitted, 99)
    line(
        "admitted", f"p50 {percentile(admitted, 50):.0f} ms, p99 {late:.0f} ms",
        f"p99 <= {asked.bound_ms:.0f} ms", late <= asked.bound_ms,
    )  # fmt: skip
    told = percentile(refused, 99)
    line(
        "refused", f"{len(refused)}, p50 {percentile(refused, 50):.1f} ms, p99 {told:.1f} ms",
        "p99 <= 5 ms", told <= 5.0 if refused else None,
    )  # fmt: skip
    others = flood.failures()
    del others[REFUSED]
    line("other failures", str(dict(others) or "none"), "none", not others)
    told_when = flood.pushbacks / len(refused) if refused else 1.0
    line("told when to come again", f"{told_when:.1%} of the refused", "all", told_when == 1.0)
    most = max(seen.memory_mb) / held_mb
    line(
        "memory", f"{held_mb:.0f} MB at the peak, at most {max(seen.memory_mb):.0f} MB after it",
        "<= 1.05", most <= 1.05,
    )  # fmt: skip
    line(
        "health", f"{dict(seen.said)}, p99 {percentile(seen.said_ms, 99):.0f} ms",
        "SERVING", set(seen.said) == {"SERVING"},
    )  # fmt: skip
    within = recovered_after(recovery, 2 * lone)
    line("recovered", f"{within:.2f} s after the load", "<= 1 s", within <= 1.0)
    line(
        "given up by their callers",
        f"{vain.n_given_up}, never started {vain.never:.0f}, started {vain.late:.0f}",
        "0 started", vain.late == 0,
    )  # fmt: skip
    line("generator", f"{flood.own_cpu_ms:.2f} CPU-ms a call, its own core")
    had = flood.server_cpu_s / flood.seconds
    line("server", f"{had:.2f} of its core at work")
    if had < QUIET:
        print("others were at work on the server's core: goodput and times say little")


if __name__ == "__main__":
    main()

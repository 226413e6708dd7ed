"""What many large messages at once do to a server's memory, and to another tenant.

One tenant calls Embed from --calls connections at once, each message as large as is taken
and no image in it: so nothing is computed, and all that could grow is what waits in
hand. Beside it another tenant embeds one small image at a time.

The laws: bytes of messages in hand within the server's bound (--max-inflight-mb, 512) and
memory above what it was within three times that, since a message is there as the bytes
that came, as their parsed form and as its images; all of the other tenant's calls answered;
memory, 10 s after, above what it was by no more than the largest message (64 MB) in each of
these three forms.

Usage: python bench/large_messages.py [--seconds N] [--calls N] [--mb MB] [-- FLAGS OF THE SERVER]
"""

import argparse
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from icecore.v1 import codes_pb2, codes_pb2_grpc
from icecore.wire.messages import image_to_message
from load.icecore_server import EMBED, Icecore, icecore_server
from load.outcome import percentile
from load.processes import memory_mb

BOUND_MB = 512
LARGEST_MB = 64
TIMES = 3
AFTER_S = 10.0
LOOK_EVERY_S = 0.02
ALONE_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--calls", type=int, default=32, help="connections of the large ones")
    parser.add_argument("--mb", type=int, default=60, help="of a message")
    parser.add_argument("flags", nargs="*", help="of the server")
    asked = parser.parse_args()
    print(
        f"{date.today()}, {len(os.sched_getaffinity(0))} cores, {asked.calls} calls of "
        f"{asked.mb} MB at once for {asked.seconds:.0f} s\n"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        icecore_server(Path(folder), *asked.flags) as server,
        ExitStack() as stack,
    ):
        large, small = server.new_tenant("large"), server.new_tenant("small")
        # In a process of its own, or the flood's threads would keep it waiting here.
        apart = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        alone_ms, _ = apart.submit(embed_alone, server.address, small, ALONE_S).result()
        before = memory_mb(server.tree.members())
        flood = Flood(server, large, n_calls=asked.calls, n_bytes=asked.mb << 20)
        watch = Watch(server)
        with flood, watch:
            beside = apart.submit(embed_alone, server.address, small, asked.seconds)
            beside_ms, failed = beside.result()
        time.sleep(AFTER_S)
        after = memory_mb(server.tree.members())
    for outcome, n in flood.outcomes.most_common():
        print(f"large: {n:6} {outcome}")
    grown = watch.peak_mb - before
    in_hand = watch.peak_bytes / (1 << 20)
    line("memory before, MB", f"{before:.0f}")
    line("messages in hand, at most, MB", f"{in_hand:.0f}", in_hand <= BOUND_MB)
    line("memory at its peak, MB more", f"{grown:.0f}", grown <= TIMES * BOUND_MB)
    line(
        "memory 10 s after, MB more", f"{after - before:.0f}", after - before <= TIMES * LARGEST_MB
    )
    line("the other tenant's errors", f"{sum(failed.values())} {dict(failed)}", not failed)
    for name, times in (("alone", alone_ms), ("beside", beside_ms)):
        p50, p99 = percentile(times, 50), percentile(times, 99)
        line(f"the other tenant {name}, ms", f"p50 {p50:.1f}, p99 {p99:.1f} (n={len(times)})")


def line(name: str, figure: str, holds: bool | None = None) -> None:
    verdict = "" if holds is None else "met" if holds else "NOT MET"
    print(f"{name:34} {figure:40} {verdict}")


class Flood:
    """Large messages without images, from so many threads, one after the other in each."""

    def __init__(self, server: Icecore, key: str, *, n_calls: int, n_bytes: int) -> None:
        request = codes_pb2.EmbedRequest(layers=["-1"])
        request.images.add().encoded = os.urandom(n_bytes)
        self._data = request.SerializeToString()
        self._server = server
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(n_calls)]
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self._server.address, options) as channel:
            call: Any = channel.unary_unary(EMBED)
            while not self._stop.is_set():
                try:
                    call(self._data, metadata=self._metadata, timeout=30)
                except grpc.RpcError as error:
                    told: Any = error
                    trailers = dict(told.trailing_metadata() or ())
                    wait_ms = int(trailers.get("grpc-retry-pushback-ms", 0))
                    self.outcomes[told.code().name] += 1
                    self._stop.wait(max(0, wait_ms) / 1e3)


class Watch:
    """The most memory, and the most bytes in hand, that were seen."""

    def __init__(self, server: Icecore) -> None:
        self._server = server
        self._pids = server.tree.members()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.peak_mb = 0.0
        self.peak_bytes = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        n = 0
        while not self._stop.wait(LOOK_EVERY_S):
            self.peak_mb = max(self.peak_mb, memory_mb(self._pids))
            if n % 10 == 0:
                with suppress(OSError):  # it answers late while it is flooded
                    there = self._server.counted("icecore_message_bytes_in_flight")
                    self.peak_bytes = max(self.peak_bytes, there)
            n += 1


def embed_alone(address: str, key: str, seconds: float) -> tuple[list[float], Counter[str]]:
    """One small image after another; the times of those answered, and what others said."""
    random = np.random.default_rng(0)
    times: list[float] = []
    failed: Counter[str] = Counter()
    with grpc.insecure_channel(address) as channel:
        stub: Any = codes_pb2_grpc.CodesServiceStub(channel)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pixels = random.integers(0, 256, (224, 224, 3), np.uint8)
            request = codes_pb2.EmbedRequest(layers=["-1"], images=[image_to_message(pixels)])
            began = time.perf_counter()
            try:
                stub.Embed(request, metadata=(("authorization", f"Bearer {key}"),), timeout=30)
            except grpc.RpcError as error:
                told: Any = error
                failed[told.code().name] += 1
                continue
            times.append((time.perf_counter() - began) * 1e3)
    return times, failed


if __name__ == "__main__":
    main()

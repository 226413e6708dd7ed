"""What a request through the server costs over the bare ONNX Runtime pass.

The same cut graph of the default backbone, fed the same float32 tensor
(3 x 224 x 224, 602 KB), runs bare in a process of its own and behind the
server, in turn, several times over. Prints CPU-milliseconds and throughput a
request for both, and what the generator itself used. The server's figure is
its whole process tree, from the kernel's accounting.

Usage: python bench/embed_overhead.py [--requests N] [--rounds R]
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

TICKS = os.sysconf("SC_CLK_TCK")
SEED = 20240229


@dataclass(frozen=True)
class Run:
    """One round: CPU-milliseconds and requests a second; the generator's CPU apart."""

    cpu_ms: float
    throughput: float
    generator_ms: float = 0.0


def tensor() -> npt.NDArray[np.float32]:
    return np.random.default_rng(SEED).normal(0, 1, (3, 224, 224)).astype(np.float32)


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, those already reaped too."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we were looking
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        seconds[int(entry.name)] = sum(int(field) for field in fields[11:15]) / TICKS
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += seconds.get(one, 0.0)
        waiting += children.get(one, [])
    return total


def bare(graph_file: str, requests: int, concurrency: int) -> None:
    """Child process: run the cut graph alone; print a Run as JSON."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(Path(graph_file).read_bytes(), options)
    (source,) = session.get_inputs()
    one = tensor()[None]

    def work(count: int) -> None:
        for _ in range(count):
            session.run(None, {source.name: one})

    work(5)
    with ThreadPoolExecutor(concurrency) as pool:
        cpu, wall = time.process_time(), time.perf_counter()
        list(pool.map(work, [requests // concurrency] * concurrency))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    done = requests // concurrency * concurrency
    print(json.dumps({"cpu_ms": cpu / done * 1e3, "throughput": done / wall}))


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, str]]:
    """A server on a fresh data folder; its process id and HOST:PORT."""
    child = subprocess.Popen(
        [sys.executable, "-m", "icecore.server", "--data", str(folder), "--listen", "127.0.0.1:0"],
        stderr=subprocess.DEVNULL,
    )
    try:
        described = folder / "server.json"
        deadline = time.monotonic() + 60
        while not described.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        yield child.pid, json.loads(described.read_text())["listen"]
    finally:
        child.terminate()
        child.wait(timeout=30)


async def served(pid: int, address: str, requests: int, concurrency: int) -> Run:
    """One round through the server, `concurrency` requests at a time."""
    from icecore.client import AsyncClient

    image = tensor()
    async with AsyncClient(address) as client:

        async def work(count: int) -> None:
            for _ in range(count):
                await client.embed([image])

        async def timed(run: Callable[[], Awaitable[object]]) -> Run:
            spent, own, wall = tree_cpu_seconds(pid), time.process_time(), time.perf_counter()
            await run()
            wall = time.perf_counter() - wall
            own, spent = time.process_time() - own, tree_cpu_seconds(pid) - spent
            done = requests // concurrency * concurrency
            return Run(spent / done * 1e3, done / wall, own / done * 1e3)

        await work(5)
        return await timed(
            lambda: asyncio.gather(*(work(requests // concurrency) for _ in range(concurrency)))
        )


def cut_graph(folder: Path) -> Path:
    """The default backbone cut at its last layer, pooled: what a default Embed runs."""
    from icecore.server.backbones.graphs.layers import read_layers
    from icecore.server.backbones.lite0.efficientnet_lite0 import build, read_weights
    from icecore.server.backbones.running.cutting import cut
    from icecore.wire.taps import TapId

    graph = build(read_weights())
    last = [layer for layer in read_layers(graph) if layer.depth][-1]
    path = folder / "cut.onnx"
    path.write_bytes(cut(graph, [TapId(digest="0" * 64, layer=last.name)]))
    return path


def bare_round(graph: Path, requests: int, concurrency: int) -> Run:
    arguments = ["--bare", str(graph), "--requests", str(requests), "--at", str(concurrency)]
    answer = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    return Run(**json.loads(answer.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="requests a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    parser.add_argument("--at", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare, options.requests, options.at)
        return
    cores = len(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, Python {platform.python_version()}"
    )
    print(f"{options.rounds} rounds of {options.requests} requests, medians; one image a request\n")
    print(f"{'at once':>8} {'':8} {'CPU-ms':>8} {'req/s':>8} {'generator CPU-ms':>17}")
    with tempfile.TemporaryDirectory() as name, server(Path(name) / "data") as (pid, address):
        graph = cut_graph(Path(name))
        for concurrency in (1, 8):
            alone, behind = [], []
            for _ in range(options.rounds):
                alone.append(bare_round(graph, options.requests, concurrency))
                behind.append(asyncio.run(served(pid, address, options.requests, concurrency)))
            for label, runs in (("bare", alone), ("server", behind)):
                cpu, rate, own = (
                    statistics.median(getattr(run, field) for run in runs)
                    for field in ("cpu_ms", "throughput", "generator_ms")
                )
                print(f"{concurrency:>8} {label:8} {cpu:>8.2f} {rate:>8.1f} {own:>17.2f}")
            pairs = list(zip(alone, behind, strict=True))
            extra = sorted(b.cpu_ms - a.cpu_ms for a, b in pairs)
            ratio = statistics.median(b.throughput / a.throughput for a, b in pairs)
            print(
                f"{'':8} overhead {statistics.median(extra):.2f} CPU-ms a request "
                f"({extra[0]:.2f} to {extra[-1]:.2f}); throughput {ratio:.2f} of bare\n"
            )


if __name__ == "__main__":
    main()

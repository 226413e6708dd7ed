"""The network alone, in a loop: what no server can be cheaper than.

Usage: bare.py FOLDER tensor|jpeg SECONDS CONCURRENCY THREADS; prints JSON. `FOLDER` holds
graph.onnx and recipe.json, and the input as `tensor` or `jpeg`.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from network import Network, Plan


def main(folder: Path, kind: str, seconds: float, concurrency: int, threads: int) -> None:
    plan = Plan(
        folder,
        0,
        0,
        0,
        workers=0,
        at_once=concurrency,
        threads=threads,
        max_batch=1,
        max_wait_ms=0.0,
    )
    network = Network(plan)
    data = (folder / kind).read_bytes()
    make = network.decode if kind == "jpeg" else network.from_bytes

    def work(seconds: float) -> list[float]:
        ms = []
        began = now = time.perf_counter()
        while now - began < seconds:
            network.codes(make(data)[None])
            before, now = now, time.perf_counter()
            ms.append((now - before) * 1e3)
        return ms

    work(0.2)
    with ThreadPoolExecutor(concurrency) as pool:
        cpu, wall = time.process_time(), time.perf_counter()
        found = [ms for part in pool.map(work, [seconds] * concurrency) for ms in part]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"seconds": wall, "cpu_s": cpu, "ms": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))

"""How much of a GPU is left when networks are served: images a second of the bare session's best.

The cut graph runs bare on the device, in batches of 1 to 256; then behind the server, which
makes batches of what waits. Tensors of uint8 of the network's size, in calls of one image
and of 32, with so many callers that the device never waits for one.

The law: at least 0.90 of the bare session at its best batch.

Usage: python bench/gpu.py [--device cuda|tensorrt|cpu] [--seconds S] [--model NAME ...]
Needs onnxruntime-gpu in place of onnxruntime; `--device cpu` shows that it runs. Keep what it
prints in bench/results.
"""

import argparse
import itertools
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from icecore.server.backbones.running.devices import Device, usable_device
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.errors import InvalidArgument
from load.generator import Generator, Job
from load.icecore_server import icecore_server, pixels_request
from load.networks import NETWORKS, Network, NetworkMissing, network

LEAST = 0.90
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CALLS = ((1, 256), (32, 24))
"""Images a call, and callers."""
WARM_UP_S = 20.0
"""In which the server decides upon its batches, once nothing waits."""


def bare(made: Network, device: Device, batch: int, seconds: float, at_once: int = 2) -> float:
    """Return images a second of uint8 batches through the session that the server makes too."""
    sessions = Sessions(max_bytes=1 << 30, threads=1, device=device)
    last = [layer for layer in made.backbone.layers if layer.depth][-1]
    taps = [made.backbone.tap(last)]
    height, width = made.backbone.recipe.shape[1:]
    shape = (batch, height, width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def work(seconds: float) -> int:
        n = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            sessions.run(made.backbone, taps, pixels, threads=1)
            n += batch
        return n

    work(0.5)
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        n = sum(pool.map(work, [seconds] * at_once))
        return n / (time.perf_counter() - began)


def served(made: Network, device: Device, seconds: float, rounds: int) -> dict[int, float]:
    """Return images a second through the server, by the images of a call."""
    height, width = made.backbone.recipe.shape[1:]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    numbers = itertools.count()
    found: dict[int, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="icecore-bench-") as folder,
        icecore_server(
            Path(folder), "--device", device.name, "--cache-mb", "0", "--max-queue-ms", "60000"
        ) as server,
        Generator() as generator,
    ):
        server.add(made)

        def job(n_images: int, callers: int, seconds: float) -> Job:
            return Job(
                server.target(),
                pixels_request(made.name, pixels, n_images),
                seconds,
                next(numbers) * 1_000_000,
                concurrency=callers,
                warm_up=1,
                pid=server.tree.pid,
            )

        generator.run(job(1, 8, 2.0))
        time.sleep(WARM_UP_S)
        for _ in range(rounds):
            for n_images, callers in CALLS:
                outcome = generator.run(job(n_images, callers, seconds))
                if outcome.failures():
                    raise SystemExit(f"{outcome.failures()}: {outcome.complaint}")
                found.setdefault(n_images, []).append(outcome.rate * n_images)
                print(
                    f"    calls of {n_images:3}: {outcome.rate * n_images:9.0f} images/s, server "
                    f"{outcome.server_cpu_ms / n_images:.2f} and generator "
                    f"{outcome.own_cpu_ms / n_images:.2f} CPU-ms an image"
                )
        plans = Path(server.data / "plans.json")
        print(
            f"    plans: {plans.read_text() if plans.exists() else 'none, the naive one was used'}"
        )
    return {n_images: median(rates) for n_images, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "tensorrt", "cpu"))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", nargs="*", choices=NETWORKS, default=NETWORKS)
    asked = parser.parse_args()
    print(
        f"{date.today()}  {platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"onnxruntime {onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}"
    )
    try:
        device = usable_device(asked.device)
    except InvalidArgument as error:
        raise SystemExit(str(error)) from error
    for name in asked.model:
        try:
            made = network(name)
        except NetworkMissing as missing:
            print(f"\n{missing}")
            continue
        print(f"\n{name} on {device.name}")
        rates = {n: bare(made, device, n, asked.seconds) for n in BATCHES}
        for batch, rate in rates.items():
            print(f"    bare, batch {batch:3}: {rate:9.0f} images/s")
        best = max(rates, key=lambda n: rates[n])
        for n_images, rate in served(made, device, asked.seconds, asked.rounds).items():
            part = rate / rates[best]
            verdict = "PASS" if part >= LEAST else "MISSED"
            print(
                f"  calls of {n_images}: {part:.3f} of bare at its best batch ({best}), at least "
                f"{LEAST}  {verdict}"
            )


if __name__ == "__main__":
    main()

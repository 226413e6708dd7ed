"""One round: every server in turn, then the network alone; and ten times the load for each."""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from load.generator import Generator, Job
from load.networks import Network, bare_codes, network, photo, tensor
from load.outcome import Outcome
from load.processes import memory_mb
from peers import ten_times
from peers.asking import INPUTS, Asked
from peers.cells import BARE, Cells, Place
from peers.configurations import CONFIGURED, OURS, Variant
from peers.environments import EnvironmentMissing
from peers.servers import SERVING, answer, serving
from peers.ten_times import Flood

TOLERANCE = 1e-4
"""Of codes up to 6, between plain onnxruntime and the same graph elsewhere: other threads."""


@dataclass
class Run:
    """What is known so far; printed whatever happens."""

    cells: Cells = field(default_factory=Cells)
    floods: dict[str, Flood] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    number: int = 0
    until: float = math.inf
    """Of `time.monotonic`; no further server is started after it."""

    def first(self) -> int:
        """Return where the next job's numbers begin; a server sees no more than eight jobs."""
        self.number += 1
        return self.number * 1_000_000 % 8_000_000

    def has_time(self) -> bool:
        return time.monotonic() < self.until

    def trouble(self, said: str) -> None:
        self.troubles.append(said)
        print(f"  {said}", flush=True)


@dataclass(frozen=True)
class Scene:
    """A network, its cut graph as a file, what plain onnxruntime answers, and a folder."""

    network: Network
    graph: Path
    references: dict[str, npt.NDArray[np.float32]]
    folder: Path


@contextmanager
def scene_of(name: str) -> Iterator[Scene]:
    chosen = network(name)
    with tempfile.TemporaryDirectory(prefix="icecore-peers-") as folder:
        graph = Path(folder) / "graph.onnx"
        graph.write_bytes(chosen.cut())
        one = tensor(chosen.backbone.recipe.shape)
        (Path(folder) / "tensor").write_bytes(one.tobytes())
        (Path(folder) / "jpeg").write_bytes(photo())
        (Path(folder) / "recipe.json").write_text(chosen.recipe_json())
        references = {
            "tensor": bare_codes(graph.read_bytes(), one[None])[0],
            "jpeg": bare_codes(graph.read_bytes(), chosen.input_of(photo()))[0],
        }
        yield Scene(chosen, graph, references, Path(folder))


@contextmanager
def started(
    asked: argparse.Namespace,
    scene: Scene,
    peer: str,
    variant: Variant,
    cores: Sequence[int] | None = None,
) -> Iterator[Asked]:
    with (
        tempfile.TemporaryDirectory(dir=scene.folder) as place,
        serving(
            peer, variant, scene.network, scene.graph, tensor(scene.network.backbone.recipe.shape),
            photo(), Path(place), cores=cores, environments=asked.environments,
        ) as server,
    ):  # fmt: skip
        for kind in INPUTS:
            got = answer(server, kind)
            wanted = scene.references[kind]
            if got.shape != wanted.shape:
                raise RuntimeError(f"{kind}: codes of shape {got.shape}, not {wanted.shape}")
            if (worst := float(np.abs(got - wanted).max())) > TOLERANCE:
                raise RuntimeError(f"{kind}: other codes than onnxruntime's, by {worst:.2g}")
        yield server


def is_for(variant: Variant, concurrency: int) -> bool:
    """Return whether a configuration is one that a peer's user may choose for so many callers."""
    return {"any": True, "lone": concurrency == 1, "load": concurrency > 1, "tried": False}[
        variant.use
    ]


def label(peer: str, variant: Variant) -> str:
    return peer if peer == OURS else f"{peer}, {variant.name}"


def measure(
    run: Run, asked: argparse.Namespace, scene: Scene, generator: Generator, turn: int
) -> None:
    """One round: every server in turn, then the network alone; `turn` decides who begins."""
    cores = len(os.sched_getaffinity(0))
    name = scene.network.name
    begin = turn % len(asked.peers)
    for peer in [*asked.peers[begin:], *asked.peers[:begin]]:
        for variant in CONFIGURED[peer](cores):
            at = [one for one in asked.concurrency if asked.all_variants or is_for(variant, one)]
            if not at:
                continue
            if not run.has_time():
                run.trouble(f"{name}: {label(peer, variant)}: no time left")
                continue
            print(f"{name}: {label(peer, variant)}", flush=True)
            try:
                with started(asked, scene, peer, variant) as server:
                    drive(run, asked, name, label(peer, variant), server, generator, at)
            except (RuntimeError, OSError, EnvironmentMissing) as error:
                run.trouble(f"{name}: {label(peer, variant)}: {error}")
    for kind in asked.inputs:
        for threads, concurrency in ((cores, 1), (1, cores)):
            place_of = Place(name, kind, 1 if concurrency == 1 else min(asked.concurrency[-1], 8))
            run.cells.add(place_of, BARE, bare(scene, kind, asked.seconds, concurrency, threads))


def drive(
    run: Run,
    asked: argparse.Namespace,
    model: str,
    server: str,
    where: Asked,
    generator: Generator,
    concurrencies: Sequence[int],
) -> None:
    pid = where.tree.pid
    for concurrency in concurrencies:
        for kind in asked.inputs:
            where.tree.check()
            outcome = generator.run(
                Job(
                    where.targets[kind], where.bodies[kind], asked.seconds, run.first(),
                    concurrency, warm_up=2, pid=pid,
                )
            )  # fmt: skip
            run.cells.add(Place(model, kind, concurrency), server, outcome)
            if outcome.complaint:
                run.trouble(f"{model}: {server}, {kind}, {concurrency}: {outcome.complaint[:300]}")
    run.cells.add_memory(model, server, memory_mb(where.tree.members()))


def bare(scene: Scene, kind: str, seconds: float, concurrency: int, threads: int) -> Outcome:
    program = str(SERVING / "bare.py")
    arguments = [str(scene.folder), kind, str(seconds), str(concurrency), str(threads)]
    said = subprocess.run(
        [sys.executable, program, *arguments], check=True, capture_output=True, text=True
    )
    told = json.loads(said.stdout)
    n = len(told["ms"])
    return Outcome(
        told["seconds"], 0.0, told["cpu_s"], [0.0] * n, told["ms"], [0.0] * n, ["OK"] * n
    )


def overload(run: Run, asked: argparse.Namespace, scene: Scene) -> None:
    """Every server in turn, on one core, the generator on the other."""
    cores = sorted(os.sched_getaffinity(0))
    of_server, of_load = cores[:1], cores[-1:]
    for peer in asked.peers:
        variant = CONFIGURED[peer](1)[0]
        if not run.has_time():
            run.trouble(f"ten times the load: {label(peer, variant)}: no time left")
            continue
        print(f"{scene.network.name}, ten times the load: {label(peer, variant)}", flush=True)
        try:
            with (
                started(asked, scene, peer, variant, of_server) as server,
                Generator(cores=of_load) as generator,
                Generator(cores=of_load) as after,
            ):
                found = ten_times.flood(
                    server, generator, after, asked.overload_seconds, run.first()
                )
                run.floods[label(peer, variant)] = found
        except (RuntimeError, OSError, EnvironmentMissing) as error:
            run.trouble(f"ten times the load: {label(peer, variant)}: {error}")

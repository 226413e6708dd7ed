"""The same network behind five servers, driven by one load generator.

PyTriton, LitServe, MLServer and BentoML, each in an environment of its own (made at the
first run, in --environments), and icecore; all serve the same ONNX graph with the same
onnxruntime, and the same photos with the same Pillow. Each server runs alone, one after
the other, in rounds whose order turns. Prints requests a second, p50, p99, CPU-milliseconds of
the server's whole process tree a request, of the generator, and memory (PSS); then, with
--overload, what each does with ten times the load of its own peak, the server on one core and
the generator on the other. Last, every place where icecore is not first in CPU-ms or p99.

Usage: python bench/peers/run.py [--short] [--overload] [--peers A,B] [--models A,B]
       [--concurrency 1,8,64] [--inputs tensor,jpeg] [--seconds 5] [--rounds 3]
       [--variants chosen|all] [--environments DIR] [--json FILE]
In full about 25 min with --overload; with --short (one network, one round of 2 s) less than 4 min.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt

from load.generator import Generator, Job
from load.networks import NETWORKS, Network, NetworkMissing, bare_codes, network, photo, tensor
from load.outcome import Outcome
from load.processes import memory_mb
from peers import ten_times
from peers.cells import BARE, OURS, Cells, Place, behind, table
from peers.environments import ENVIRONMENTS, EnvironmentMissing, python_of
from peers.servers import INPUTS, PEERS, SERVING, Asked, Variant, answer, serving, variants_of
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

    def first(self) -> int:
        """Return where the next job's numbers begin."""
        self.number += 1
        return self.number * 1_000_000 % 8_000_000 + self.number // 8

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
            if got is None or got.shape != wanted.shape:
                raise RuntimeError(f"{kind}: no codes")
            if (worst := float(np.abs(got - wanted).max())) > TOLERANCE:
                raise RuntimeError(f"{kind}: other codes than onnxruntime's, by {worst:.2g}")
        yield server


def label(peer: str, variant: Variant) -> str:
    return peer if peer == OURS else f"{peer}, {variant.name}"


def measure(run: Run, asked: argparse.Namespace, scene: Scene, generator: Generator) -> None:
    """One round: every server in turn, then the network alone."""
    cores = len(os.sched_getaffinity(0))
    name = scene.network.name
    for peer in (
        asked.peers[run.number % len(asked.peers) :] + asked.peers[: run.number % len(asked.peers)]
    ):
        variants = variants_of(peer, cores)
        for place, variant in enumerate(variants if asked.all_variants else variants[:2]):
            at = asked.concurrency
            if place == 1 and not asked.all_variants:
                at = [number for number in at if number == 1]
            if not at:
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
                    concurrency, warm_up=10 + concurrency, pid=pid,
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
        variant = variants_of(peer, 1)[0]
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


def report(run: Run, asked: argparse.Namespace) -> None:
    places = sorted(run.cells.outcomes)
    print()
    for place in places:
        print("\n".join(table(run.cells, place)), end="\n\n")
    if run.floods:
        print(
            f"ten times the load for {asked.overload_seconds:.0f} s, JPEG, {asked.overload_model}, "
            f"callers give up after {ten_times.GIVES_UP_S:.0f} s; requests a second"
        )
        print("\n".join(ten_times.table(run.floods)), end="\n\n")
    if OURS in asked.peers and places:
        said = [sentence for place in places for sentence in behind(run.cells, place)]
        print("icecore is not first:" if said else "icecore is first in CPU-ms and p99 everywhere")
        print("\n".join(f"  {sentence}" for sentence in said))
    if run.troubles:
        print("troubles:\n" + "\n".join(f"  {said}" for said in run.troubles))
    if asked.json:
        cells = [
            {**asdict(place), "server": server, **asdict(figures)}
            for place in places
            for server, figures in run.cells.figures(place).items()
        ]
        floods = {server: asdict(one) for server, one in run.floods.items()}
        asked.json.write_text(
            json.dumps({"date": str(date.today()), "cells": cells, "overload": floods}, indent=1)
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return sorted(int(word) for word in text.split(","))

    everyone = [OURS, *PEERS]
    parser.add_argument("--peers", type=words, default=everyone)
    parser.add_argument("--models", type=words, default=list(NETWORKS))
    parser.add_argument("--concurrency", type=numbers, default=[1, 8, 64])
    parser.add_argument("--inputs", type=words, default=list(INPUTS))
    parser.add_argument("--seconds", type=float, default=5.0, help="a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", choices=("chosen", "all"), default="chosen")
    parser.add_argument("--overload", action="store_true")
    parser.add_argument("--overload-seconds", type=float, default=10.0)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if unknown := {*asked.peers} - {*everyone} | {*asked.inputs} - {*INPUTS}:
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    asked.all_variants = asked.variants == "all"
    if asked.short:
        asked.models, asked.rounds, asked.seconds = asked.models[:1], 1, 2.0
        asked.overload_seconds = 5.0
    return asked


def _ended(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    asked = arguments()
    signal.signal(signal.SIGTERM, _ended)
    run = Run()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, Python {platform.python_version()}; "
        f"{asked.rounds} rounds of {asked.seconds:g} s"
    )
    try:
        for peer in asked.peers:
            if peer != OURS:
                python_of(peer, asked.environments)
        with Generator() as generator:
            for name in asked.models:
                try:
                    with scene_of(name) as scene:
                        asked.overload_model = name
                        for number in range(asked.rounds):
                            run.number += number
                            measure(run, asked, scene, generator)
                        if asked.overload and name == asked.models[-1]:
                            overload(run, asked, scene)
                except NetworkMissing as error:
                    run.trouble(str(error))
    except KeyboardInterrupt:
        run.trouble("stopped before the end")
    finally:
        report(run, asked)


if __name__ == "__main__":
    main()

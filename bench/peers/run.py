"""The same network behind five servers, driven by one load generator.

PyTriton, LitServe, MLServer and BentoML, each in an environment of its own (made at the
first run, in --environments), and icecore; all serve the same ONNX graph with the same
onnxruntime, and the same photos with the same Pillow. Each server runs alone, one after
the other, in rounds whose order turns. Prints requests a second, p50, p99, CPU-milliseconds of
the server's whole process tree a request, of the generator, and memory (PSS); then, with
--overload, what each does with ten times the load of its own peak, the server on one core and
the generator on the other. Last, every place where icecore is not first in CPU-ms or p99.

Usage: python bench/peers/run.py [--short] [--overload] [--peers A,B] [--models A,B]
       [--concurrency 1,8,64] [--inputs tensor,jpeg] [--seconds 4] [--rounds 2]
       [--variants chosen|all] [--environments DIR] [--minutes 25] [--json FILE]
Networks after the first get half the rounds. In full about 25 min with --overload; with
--short (one network, one round of 1.5 s) less than 4 min without.
"""

import argparse
import json
import math
import os
import platform
import signal
import sys
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from load.generator import Generator
from load.networks import NETWORKS, NetworkMissing
from peers import ten_times
from peers.asking import INPUTS
from peers.cells import behind, has_rivals, table
from peers.configurations import CONFIGURED, OURS
from peers.environments import ENVIRONMENTS, python_of
from peers.rounds import Run, measure, overload, scene_of

OVERLOAD_S = 330.0
"""What ten times the load takes of five servers; kept for it where time runs out."""


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
        n_places = sum(has_rivals(run.cells, place) for place in places)
        where = "in" if said else "in none"
        print(f"of {n_places} places with peers, icecore is not first in CPU-ms or p99 {where}")
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
            json.dumps(
                finite({"date": str(date.today()), "cells": cells, "overload": floods}), indent=1
            )
        )


def finite(value: Any) -> Any:
    """Return the same with None for what is no number, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return sorted(int(word) for word in text.split(","))

    everyone = list(CONFIGURED)
    parser.add_argument("--peers", type=words, default=everyone)
    parser.add_argument("--models", type=words, default=list(NETWORKS))
    parser.add_argument("--concurrency", type=numbers, default=[1, 8, 64])
    parser.add_argument("--inputs", type=words, default=list(INPUTS))
    parser.add_argument("--seconds", type=float, default=4.0, help="a measurement")
    parser.add_argument("--rounds", type=int, default=2, help="of the first network")
    parser.add_argument("--variants", choices=("chosen", "all"), default="chosen")
    parser.add_argument("--overload", action="store_true")
    parser.add_argument("--overload-seconds", type=float, default=10.0)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--minutes", type=float, default=25.0, help="no server is started after")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if unknown := {*asked.peers} - {*everyone} | {*asked.inputs} - {*INPUTS}:
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    asked.all_variants = asked.variants == "all"
    if asked.short:
        asked.models, asked.rounds, asked.seconds = asked.models[:1], 1, 1.5
        asked.overload_seconds = 5.0
        asked.minutes = min(asked.minutes, 4.0 + asked.overload * OVERLOAD_S / 60)
    return asked


def _ended(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    asked = arguments()
    signal.signal(signal.SIGTERM, _ended)
    run = Run()
    ends = time.monotonic() + 60 * asked.minutes
    run.until = ends - OVERLOAD_S if asked.overload else ends
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
                        is_first = name == asked.models[0]
                        for turn in range(asked.rounds if is_first else -(-asked.rounds // 2)):
                            measure(run, asked, scene, generator, turn)
                        if asked.overload and name == asked.models[-1]:
                            run.until = ends
                            overload(run, asked, scene)
                except NetworkMissing as error:
                    run.trouble(str(error))
    except KeyboardInterrupt:
        run.trouble("stopped before the end")
    finally:
        report(run, asked)


if __name__ == "__main__":
    main()

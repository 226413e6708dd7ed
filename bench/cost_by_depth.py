"""What it costs to read a layer: each, five at once, and all in one pass.

Against plain ONNX Runtime in the same process, run in turn with ours:

- a layer: the network cut there by onnx's own extractor, with one
  GlobalAveragePool behind it, the cheapest head there is;
- five layers: the deepest of them alone, through our sessions;
- the core: the file as it is, to its logits.

Ours is `Sessions.run`, from the input to arrays of codes. Prints the least time of
all rounds, and their ratio; CPU time is the whole process's. The laws: a layer
takes at most 1.05 x its cut + 2 ms, five layers 1.05 x the deepest, the core
1.15 x the plain pass, in time and in CPU time.

Usage: python bench/cost_by_depth.py [--rounds R] [--network NAME]
Needs ../shared/models for all networks but EfficientNet-Lite0; says so where it is absent.
"""

import argparse
import gc
import lzma
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnx.utils import Extractor

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0.efficientnet_lite0 import NAME, RECIPE, build, read_weights
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.sessions import Sessions

Run = Callable[[], object]

MODELS = Path(__file__).parents[2] / "shared" / "models"
FILES = {"resnet50": "resnet50.onnx.xz", "squeezenet1.1": "squeezenet1.1.onnx"}
NETWORKS = (NAME, *FILES)
SEED = 20240229
SLACK_MS = 2.0
AT_A_LAYER, AT_FIVE, AT_CORE = 1.05, 1.05, 1.15
MOST_S = 3.0
"""Seconds that are spent on one comparison when it is not within its law at once."""


@dataclass(frozen=True)
class Cost:
    """Milliseconds of theirs and ours: the least of all rounds, which neighbours disturb least."""

    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def within(self, factor: float, slack_ms: float = 0.0) -> bool:
        return self.ours <= factor * self.theirs + slack_ms


def measured(
    theirs: Run, ours: Run, rounds: int, factor: float, slack_ms: float = 0.0
) -> tuple[Cost, Cost]:
    """Time and CPU time of two runs, in turn.

    Both get more rounds, up to MOST_S seconds, while one of the two is not within its law.
    """
    least = {theirs: (inf, inf), ours: (inf, inf)}
    for run in (theirs, ours) * 2:
        run()
    costs = Cost(inf, inf), Cost(inf, inf)
    begun = time.monotonic()
    for done in count(1):
        for run in (theirs, ours):
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            least[run] = min(least[run][0], 1e3 * wall), min(least[run][1], 1e3 * cpu)
        costs = (
            Cost(least[theirs][0], least[ours][0]),
            Cost(least[theirs][1], least[ours][1]),
        )
        within = all(cost.within(factor, slack_ms) for cost in costs)
        if done >= rounds and (within or time.monotonic() - begun > MOST_S):
            break
    return costs


def plain(graph: bytes, inputs: npt.NDArray[np.float32], threads: int) -> Run:
    """Plain ONNX Runtime with its defaults; threads do not spin, as on a shared machine."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: inputs}
    return lambda: session.run(None, feed)


def extracted(extractor: Any, image: str, tensor: str) -> bytes:
    """The network up to `tensor`, averaged."""
    model = extractor.extract_model([image], [tensor])
    model.graph.node.append(helper.make_node("GlobalAveragePool", [tensor], ["pooled.here"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("pooled.here", TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def backbones(names: Sequence[str]) -> Iterator[Backbone]:
    for name in names:
        if name == NAME:
            yield Backbone.read(name, build(read_weights()), RECIPE)
            continue
        path = MODELS / FILES[name]
        if not path.is_file():
            print(f"{name}: ../shared/models/{path.name} is not beside this checkout, left out\n")
            continue
        stored = path.read_bytes()
        graph = lzma.decompress(stored) if path.suffix == ".xz" else stored
        yield Backbone.read(name, graph, Recipe(height=224, width=224, resize=256))


def verdict(within: bool) -> str:
    return "PASS" if within else "over"


def layers_of(backbone: Backbone, inputs: npt.NDArray[np.float32], rounds: int) -> None:
    """The table of single layers, on one thread."""
    sessions = Sessions(max_bytes=64 << 20, threads=1)
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(backbone.graph))
    extractor = Extractor(model)
    image = model.graph.input[0].name
    print(
        f"{backbone.name}, one thread\n{'depth':>5} {'layer':24} {'cut ms':>8} {'ours ms':>8} "
        f"{'ratio':>6} {'CPU cut':>8} {'CPU ours':>8} {'ratio':>6}  law"
    )
    verdicts, ratios = [], []
    for layer in backbone.ranked:
        theirs = plain(extracted(extractor, image, layer.name), inputs, 1)
        ours = partial(sessions.run, backbone, [backbone.tap(layer)], inputs)
        wall, cpu = measured(theirs, ours, rounds, AT_A_LAYER, SLACK_MS)
        verdicts.append(wall.within(AT_A_LAYER, SLACK_MS) and cpu.within(AT_A_LAYER, SLACK_MS))
        ratios.append(cpu.ratio)
        print(
            f"{layer.depth:>5} {layer.name:24} {wall.theirs:>8.2f} {wall.ours:>8.2f} "
            f"{wall.ratio:>6.3f} {cpu.theirs:>8.2f} {cpu.ours:>8.2f} {cpu.ratio:>6.3f}  "
            f"{verdict(verdicts[-1])}"
        )
    print(
        f"each layer at most {AT_A_LAYER} x its cut + {SLACK_MS:g} ms: {verdict(all(verdicts))}; "
        f"median of the CPU ratios: {statistics.median(ratios):.3f}\n"
    )


def together(
    backbone: Backbone, inputs: npt.NDArray[np.float32], threads: int, rounds: int
) -> None:
    """Five layers and the core."""
    sessions = Sessions(max_bytes=1 << 30, threads=threads)
    five = [backbone.tap(layer) for layer in backbone.spread(5)]
    for what, theirs, taps, factor in (
        ("five layers", partial(sessions.run, backbone, five[-1:], inputs), five, AT_FIVE),
        ("whole core", plain(backbone.graph, inputs, threads), backbone.core, AT_CORE),
    ):
        ours = partial(sessions.run, backbone, taps, inputs)
        for label, cost in zip(
            ("time", "CPU"), measured(theirs, ours, rounds, factor), strict=True
        ):
            print(
                f"{backbone.name}, {threads} thread{'s' * (threads > 1)}, {what:12} {label:4} "
                f"{cost.theirs:>7.2f} -> {cost.ours:>7.2f} ms  ratio {cost.ratio:.3f}, "
                f"at most {factor}: {verdict(cost.within(factor))}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of either side, at least")
    parser.add_argument("--network", choices=NETWORKS, action="append")
    chosen = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, Python {sys.version.split()[0]}, "
        f"onnxruntime {ort.__version__}; one image a run, {chosen.rounds} rounds\n"
    )
    random = np.random.default_rng(SEED)
    for backbone in backbones(chosen.network or NETWORKS):
        inputs = random.normal(size=(1, *backbone.recipe.shape)).astype(np.float32)
        layers_of(backbone, inputs, chosen.rounds)
        for threads in sorted({1, cores}):
            together(backbone, inputs, threads, 3 * chosen.rounds)
        print()
        gc.collect()


if __name__ == "__main__":
    main()

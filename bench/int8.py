"""What int8 gains and costs: speed, codes and the accuracy of probes, on real networks and photos.

Each network is quantised as `icecore backbones quantise` does it, in a process of its own,
calibrated on photos that are used for nothing else. The first table has

- images a second of int8 to float32 on one thread, medians of rounds run in turn, in
  CPU time: the whole network in batches of 8 and alone; cut at the last layer that has a
  depth; and the core, all layers that have one, pooled in one pass;
- the mean cosine of average-pooled codes, at the worst layer and at the last.

Beside lite0 stands what onnxruntime.quantization.quantize_static makes of it (per channel,
percentiles, the same photos), in plain ONNX Runtime sessions. The second table has
the accuracy of probes trained anew on either's codes, over the same folds, and the paired 95 %
interval of int8 minus float32.

Usage: python bench/int8.py [--images N] [--network NAME]...
Needs ../shared, and says so where it is absent.
"""

import argparse
import asyncio
import io
import logging
import lzma
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0.efficientnet_lite0 import NAME, RECIPE, build, read_weights
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.processor import has_int8_tiles, has_vnni
from icecore.server.embedding.images import Encoded
from icecore.server.embedding.preparing import prepare
from icecore.server.training.fidelity import Pair, cosine
from icecore.server.training.fidelity_speed import BATCH, throughput_ratio
from icecore.server.training.quantising import EvaluationSet, Quantised, quantise_backbone

SHARED = Path(__file__).parents[2] / "shared"
SETS = ("hymenoptera", "clothing", "textures-dtd10", "blood-wbc", "omniglot-alphabets", "cifar10")
N_CALIBRATION = 72
N_COMPARED = 36
WANTED_RATIO, WANTED_LOSS, WANTED_SETS = 2.2, 0.005, 3

TORCH = Recipe(224, 224, 256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
FILES = {
    "mobilenetv2": (
        "mobilenetv2.onnx",
        Recipe(224, 224, 256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
    "squeezenet1.1": ("squeezenet1.1.onnx", TORCH),
    "resnet50": ("resnet50.onnx.xz", TORCH),
    "resnet56-cifar10": ("resnet56-cifar10.onnx", replace(TORCH, height=32, width=32, resize=32)),
    "alexnet-pool5": ("alexnet-pool5.onnx", replace(TORCH, height=227, width=227)),
}

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Photos:
    """For the ranges; for the cosines; and for the probes, none of them twice."""

    calibration: list[Encoded]
    compared: list[Encoded]
    evaluation: list[EvaluationSet]


def photos(n_images: int) -> Photos:
    """Of each set at most `n_images` for the probes, evenly from its classes."""
    calibration: list[Encoded] = []
    compared: list[Encoded] = []
    evaluation = []
    for name in SETS:
        folders = sorted(p for p in (SHARED / "datasets" / name).iterdir() if p.is_dir())
        files = list(interleaved([sorted(folder.iterdir()) for folder in folders]))
        first = N_CALIBRATION // len(SETS)
        calibration += [Encoded(file.read_bytes()) for file in files[:first]]
        used = files[first : first + n_images]
        images = [Encoded(file.read_bytes()) for file in used]
        compared += images[: N_COMPARED // len(SETS)]
        evaluation.append(EvaluationSet(name, images, [file.parent.name for file in used]))
    return Photos(calibration, compared, evaluation)


def interleaved(lists: Sequence[Sequence[Path]]) -> Iterator[Path]:
    """One of each in turn, as long as any has more."""
    for place in range(max(map(len, lists))):
        yield from (one[place] for one in lists if place < len(one))


def network(name: str) -> Backbone:
    if name == NAME:
        return Backbone.read(name, build(read_weights()), RECIPE)
    file, recipe = FILES[name]
    data = (SHARED / "models" / file).read_bytes()
    return Backbone.read(name, lzma.decompress(data) if file.endswith(".xz") else data, recipe)


def quantised(backbone: Backbone, found: Photos, *, with_probes: bool) -> Quantised:
    return asyncio.run(
        quantise_backbone(
            backbone,
            found.calibration,
            found.evaluation if with_probes else (),
            on_progress=lambda *_: None,
        )
    )


def inputs_of(backbone: Backbone, images: Sequence[Encoded]) -> Array:
    return np.stack([prepare(one, backbone.recipe, what="a photo") for one in images])


def speed_and_codes(backbone: Backbone, made: Quantised, found: Photos) -> float:
    """Print a row; return the ratio of the whole network in batches."""
    int8 = Backbone.read(backbone.name, made.graph, backbone.recipe)
    inputs = inputs_of(backbone, found.compared)
    last = backbone.ranked[-1]
    whole = throughput_ratio(backbone, int8, inputs)
    alone = throughput_ratio(backbone, int8, inputs, batch=1)
    cut = throughput_ratio(backbone, int8, inputs, layers=[last])
    core = throughput_ratio(backbone, int8, inputs, layers=backbone.ranked)
    pair = Pair(backbone, int8)
    codes = pair.codes([layer.name for layer in backbone.ranked], inputs)
    cosines = [float(cosine(a, b).mean()) for a, b in zip(*codes, strict=True)]
    worst = backbone.ranked[int(np.argmin(cosines))]
    row(
        backbone.name,
        f"{len(backbone.graph) / 1e6:.1f} / {len(made.graph) / 1e6:.1f}",
        f"{whole:.2f}",
        f"{alone:.2f}",
        f"{cut:.2f}",
        f"{core:.2f}",
        f"{min(cosines):.4f} at {worst.depth} of {len(backbone.ranked)}",
        f"{cosines[-1]:.4f}",
    )
    return min(whole, cut)


def peer(backbone: Backbone, found: Photos) -> None:
    """Print the row of onnxruntime's own quantiser, in plain sessions."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(inputs_of(backbone, found.calibration))

        def get_next(self) -> dict[str, Array] | None:
            one = next(self._left, None)
            return None if one is None else {"image": one[None]}

    logging.disable()  # it has much to say
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(backbone.graph)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": 99.99},
        )
        int8 = target.read_bytes()
    ratios = [
        f"{plain_ratio(backbone.graph, int8, inputs_of(backbone, found.compared), n):.2f}"
        for n in (BATCH, 1)
    ]
    size = f"{len(backbone.graph) / 1e6:.1f} / {len(int8) / 1e6:.1f}"
    row("  by quantize_static", size, *ratios, "", "", "", "")


def plain_ratio(graph: bytes, int8: bytes, inputs: Array, batch: int) -> float:
    """As `throughput_ratio`, in sessions with one thread and no other settings."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for data in (graph, int8)
    ]
    feed = {"image": np.resize(inputs, (batch, *inputs.shape[1:]))}
    ratios = []
    for _ in range(4 + 160 // (batch + 3)):
        spent = []
        for session in sessions:
            start = time.thread_time()
            session.run(None, feed)
            spent.append(time.thread_time() - start)
        ratios.append(spent[0] / spent[1])
    return median(ratios[2:])


def row(*cells: str) -> None:
    widths = (24, 12, 8, 8, 10, 8, 18, 8)
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    sys.stdout.flush()


def probes(name: str, made: Quantised) -> int:
    """Print the rows of one network; return on how many sets its last layer loses little."""
    print(f"\n{name}: probes retrained on int8 codes against float32, the same folds")
    print("set                  images  layer                float32  int8    int8 - float32, 95 %")
    n_kept = 0
    last: dict[str, float] = {}
    for one in made.fidelity.probes:
        difference = one.int8_accuracy - one.float32_accuracy
        last[one.set] = difference
        print(
            f"{one.set:20} {one.n_images:6}  {one.layer:20} {one.float32_accuracy:.4f}   "
            f"{one.int8_accuracy:.4f}  {100 * difference:+.2f} points "
            f"({100 * one.low:+.2f} to {100 * one.high:+.2f})"
        )
    n_kept = sum(difference >= -WANTED_LOSS for difference in last.values())
    print(f"at the last layer {n_kept} of {len(last)} sets lose 0.5 point at most")
    return n_kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="of a set, for the probes")
    parser.add_argument("--network", action="append", choices=[NAME, *FILES])
    arguments = parser.parse_args()
    if not (SHARED / "datasets").is_dir():
        print("bench/int8.py needs real photos and weights in ../shared, which is absent")
        return 0
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"VNNI: {'yes' if has_vnni() else 'no'}, AMX: {'yes' if has_int8_tiles() else 'no'}, "
        f"onnxruntime {ort.__version__}\n"
    )
    found = photos(arguments.images)
    row("network", "MB", "batch 8", "alone", "last layer", "core", "worst cosine", "last")
    ratio, judged = 0.0, None
    for name in arguments.network or (NAME, *FILES):
        backbone = network(name)
        made = quantised(backbone, found, with_probes=name == NAME)
        ratio_here = speed_and_codes(backbone, made, found)
        if name == NAME:
            ratio, judged = ratio_here, made
            peer(backbone, found)
    if judged is None:
        return 0
    n_kept = probes(NAME, judged)
    is_fast = ratio >= WANTED_RATIO or not has_vnni()
    print(f"throughput of lite0: {ratio:.2f} times ({WANTED_RATIO} are wanted where there is VNNI)")
    return 0 if is_fast and n_kept >= WANTED_SETS else 1


if __name__ == "__main__":
    sys.exit(main())

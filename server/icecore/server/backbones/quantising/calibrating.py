"""Running a network on sample images to see what values its tensors take.

Tensors are looked at a few images at a time and only counted: memory does not grow
with the number of images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.quantising.histograms import FloatArray, Histogram
from icecore.server.errors import CalibrationInvalid

MAX_BYTES: Final = 128 << 20
"""Of tensors looked at together; one image is looked at whatever it takes."""

MIN_IMAGES: Final = 8
"""Fewer tell too little about the largest values."""

_ERROR: Final = 3


@dataclass(frozen=True, slots=True)
class Calibration:
    """What images showed: a histogram of each tensor, and (c,) means of those asked for."""

    histograms: dict[str, Histogram]
    means: dict[str, npt.NDArray[np.float64]]
    n_images: int


def calibrate(
    graph: Graph,
    tensors: Sequence[str],
    channel_axes: Mapping[str, int],
    inputs: Iterable[FloatArray],
    *,
    threads: int,
) -> Calibration:
    """Return what the images show of `tensors`.

    Args:
        channel_axes: tensors whose means are wanted, with the axis of their channels.
        inputs: batches (n, 3, h, w) of any n.

    Raises:
        CalibrationInvalid: too few images, or a value that is not finite.
    """
    histograms = {name: Histogram() for name in tensors}
    sums: dict[str, npt.NDArray[np.float64]] = {}
    made = [name for name in dict.fromkeys((*tensors, *channel_axes)) if name != graph.input]
    session = _session(graph, made, threads)
    at_once = _at_once(graph, made)
    n_images = 0
    for batch in inputs:
        for first in range(0, len(batch), at_once):
            part = np.ascontiguousarray(batch[first : first + at_once])
            n_images += len(part)
            values = dict(zip(made, session.run(made, {graph.input: part}), strict=True))
            values[graph.input] = part
            for name in tensors:
                _count(histograms[name], name, values[name])
            for name, axis in channel_axes.items():
                sums[name] = sums.get(name, 0.0) + len(part) * _channel_means(values[name], axis)
    if n_images < MIN_IMAGES:
        raise CalibrationInvalid(
            f"there are {n_images} calibration images, but at least {MIN_IMAGES} are needed"
        )
    means = {name: total / n_images for name, total in sums.items()}
    return Calibration(histograms, means, n_images)


def _count(histogram: Histogram, name: str, values: FloatArray) -> None:
    try:
        histogram.add(values)
    except FloatingPointError as error:
        raise CalibrationInvalid(
            f"tensor {name!r} has values that are not finite on these images"
        ) from error


def _channel_means(values: FloatArray, axis: int) -> npt.NDArray[np.float64]:
    others = tuple(place for place in range(values.ndim) if place != axis % values.ndim)
    means: npt.NDArray[np.float64] = values.mean(axis=others, dtype=np.float64)
    return means


def _session(graph: Graph, outputs: Sequence[str], threads: int) -> ort.InferenceSession:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    # Outputs are large and many: an arena would keep as much again for the next run.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _at_once(graph: Graph, tensors: Sequence[str]) -> int:
    """How many images fit into `MAX_BYTES`; 1 where the network takes no more."""
    if graph.batch is not None:
        return graph.batch
    n_values = 0
    for name in tensors:
        shape = graph.shape(name) or ()
        n_values += int(np.prod([side or 1 for side in shape[1:]], dtype=np.int64))
    return max(1, MAX_BYTES // max(1, 4 * n_values))

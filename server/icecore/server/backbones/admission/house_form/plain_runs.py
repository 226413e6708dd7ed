"""A graph run as it is, once, to learn what it computes."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as states

from icecore.server.backbones.admission.house_form.reading import one_line

_ERRORS: Final[tuple[type[Exception], ...]] = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
    ValueError,
)

_DTYPES: Final = {"tensor(float16)": "f2", "tensor(double)": "f8"}

_FATAL: Final = 4


class NotRunnable(Exception):
    """ONNX Runtime refuses the graph, or fails on these inputs."""


class PlainRun:
    """A session on one thread, as icecore runs graphs.

    `literally`: node by node, as the file says. So are files run that are not in
    house form: on some of half precision, onnxruntime 1.31's optimiser ends the process.

    Raises:
        NotRunnable: ONNX Runtime refuses the graph.
    """

    def __init__(self, data: bytes, *, literally: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        if literally:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except _ERRORS as error:
            raise NotRunnable(one_line(error)) from error
        inputs = self._session.get_inputs()
        self._input = inputs[0].name if inputs else ""
        self.dtype = np.dtype(_DTYPES.get(inputs[0].type, "f4") if inputs else "f4")

    def __call__(self, images: npt.NDArray[Any]) -> list[Any]:
        """Return the outputs in the graph's order.

        Raises:
            NotRunnable: it fails on these.
        """
        try:
            outputs: list[Any] = self._session.run(None, {self._input: images})
        except _ERRORS as error:
            raise NotRunnable(one_line(error)) from error
        return outputs


def is_runnable(data: bytes) -> bool:
    """Whether ONNX Runtime takes the graph."""
    try:
        PlainRun(data)
    except NotRunnable:
        return False
    return True


def noise(shape: Sequence[int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Return images (n, 3, h, w) of random pixels, each of another brightness, always the same.

    Multiples of 1/64 within about -8..8, which are the same in half precision.
    """
    random = np.random.default_rng(seed)
    pixels = random.standard_normal(tuple(shape))
    pixels += random.standard_normal((*shape[:2], *[1] * (len(shape) - 2)))
    return (np.round(pixels * 64) / 64).astype(np.float32)

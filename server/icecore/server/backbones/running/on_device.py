"""One cut graph on a GPU: its weights lie there, and what is handed in and out is copied."""

from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from icecore.server import telemetry
from icecore.server.backbones.running.devices import Device
from icecore.server.backbones.running.loaded import FloatArray, InputArray
from icecore.server.backbones.running.shared_weights import Weight

_ERROR = 3


class OnDevice:
    """A session of a cut graph, with the face of `Loaded`.

    ONNX Runtime optimises it for the device itself; nodes that the device cannot run are
    left to the processor, and a log line says so where the device runs none.
    """

    def __init__(
        self, graph: bytes, *, device: Device, fed: Callable[[bytes], bytes] | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERROR
        self.weights: dict[str, Weight] = {}
        self.own_bytes = len(graph)
        self._session = ort.InferenceSession(
            graph if fed is None else fed(graph),
            options,
            providers=list(device.providers),
            provider_options=device.options,
        )
        used = self._session.get_providers()[0]
        if used != device.providers[0]:
            telemetry.log("device_not_used", wanted=device.providers[0], used=used)
        image = self._session.get_inputs()[0]
        self._input = image.name
        self._step = image.shape[0] if isinstance(image.shape[0], int) else None

    def run(self, inputs: InputArray) -> list[FloatArray]:
        """Return one array an output; images one by one where the graph's batch is fixed."""
        if self._step is None:
            return self._run(inputs)
        parts = [self._run(inputs[i : i + self._step]) for i in range(0, len(inputs), self._step)]
        return [np.concatenate(codes) for codes in zip(*parts, strict=True)]

    def _run(self, inputs: InputArray) -> list[FloatArray]:
        codes: list[FloatArray] = self._session.run(None, {self._input: inputs})
        return codes

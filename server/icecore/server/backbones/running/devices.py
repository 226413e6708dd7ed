"""Where networks run: the processor, or a GPU where the installed ONNX Runtime can use one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from icecore.server import telemetry
from icecore.server.errors import InvalidArgument

_PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_FASTEST_FIRST: Final = ("cuda", "cpu")
"""What "auto" tries. TensorRT compiles each cut for minutes, so it has to be asked for."""

_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    # Its search for the fastest convolution would be made again for each size of a batch.
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
    "tensorrt": {},
    "cpu": {},
}


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of processor, and ONNX Runtime's providers for it, the first that can goes first.

    Args:
        name: "cpu", "cuda" or "tensorrt".
        n_passes: passes at once that it gains from; 0: one a thread.
    """

    name: str = "cpu"
    n_passes: int = 0
    providers: Sequence[str] = field(default=("CPUExecutionProvider",))

    @property
    def is_cpu(self) -> bool:
        return self.name == "cpu"

    @property
    def options(self) -> list[dict[str, str]]:
        """Options of each provider."""
        names = {provider: name for name, provider in _PROVIDERS.items()}
        return [dict(_OPTIONS[names[provider]]) for provider in self.providers]

    @property
    def identity(self) -> str:
        """What a measurement on it is kept under: the device and ONNX Runtime's version."""
        return f"{self.name}/onnxruntime-{ort.__version__}"


CPU: Final = Device()


def usable_device(wanted: str) -> Device:
    """Return the device of a name after trying it; "auto" is the processor if nothing else works.

    Raises:
        InvalidArgument: it was asked for by name, and cannot be used here.
    """
    found = device(wanted)
    if found.is_cpu or (why := _refusal(found)) is None:
        return found
    if wanted != "auto":
        raise InvalidArgument(f"the device {wanted!r} cannot be used: {why}")
    telemetry.log("device_not_used", device=found.name, why=why)
    return CPU


def device(wanted: str, available: Sequence[str] | None = None) -> Device:
    """Return the device of a name, or for "auto" the fastest that there is.

    Args:
        available: the providers that ONNX Runtime was built with; by default what it says.

    Raises:
        InvalidArgument: the installed ONNX Runtime has no provider for it.
    """
    there = ort.get_available_providers() if available is None else available
    if wanted == "auto":
        wanted = next((one for one in _FASTEST_FIRST if _PROVIDERS[one] in there), "cpu")
    if _PROVIDERS[wanted] not in there:
        raise InvalidArgument(
            f"the installed onnxruntime has no {_PROVIDERS[wanted]}, which {wanted!r} needs: "
            f"it has {', '.join(there)}"
        )
    if wanted == "cpu":
        return CPU
    chosen = [wanted, *(["cuda"] if wanted == "tensorrt" else []), "cpu"]
    return Device(
        name=wanted,
        n_passes=2,  # one computes while the other's images are on their way
        providers=tuple(_PROVIDERS[one] for one in chosen if _PROVIDERS[one] in there),
    )


def _refusal(found: Device) -> str | None:
    """Why the smallest of networks does not run there; None where it does."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "trial",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it says is told by us
    try:
        session = ort.InferenceSession(
            model.SerializeToString(),
            options,
            providers=list(found.providers),
            provider_options=found.options,
        )
        used = session.get_providers()[0]
        if used != found.providers[0]:
            return f"ONNX Runtime uses {used} instead; CUDA or cuDNN may be missing or too old"
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # whatever a driver that is not there raises
        return " ".join(str(error).split())[:300]
    return None

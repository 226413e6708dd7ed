"""Where networks run: the processor, or a GPU where the installed ONNX Runtime can use one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import onnxruntime as ort

from icecore.server.errors import InvalidArgument

CHOICES: Final = ("auto", "cpu", "cuda", "tensorrt")

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

"""Whether an exported file computes what torch computes, at every listed layer.

The law: on the test inputs, no value of a layer is farther from torch's than 1e-4
of the layer's peak, the largest magnitude that torch has there. A layer that is a
module's output is compared with what that module returned in a plain call of the
network; others with torch's traced program, run operation by operation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from icecore.server.backbones.exporting import libraries
from icecore.server.backbones.exporting.mistakes import NotFaithful
from icecore.server.backbones.exporting.tracing import Traced

Array: TypeAlias = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Of the peak. Folded batch norms and sums in another order stay under 2e-5 in our networks."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many layers were compared, and the worst: its difference as a share of its peak."""

    n_layers: int
    worst: str
    share: float


def check(
    graph: bytes,
    layers: Sequence[str],
    required: Sequence[str],
    traced: Traced,
    network: Any,
) -> Comparison:
    """Compare layers, and the outputs, on `images_for` the network.

    Args:
        graph: the file to be checked.
        layers: names of its tensors; those that the exporter put between two
            operations of torch's have no counterpart and are passed over.
        required: those that must have one.
        traced: what the file was made of; its names are the file's.
        network: the torch network itself, in evaluation mode.

    Raises:
        NotFaithful: a layer passes the tolerance, or torch has none of that name.
    """
    file = _File(graph, layers)
    shares = _Shares()
    images = images_for(file.height, file.width)
    # Two together where the batch is open, one alone in any case.
    for batch in [images[:2], images[2:]] if traced.is_batch_open else np.split(images, 3):
        theirs = _of_torch(traced, network, set(file.names), batch)
        for name, ours in file.run(batch).items():
            if name in theirs:
                shares.add(name, ours, theirs[name])
            elif name in required or name in file.outputs:
                raise NotFaithful(f"layer {name!r} of the file has no counterpart in torch")
    return shares.judged()


def images_for(height: int, width: int) -> Array:
    """Return (3, 3, h, w) as recipes make them: noise, soft shapes and one flat colour."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((3, height, width))
    coarse = random.standard_normal((3, -(-height // 8), -(-width // 8)))
    soft = 2 * coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    flat = np.broadcast_to(np.array([0.5, -1.0, 1.5])[:, None, None], noise.shape)
    return np.stack([noise, soft, flat]).astype(np.float32)


class _Shares:
    """Differences and peaks of layers, over all runs."""

    def __init__(self) -> None:
        self._differences: dict[str, float] = {}
        self._peaks: dict[str, float] = {}

    def add(self, name: str, ours: Array, theirs: Array) -> None:
        if ours.shape != theirs.shape:
            raise NotFaithful(f"layer {name!r} is {ours.shape!r}, but {theirs.shape!r} in torch")
        difference = float(np.abs(ours.astype(np.float64) - theirs).max())
        # Not a number is farther than any.
        difference = difference if np.isfinite(difference) else float("inf")
        self._differences[name] = max(difference, self._differences.get(name, 0.0))
        self._peaks[name] = max(float(np.abs(theirs).max()), self._peaks.get(name, 0.0))

    def judged(self) -> Comparison:
        """The worst of all, unless one is beyond the tolerance: then the first that is."""
        shares = {
            name: difference / self._peaks[name] if difference else 0.0
            for name, difference in self._differences.items()
            if difference == 0.0 or self._peaks[name] > 0.0
        }
        for name in self._differences:
            if not shares.get(name, float("inf")) <= TOLERANCE:
                raise NotFaithful(
                    f"layer {name!r} is off by {self._differences[name]:.1e} where torch's largest "
                    f"value is {self._peaks[name]:.1e}, but {TOLERANCE:.0e} of it is allowed"
                )
        worst = max(shares, key=lambda name: shares[name])
        return Comparison(len(shares), worst, shares[worst])


class _File:
    """The exported file with all of `layers` as outputs, beside its own."""

    def __init__(self, graph: bytes, layers: Sequence[str]) -> None:
        model = onnx.ModelProto.FromString(graph)
        self.outputs = [value.name for value in model.graph.output]
        added = [name for name in layers if name not in self.outputs]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (image,) = self._session.get_inputs()
        self._input: str = image.name
        self.height, self.width = int(image.shape[2]), int(image.shape[3])
        self.names = [*layers, *(name for name in self.outputs if name not in layers)]

    def run(self, images: Array) -> dict[str, Array]:
        values = self._session.run(self.names, {self._input: images})
        return dict(zip(self.names, values, strict=True))


def _of_torch(traced: Traced, network: Any, wanted: set[str], images: Array) -> dict[str, Array]:
    """By name: of the network called plainly, else of the program."""
    torch = libraries.torch()
    with torch.no_grad():
        image = torch.from_numpy(images)
        return {
            **_of_program(torch, traced, wanted, image),
            **_of_modules(network, wanted, image),
        }


def _of_modules(network: Any, wanted: set[str], image: Any) -> dict[str, Array]:
    """What modules returned, by path; only of those that are called once."""
    values: dict[str, Array] = {}
    calls: dict[str, int] = {}

    def keep(path: str, result: Any) -> None:
        calls[path] = calls.get(path, 0) + 1
        if hasattr(result, "detach"):
            # Copied at once: an activation behind it may work in place.
            values[path] = result.detach().numpy().copy()

    hooks = [
        module.register_forward_hook(lambda _module, _given, result, path=path: keep(path, result))
        for path, module in network.named_modules()
        if path in wanted
    ]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: value for path, value in values.items() if calls[path] == 1}


def _of_program(torch: Any, traced: Traced, wanted: set[str], image: Any) -> dict[str, Array]:
    """What each operation of torch's record returned, by our names."""
    program = traced.program
    values: dict[str, Array] = {}

    def keep(interpreter: Any, node: Any) -> Any:
        result = torch.fx.Interpreter.run_node(interpreter, node)
        name = traced.names.get(node.name)
        if name in wanted and hasattr(result, "detach"):
            values[name] = result.detach().numpy().copy()
        return result

    recording = type("Recording", (torch.fx.Interpreter,), {"run_node": keep})
    recording(program.graph_module).run(*_arguments(program, image))
    return values


def _arguments(program: Any, image: Any) -> list[Any]:
    """Weights, statistics and the image, in the order in which the program takes them."""
    held: Mapping[str, Any] = {**program.state_dict, **program.constants}
    return [
        image if spec.kind.name == "USER_INPUT" else held[spec.target]
        for spec in program.graph_signature.input_specs
    ]

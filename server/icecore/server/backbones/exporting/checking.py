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
class Difference:
    """The largest difference at a layer, as a share of the layer's peak."""

    layer: str
    share: float


def check(
    graph: bytes, layers: Sequence[str], traced: Traced, network: Any, images: Array
) -> Difference:
    """Return the worst difference of all layers and outputs.

    Args:
        graph: the file to be checked.
        layers: names of its tensors.
        traced: what it was made of; its names are the file's.
        network: the torch network itself, in evaluation mode.
        images: (n, 3, h, w) float32.

    Raises:
        NotFaithful: a layer passes the tolerance, or torch has none of that name.
    """
    model = onnx.ModelProto.FromString(graph)
    outputs = [value.name for value in model.graph.output]
    wanted = list(dict.fromkeys([*layers, *outputs]))
    ours = _of_file(model, wanted, images)
    theirs = _of_torch(traced, network, wanted, images)
    worst = Difference("", 0.0)
    for name in wanted:
        if name not in theirs:
            raise NotFaithful(f"layer {name!r} of the file has no counterpart in torch")
        share = _share(ours[name], theirs[name])
        if not share <= TOLERANCE:
            raise NotFaithful(
                f"layer {name!r} is off by {share:.1e} of its peak, but {TOLERANCE:.0e} is allowed "
                f"(shape {ours[name].shape!r} in the file, {theirs[name].shape!r} in torch)"
            )
        if share >= worst.share:
            worst = Difference(name, share)
    return worst


def test_images(height: int, width: int) -> Array:
    """Return three images as recipes make them: noise, soft shapes and one flat colour."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((3, height, width))
    coarse = random.standard_normal((3, -(-height // 8), -(-width // 8)))
    soft = 2 * coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    flat = np.broadcast_to(np.array([0.5, -1.0, 1.5])[:, None, None], noise.shape)
    return np.stack([noise, soft, flat]).astype(np.float32)


def _share(ours: Array, theirs: Array) -> float:
    """The largest difference over torch's peak; infinite for other shapes and for no numbers."""
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return float("inf")
    difference = float(np.abs(ours.astype(np.float64) - theirs).max())
    peak = float(np.abs(theirs).max())
    return difference / peak if peak else (0.0 if difference == 0.0 else float("inf"))


def _of_file(model: onnx.ModelProto, wanted: Sequence[str], images: Array) -> dict[str, Array]:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    present = {value.name for value in opened.graph.output}
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (image,) = session.get_inputs()
    whole = isinstance(image.shape[0], str) or image.shape[0] is None
    runs = [
        session.run(list(wanted), {image.name: batch}) for batch in _batches(images, whole=whole)
    ]
    return {name: np.concatenate(parts) for name, *parts in zip(wanted, *runs, strict=True)}


def _of_torch(
    traced: Traced, network: Any, wanted: Sequence[str], images: Array
) -> dict[str, Array]:
    """By name: of the network called plainly, else of the program."""
    torch = libraries.torch()
    found: dict[str, list[Array]] = {}
    with torch.no_grad():
        for batch in _batches(images, whole=traced.is_batch_open):
            image = torch.from_numpy(batch)
            values = _of_program(torch, traced, set(wanted), image)
            values |= _of_modules(network, set(wanted), image)
            for name, value in values.items():
                found.setdefault(name, []).append(value)
    return {name: np.concatenate(parts) for name, parts in found.items()}


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


def _batches(images: Array, *, whole: bool) -> list[Array]:
    return [images] if whole else [images[i : i + 1] for i in range(len(images))]

"""Whether a graph is one: each tensor made once, from what was made before."""

from collections.abc import Iterator

import onnx

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import counted, graphs_within, shown
from icecore.server.errors import GraphInvalid, GraphTooLarge


def vet_order(graph: onnx.GraphProto, limits: AdmissionLimits) -> None:
    """Raise where names clash, and where nodes go in a circle.

    Raises:
        GraphInvalid: as said; also a graph without nodes, image or outputs.
        GraphTooLarge: more outputs than allowed.
    """
    constants = [tensor.name for tensor in graph.initializer]
    constants += [sparse.values.name for sparse in graph.sparse_initializer]
    inputs = [value.name for value in graph.input]
    made = [name for node in graph.node for name in node.output if name]
    _vet_counts(graph, set(inputs) - set(constants), limits)
    _vet_once(constants, "constants")
    _vet_once(inputs, "inputs")
    _vet_once([value.name for value in graph.output], "outputs")
    _vet_once([*made, *(set(constants) | set(inputs))], "tensors")
    known = {*constants, *inputs}
    _vet_circles(graph, known)
    missing = next(
        (v.name for v in graph.output if v.name not in known and v.name not in made), None
    )
    if missing is not None:
        raise GraphInvalid(f"the graph has the output {shown(missing)}, which nothing makes")


def _vet_counts(graph: onnx.GraphProto, images: set[str], limits: AdmissionLimits) -> None:
    if not graph.node:
        raise GraphInvalid("the graph has no nodes that make anything of an image")
    if len(images) != 1:
        has = f"the inputs {counted(sorted(images))}" if images else "no input"
        raise GraphInvalid(f"the graph has {has}, but must have one, the image")
    if not graph.output:
        raise GraphInvalid("the graph has no output")
    if len(graph.output) > limits.max_outputs:
        raise GraphTooLarge(
            f"the graph has {len(graph.output):,} outputs, but {limits.max_outputs:,} are the most"
        )


def _vet_once(names: list[str], what: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GraphInvalid(f"the graph has two {what} of the name {shown(name)}")
        seen.add(name)


def _vet_circles(graph: onnx.GraphProto, known: set[str]) -> None:
    """Take nodes off whose inputs are all there, until none is left (Kahn, 1962)."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    readers: dict[int, list[int]] = {}
    waits = [0] * len(graph.node)
    for index, node in enumerate(graph.node):
        for name in {name for name in _reads(node) if name not in known}:
            if name in makers:
                readers.setdefault(makers[name], []).append(index)
                waits[index] += 1
            elif name in node.input:
                raise GraphInvalid(
                    f"the graph's {shown(node.op_type)} reads the tensor {shown(name)}, "
                    "which nothing makes"
                )
    ready = [index for index, n in enumerate(waits) if n == 0]
    n_done = 0
    while ready:
        n_done += 1
        for reader in readers.get(ready.pop(), ()):
            waits[reader] -= 1
            if waits[reader] == 0:
                ready.append(reader)
    if n_done < len(graph.node):
        stuck = next(index for index, n in enumerate(waits) if n)
        outputs = [name for name in graph.node[stuck].output if name]
        raise GraphInvalid(
            "the graph goes in a circle: a tensor needs itself to be made, "
            f"such as {counted(outputs)}"
        )


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, inside of its graphs too, where names of their own count for nothing."""
    yield from (name for name in node.input if name)
    for graph in graphs_within(node):
        for inner in graph.node:
            yield from (name for name in inner.input if name)
        yield from (value.name for value in graph.output)

"""What does not depend on the pixels, worked out once and kept as weights.

The graph is run on two batches of different size, with everything that hangs
on shapes alone as an output: what is the same in both is a constant, and a
Reshape that differs in one place only is told to work that one out (-1).
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from icecore.server.backbones.admission.house_form.draft import Draft, attribute
from icecore.server.backbones.admission.house_form.plain_runs import PlainRun, noise
from icecore.server.backbones.admission.house_form.reading import reads
from icecore.server.backbones.admission.house_form.tidying import tidy
from icecore.server.errors import GraphInvalid, GraphTooLarge

MAX_NEW_BYTES: Final = 64 << 20
"""Of constants worked out beyond what the file's own weights take: standardised weights are as
large as those, attention masks and position tables of large ViTs far below."""

Array = npt.NDArray[Any]


class _Found(NamedTuple):
    """At one batch size: values by tensor, and shapes of what Reshape nodes give."""

    values: dict[str, Array]
    shapes: dict[str, Array]


def fold(draft: Draft, batches: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    """Replace what is the same at all these batch sizes by constants; take branches that are fixed.

    Args:
        draft: changed only once the runs have succeeded.
        batches: sizes to run; a graph of fixed batch has one.
        shape: of one image, (3, h, w).

    Raises:
        NotRunnable: it does not run on such a batch.
        GraphInvalid: a branch (If) whose condition is known only when it runs.
        GraphTooLarge: the constants would take too many bytes.
    """
    while True:
        _fold_once(draft, batches, shape)
        if not _take_branches(draft):
            break
    undecided = next((node for node in draft.nodes if node.op_type == "If"), None)
    if undecided is not None:
        raise GraphInvalid(
            f"the graph decides at {undecided.name!r} (If) by the image what to compute; "
            "export it without control flow"
        )


def imageless(draft: Draft) -> list[str]:
    """Tensors made by nodes from constants and shapes alone, but for dequantised weights."""
    data = {value.name for value in draft.inputs}
    found: list[str] = []
    for node in draft.nodes:
        made = [name for name in node.output if name]
        if node.op_type in ("Shape", "Size"):
            found.extend(made)
        elif node.op_type == "DequantizeLinear" or not data.isdisjoint(reads(node)):
            data.update(made)
        else:
            found.extend(made)
    return found


def _fold_once(draft: Draft, batches: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    free = imageless(draft)
    if not free:
        return
    reshapes = [
        node
        for node in draft.nodes
        if len(batches) > 1
        and node.op_type == "Reshape"
        and node.input[1] in set(free)
        and node.output[0] not in free
    ]
    runs = [_run(draft, free, reshapes, (n, *shape)) for n in batches]
    fixed = {
        name: value
        for name, value in runs[0].values.items()
        if all(_equal(value, run.values.get(name)) for run in runs[1:])
    }
    _keep(draft, fixed)
    for node in reshapes:
        if node.input[1] not in fixed:
            _let_reshape_count(draft, node, [run.shapes[node.output[0]] for run in runs])
    if fixed:
        draft.note("what does not depend on the pixels is worked out beforehand")
    draft.prune()


def _run(
    draft: Draft, free: list[str], reshapes: list[onnx.NodeProto], shape: tuple[int, ...]
) -> _Found:
    asked = {node.output[0]: draft.fresh(f"{node.output[0]}.shape") for node in reshapes}
    model = draft.to_model(
        [onnx.ValueInfoProto(name=name) for name in (*free, *(n.output[0] for n in reshapes))]
    )
    del model.graph.output[len(free) :]
    for tensor, name in asked.items():
        model.graph.node.append(helper.make_node("Shape", [tensor], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
    data = model.SerializeToString()
    del model  # with all weights in it
    values = dict(zip((*free, *asked), PlainRun(data, literally=True)(noise(shape)), strict=True))
    return _Found(
        {name: values[name] for name in free if isinstance(values[name], np.ndarray)},
        {name: values[name] for name in asked},
    )


def _equal(one: Array, other: Array | None) -> bool:
    return (
        other is not None
        and one.dtype == other.dtype
        and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    )


def _keep(draft: Draft, fixed: dict[str, Array]) -> None:
    draft.nodes = [
        node
        for node in draft.nodes
        if not (node.output and all(name in fixed for name in node.output if name))
    ]
    read = {name for node in draft.nodes for name in reads(node)}
    read |= {value.name for value in draft.outputs}
    made = {name for node in draft.nodes for name in node.output}
    kept = {name: value for name, value in fixed.items() if name in read and name not in made}
    n_bytes = sum(value.nbytes for value in kept.values())
    most = MAX_NEW_BYTES + sum(tensor.ByteSize() for tensor in draft.initializers.values())
    if n_bytes > most:
        raise GraphTooLarge(
            f"the graph works out constants of {n_bytes:,} bytes, but may at most of {most:,}"
        )
    for name, value in kept.items():
        draft.add_constant(name, value)


def _let_reshape_count(draft: Draft, node: onnx.NodeProto, shapes: list[Array]) -> None:
    """Give a Reshape whose result differs in one dimension a constant shape with -1 there."""
    first, last = shapes[0], shapes[-1]
    if first.shape != last.shape or (first != last).sum() != 1:
        return
    target = np.where(first == last, first, -1).astype(np.int64)
    node.input[1] = draft.add_constant(draft.fresh(f"{node.output[0]}.shape"), target)
    for place, found in enumerate(node.attribute):
        if found.name == "allowzero":
            del node.attribute[place]
            break
    draft.note("reshapes take their batch from the images, not from a computed shape")


def _take_branches(draft: Draft) -> bool:
    """Put the branch of every If with a constant condition in its place; whether there was any."""
    place, taken = 0, False
    while place < len(draft.nodes):
        node = draft.nodes[place]
        condition = draft.constant(node.input[0]) if node.op_type == "If" else None
        if condition is None:
            place += 1
            continue
        branch = attribute(node, "then_branch" if condition.all() else "else_branch", None)
        draft.nodes[place : place + 1] = _inlined(draft, node, branch)
        taken = True
    if taken:
        draft.note("branches whose condition is fixed are taken")
        tidy(draft)
        draft.prune()
    return taken


def _inlined(draft: Draft, node: onnx.NodeProto, branch: onnx.GraphProto) -> list[onnx.NodeProto]:
    names = {
        name: draft.fresh(name)
        for name in (
            *(tensor.name for tensor in branch.initializer),
            *(name for inner in branch.node for name in inner.output if name),
        )
    }
    for tensor in branch.initializer:
        tensor.name = names[tensor.name]
        draft.initializers[tensor.name] = tensor
    shell = Draft(onnx.helper.make_model(onnx.helper.make_graph(branch.node, "", [], [])))
    shell.reroute(names)
    for inner in shell.nodes:
        for place, name in enumerate(inner.output):
            inner.output[place] = names.get(name, name)
    outputs = [names.get(value.name, value.name) for value in branch.output]
    ends = [
        helper.make_node("Identity", [made], [name])
        for made, name in zip(outputs, node.output, strict=True)
        if name
    ]
    return [*shell.nodes, *ends]

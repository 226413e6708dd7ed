"""A graph made for a batch of one size, so rewritten that it takes any.

Exporters write the batch into the shapes that Reshape is given, and repeat
class tokens that often. Where each Reshape keeps the batch is read from how it
arranges the values: the shapes are inferred at two sizes, from the front to
the back. Nothing is promised: who calls this runs the result and compares.
"""

from typing import Final

import numpy as np
import onnx
from onnx import helper

from icecore.server.backbones.admission.draft import Draft
from icecore.server.backbones.admission.reading import reads

_FACTOR: Final = 7
"""How many times the batch is for telling its dimension from others; a prime."""

Dims = tuple[int, ...]


class NotOpened(Exception):
    """The batch cannot be followed through the graph."""


def open_batch(draft: Draft, batch: int) -> None:
    """Leave the batch of a graph of fixed batch open; all shapes in it must be constants.

    Raises:
        NotOpened: it gets lost in the graph; the draft is then half changed.
    """
    draft.set_batch(batch)
    before = _shapes(draft)
    pending = {
        node.output[0]: node for node in draft.nodes if node.op_type in ("Reshape", "Concat")
    }
    for value in draft.outputs:
        value.type.tensor_type.ClearField("shape")
    while pending:
        draft.set_batch(batch * _FACTOR)
        after = _shapes(draft)
        for node in _front(draft, pending):
            del pending[node.output[0]]
            if node.op_type == "Reshape":
                _mend_reshape(draft, node, before, after, batch)
            else:
                _mend_concat(draft, node, before, after, batch)
    draft.set_batch(None)


def _shapes(draft: Draft) -> dict[str, Dims]:
    """Shapes of all tensors for which every dimension is known."""
    return {
        name: tuple(d.dim_value for d in kind.shape.dim)
        for name, kind in draft.inferred().items()
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
    }


def _front(draft: Draft, pending: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Those pending that need no other pending one."""
    behind: set[str] = set()
    front: list[onnx.NodeProto] = []
    for node in draft.nodes:
        is_behind = not behind.isdisjoint(reads(node))
        is_pending = node.output[0] in pending
        if is_pending and not is_behind:
            front.append(node)
        if is_pending or is_behind:
            behind.update(node.output)
    return front


def _axis(before: Dims | None, after: Dims | None, batch: int) -> int | None:
    """Where the batch is; None where a tensor has none."""
    if before is None or after is None or len(before) != len(after):
        raise NotOpened
    grown = [place for place, (b, a) in enumerate(zip(before, after, strict=True)) if b != a]
    if not grown:
        return None
    if len(grown) > 1 or after[grown[0]] != before[grown[0]] * _FACTOR or before[grown[0]] % batch:
        raise NotOpened
    return grown[0]


def _mend_reshape(
    draft: Draft, node: onnx.NodeProto, before: dict[str, Dims], after: dict[str, Dims], batch: int
) -> None:
    source, result = node.input[0], node.output[0]
    axis = _axis(before.get(source), after.get(source), batch)
    if axis is None:
        return
    if result not in before:
        raise NotOpened
    place = _place(before[source], axis, before[result], batch)
    wanted = tuple(
        size * _FACTOR if at == place else size for at, size in enumerate(before[result])
    )
    if after.get(result) != wanted:
        shape = [-1 if at == place else size for at, size in enumerate(before[result])]
        name = draft.fresh(f"{result}.shape")
        node.input[1] = draft.add_constant(name, np.array(shape, np.int64))


def _place(source: Dims, axis: int, result: Dims, batch: int) -> int:
    """The dimension of a Reshape's result that holds the batch of its source.

    In memory, the batch is what counts in steps of `step` values; the dimension
    sought must have it as its slowest part. The smallest that fits is taken.
    """
    step = int(np.prod(source[axis:])) // batch
    fits = [
        at
        for at, size in enumerate(result)
        if step % (inner := int(np.prod(result[at + 1 :]))) == 0
        and (size * inner) % (step * batch) == 0
    ]
    if not fits:
        raise NotOpened
    return min(fits, key=lambda at: result[at])


def _mend_concat(
    draft: Draft, node: onnx.NodeProto, before: dict[str, Dims], after: dict[str, Dims], batch: int
) -> None:
    """Repeat constants (class tokens) as often as there are images."""
    axes = {name: _axis(before.get(name), after.get(name), batch) for name in node.input}
    grown = {name: axis for name, axis in axes.items() if axis is not None}
    if not grown:
        return
    with_images, axis = next(iter(grown.items()))
    for place, name in enumerate(node.input):
        if name not in grown:
            node.input[place] = _repeated(draft, node, name, with_images, axis)


def _repeated(draft: Draft, node: onnx.NodeProto, name: str, like: str, axis: int) -> str:
    value = draft.constant(name)
    if value is None or not (value == value.take([0], axis)).all():
        raise NotOpened
    stem = draft.fresh(f"{name}.repeated")
    once = draft.add_constant(draft.fresh(f"{name}.once"), value.take([0], axis))
    rest = [1] * value.ndim
    parts = [
        draft.add_constant(f"{stem}.front", np.array(rest[:axis], np.int64)),
        f"{stem}.n",
        draft.add_constant(f"{stem}.back", np.array(rest[axis + 1 :], np.int64)),
    ]
    at = draft.add_constant(f"{stem}.axis", np.array([axis], np.int64))
    made = [
        helper.make_node("Shape", [like], [f"{stem}.shape"]),
        helper.make_node("Gather", [f"{stem}.shape", at], [f"{stem}.n"]),
        helper.make_node("Concat", parts, [f"{stem}.times"], axis=0),
        helper.make_node("Expand", [once, f"{stem}.times"], [stem]),
    ]
    place = next(i for i, other in enumerate(draft.nodes) if other is node)
    draft.nodes[place:place] = made
    return stem

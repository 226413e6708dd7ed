"""A graph made for a batch of one size, so rewritten that it takes any.

Exporters write the batch into the shapes that Reshape is given, and repeat
class tokens that often. Where each Reshape keeps the batch is read from how it
arranges the values: the shapes are inferred at two sizes, from the front to
the back. Nothing is promised: who calls this runs the result and compares.
"""

from math import prod
from typing import Final, NamedTuple

import numpy as np
import onnx
from onnx import helper

from icecore.server.backbones.admission.draft import Draft
from icecore.server.backbones.admission.reading import reads

_FACTOR: Final = 7
"""How many times the batch is for telling its dimension from others; a prime."""

Dims = tuple[int, ...]


class _Place(NamedTuple):
    """The dimension that has the batch, and how many of its positions are from image to image.

    (n, c, h, w) has it at (0, 1); (n * heads, t, d) at (0, heads); (t * n, d) at (0, 1) too.
    """

    axis: int
    step: int


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
    reshaped: dict[str, _Place] = {}
    draft.set_batch(batch * _FACTOR)
    while pending:
        after = _shapes(draft)
        places = _places(draft, before, after, reshaped, batch)
        for node in _front(draft, pending):
            del pending[node.output[0]]
            if any(name not in before or name not in after for name in node.input):
                raise NotOpened
            if node.op_type == "Concat":
                _mend_concat(draft, node, places)
            elif node.input[0] in places:
                if node.output[0] not in before:
                    raise NotOpened
                shapes = before[node.input[0]], before[node.output[0]]
                place = _place(shapes, places[node.input[0]], batch)
                reshaped[node.output[0]] = place
                _mend_reshape(draft, node, place, before, after)
    draft.set_batch(None)


def _shapes(draft: Draft) -> dict[str, Dims]:
    """Shapes of all tensors for which every dimension is known."""
    return {
        name: tuple(d.dim_value for d in kind.shape.dim)
        for name, kind in draft.inferred().items()
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
    }


def _places(
    draft: Draft,
    before: dict[str, Dims],
    after: dict[str, Dims],
    reshaped: dict[str, _Place],
    batch: int,
) -> dict[str, _Place]:
    """Where each tensor has the batch, as far as that is known; those without are left out."""
    places = dict(reshaped)
    for name in (*(value.name for value in draft.inputs), *draft.initializers):
        if name in before and before[name] != after.get(name):
            places[name] = _Place(0, 1)
    for node in draft.nodes:
        merged = [places[name] for name in node.input if name in places]
        for name in node.output:
            one, several = before.get(name), after.get(name)
            if name in places or one is None or several is None or len(one) != len(several):
                continue
            grown = [at for at, (b, a) in enumerate(zip(one, several, strict=True)) if b != a]
            if len(grown) == 1 and several[grown[0]] == one[grown[0]] * _FACTOR:
                whole = one[grown[0]] == batch
                places[name] = _Place(grown[0], 1 if whole or not merged else merged[0].step)
    return places


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


def _mend_reshape(
    draft: Draft,
    node: onnx.NodeProto,
    place: _Place,
    before: dict[str, Dims],
    after: dict[str, Dims],
) -> None:
    result = node.output[0]
    sizes = before[result]
    grown = tuple(size * _FACTOR if at == place.axis else size for at, size in enumerate(sizes))
    if after.get(result) != grown:
        shape = [-1 if at == place.axis else size for at, size in enumerate(sizes)]
        name = draft.fresh(f"{result}.shape")
        node.input[1] = draft.add_constant(name, np.array(shape, np.int64))


def _place(shapes: tuple[Dims, Dims], found: _Place, batch: int) -> _Place:
    """Where the result of a Reshape has the batch that its source has in `found`.

    Counted in values, the next image is `stride` further in memory. Of the dimensions
    that have such a stride within them, one that is the batch alone is taken, else
    the one whose slowest part it is (heads of each image), else its fastest.
    """
    source, result = shapes
    stride = found.step * prod(source[found.axis + 1 :])
    inner = [prod(result[at + 1 :]) for at in range(len(result))]
    fits = [
        at
        for at, size in enumerate(result)
        if stride % inner[at] == 0 and (size * inner[at]) % (stride * batch) == 0
    ]
    if not fits:
        raise NotOpened
    alone = [at for at in fits if result[at] == batch and inner[at] == stride]
    slowest = [at for at in fits if result[at] * inner[at] == stride * batch]
    # Features are never spread over images: a last dimension only where nothing else fits.
    slowest = [at for at in slowest if at < len(result) - 1]
    axis = found.axis if found.axis in alone else (alone or slowest or fits)[0]
    return _Place(axis, stride // inner[axis])


def _mend_concat(draft: Draft, node: onnx.NodeProto, places: dict[str, _Place]) -> None:
    """Repeat constants (class tokens) as often as there are images."""
    with_images = next((name for name in node.input if name in places), None)
    if with_images is None:
        return
    for at, name in enumerate(node.input):
        if name not in places:
            node.input[at] = _repeated(draft, node, name, with_images, places[with_images].axis)


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

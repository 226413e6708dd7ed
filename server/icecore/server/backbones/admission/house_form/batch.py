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

from icecore.server.backbones.admission.house_form.draft import BIG, Draft
from icecore.server.backbones.admission.house_form.reading import reads

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
    trail = _Trail(draft, batch)
    for node in draft.nodes:
        if node.op_type == "Reshape":
            trail.follow()
            trail.mend_reshape(node)
        elif node.op_type == "Concat":
            trail.follow()
            trail.mend_concat(node)
        trail.walked.append(node)
    trail.follow()
    draft.nodes = trail.nodes
    for value in draft.outputs:
        value.type.tensor_type.ClearField("shape")
    draft.set_batch(None)


class _Trail:
    """How far the batch has been followed, from the front to the back.

    `before` are the shapes with the file's batch, `after` with _FACTOR times as many
    images; `places` is for tensors that have the batch. `walked` are nodes not yet followed.
    """

    def __init__(self, draft: Draft, batch: int) -> None:
        self._draft = draft
        self._batch = batch
        kinds = draft.inferred()
        self._types = {name: kind.elem_type for name, kind in kinds.items()}
        self.before = {name: d for name, kind in kinds.items() if (d := _dims(kind)) is not None}
        self.after = {name: self.before[name] for name in draft.initializers if name in self.before}
        image = draft.inputs[0].name
        self.after[image] = (batch * _FACTOR, *self.before[image][1:])
        self.places = {image: _Place(0, 1)}
        self.nodes: list[onnx.NodeProto] = []
        self.walked: list[onnx.NodeProto] = []

    def follow(self) -> None:
        """Work out shapes and places behind the nodes walked."""
        nodes, self.walked = self.walked, []
        self.nodes.extend(nodes)
        made = {name for node in nodes for name in node.output if name}
        read = {name for node in nodes for name in reads(node)} - made
        inputs = [
            helper.make_tensor_value_info(name, self._types[name], self.after[name])
            for name in read
            if name in self.after and not self._is_small(name)
        ]
        small = [self._draft.initializers[name] for name in read if self._is_small(name)]
        outputs = [onnx.ValueInfoProto(name=name) for name in made]
        for name, kind in self._draft.inferred_of(nodes, inputs, outputs, small).items():
            if (dims := _dims(kind)) is not None:
                self.after[name] = dims
                self._types[name] = kind.elem_type
        for node in nodes:
            self._place_results(node)

    def mend_reshape(self, node: onnx.NodeProto) -> None:
        """Let a Reshape take the batch from its source."""
        source, result = node.input[0], node.output[0]
        if source not in self.after or source not in self.before:
            raise NotOpened
        if source not in self.places:
            return
        if result not in self.before:
            raise NotOpened
        sizes = self.before[result]
        place = _place((self.before[source], sizes), self.places[source], self._batch)
        self.places[result] = place
        shape = np.array([-1 if at == place.axis else size for at, size in enumerate(sizes)])
        given = self._draft.constant(node.input[1])
        if given is None or not np.array_equal(given, shape):
            name = self._draft.fresh(f"{result}.shape")
            node.input[1] = self._draft.add_constant(name, shape.astype(np.int64))

    def mend_concat(self, node: onnx.NodeProto) -> None:
        """Repeat constants (class tokens) as often as there are images."""
        with_images = next((name for name in node.input if name in self.places), None)
        if with_images is None:
            return
        for at, name in enumerate(node.input):
            if name not in self.places:
                axis = self.places[with_images].axis
                nodes = _repeated(self._draft, name, with_images, axis)
                self.walked.extend(nodes)
                node.input[at] = nodes[-1].output[0]

    def _is_small(self, name: str) -> bool:
        found = self._draft.initializers.get(name)
        return found is not None and prod(found.dims) <= BIG

    def _place_results(self, node: onnx.NodeProto) -> None:
        merged = [self.places[name] for name in node.input if name in self.places]
        for name in node.output:
            one, several = self.before.get(name), self.after.get(name)
            if name in self.places or one is None or several is None or len(one) != len(several):
                continue
            grown = [at for at, (b, a) in enumerate(zip(one, several, strict=True)) if b != a]
            if len(grown) == 1 and several[grown[0]] == one[grown[0]] * _FACTOR:
                alone = one[grown[0]] == self._batch
                step = 1 if alone or not merged else merged[0].step
                self.places[name] = _Place(grown[0], step)


def _dims(kind: onnx.TypeProto.Tensor) -> Dims | None:
    """The shape of a tensor of which every dimension is known."""
    if not kind.HasField("shape") or not all(d.HasField("dim_value") for d in kind.shape.dim):
        return None
    return tuple(d.dim_value for d in kind.shape.dim)


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


def _repeated(draft: Draft, name: str, like: str, axis: int) -> list[onnx.NodeProto]:
    """Nodes that repeat a constant's first row along an axis as often as another tensor has rows.

    Where its rows differ the graph comes out another, which whoever compares will see.
    """
    value = draft.constant(name)
    if value is None:
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
    return [
        helper.make_node("Shape", [like], [f"{stem}.shape"]),
        helper.make_node("Gather", [f"{stem}.shape", at], [f"{stem}.n"]),
        helper.make_node("Concat", parts, [f"{stem}.times"], axis=0),
        helper.make_node("Expand", [once, f"{stem}.times"], [stem]),
    ]

"""Weights drawn anew, and fitted to what comes out of them.

It changes one node's weights at a time and runs nothing; `twins` does, in between.
"""

from math import prod, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from icecore.server.backbones.admission.house_form.draft import Draft, attribute

Array = npt.NDArray[Any]

TOKEN_STD: Final = 0.02
"""Of class tokens and position tables, as vision transformers start with them."""

PRELU_SLOPE: Final = 0.25
"""As PRelu starts (He et al. 2015)."""

_LEAST_STD: Final = 1e-6
"""A channel that varies less over the images is left as it was drawn."""

_STRUCTURAL: Final = ("Clip", "Pad", "Pow", "Resize", "Where")
"""Operators whose constants are no weights."""

_SCALE_AND_SHIFT: Final = {
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1, None),
}
"""Places among the inputs of norms that keep no statistics."""


class Product(NamedTuple):
    """A convolution or matrix product with drawn weights.

    `weight` and `bias` are places among its inputs, `rows` the axis of the weight
    and `axis` that of the result which have the channels that come out.
    """

    weight: int
    rows: int
    bias: int | None
    axis: int


class Redrawing:
    """A draft whose weights are replaced, node by node.

    A weight that several nodes share is from then on each one's own.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in draft.nodes:
            for name in set(node.input):
                self._readers.setdefault(name, []).append(node)
        self._biases: set[str] = set()

    def redraw(self, node: onnx.NodeProto, random: np.random.Generator) -> Product | None:
        """Draw a node's weights; say where they are if it is a product."""
        product = self._product(node)
        if product is not None:
            shape = self._shape(node, product.weight)
            fan_in = prod(shape) // shape[product.rows]
            weight = random.standard_normal(shape, np.float32) * np.float32(sqrt(2 / fan_in))
            self._set(node, product.weight, weight)
            if product.bias is not None and self._shape(node, product.bias):
                shape = self._shape(node, product.bias)
                self._set(node, product.bias, np.zeros(shape, np.float32))
        elif node.op_type in _SCALE_AND_SHIFT:
            scale, shift = _SCALE_AND_SHIFT[node.op_type]
            self._fill(node, scale, 1.0)
            if shift is not None:
                self._fill(node, shift, 0.0)
        elif node.op_type == "PRelu":
            self._fill(node, 1, PRELU_SLOPE)
        elif node.op_type != "BatchNormalization":
            self._redraw_others(node, random)
        return product

    def standardise(self, node: onnx.NodeProto, product: Product, chunks: list[Array]) -> None:
        """Give each channel mean 0 and deviation 1, in the weights and in what came out."""
        mean, std = _statistics(chunks, product.axis)
        scale = np.where(std > _LEAST_STD, 1 / np.maximum(std, _LEAST_STD), 1.0)
        weight = self._value(node, product.weight)
        along = [1] * weight.ndim
        along[product.rows] = -1
        self._set(node, product.weight, (weight * scale.reshape(along)).astype(np.float32))
        shift = (-mean * scale).astype(np.float32)
        carried = self._carry(node, product, shift)
        for chunk in chunks:
            along = [1] * chunk.ndim
            along[product.axis] = -1
            chunk *= scale.astype(np.float32).reshape(along)
            if carried:
                chunk += shift.reshape(along)

    def take_statistics(self, node: onnx.NodeProto, chunks: list[Array]) -> None:
        """Give a batch norm the mean and variance of the images, scale one and shift zero."""
        mean, std = _statistics(chunks, 1)
        variance = np.where(std > _LEAST_STD, std**2, 1.0)
        for place, value in enumerate((np.ones_like(mean), np.zeros_like(mean), mean, variance), 1):
            self._set(node, place, value.astype(np.float32))

    def _product(self, node: onnx.NodeProto) -> Product | None:
        match node.op_type:
            case "Conv" if self._shape(node, 1):
                return Product(1, 0, 2, 1)
            case "Gemm" if self._shape(node, 1):
                # alpha and beta would come on top of the scale that is set here.
                kept = [found for found in node.attribute if found.name not in ("alpha", "beta")]
                del node.attribute[:]
                node.attribute.extend(kept)
                return Product(1, 0 if attribute(node, "transB", 0) else 1, 2, 1)
            case "MatMul" if len(self._shape(node, 1)) == 2:
                return Product(1, 1, None, -1)
            case "MatMul" if len(self._shape(node, 0)) == 2:
                return Product(0, 0, None, -2)
        return None

    def _carry(self, node: onnx.NodeProto, product: Product, shift: Array) -> bool:
        """Find a bias for the shift; whether the node's own result has it then.

        After a bare matrix product that is the constant which is added next. A product in
        front of a batch norm needs none, and one without either keeps its mean.
        """
        place, readers = product.bias, self._readers.get(node.output[0], [])
        if place is not None and len(node.input) > place and node.input[place]:
            shape = self._shape(node, place)
            if shape:
                fits = prod(shape) == shift.size
                self._set(node, place, shift.reshape(shape) if fits else shift)
            return bool(shape)
        if place is not None:
            if [reader.op_type for reader in readers] == ["BatchNormalization"]:
                return False
            del node.input[place:]
            name = self._draft.fresh(f"{node.output[0]}.bias")
            node.input.append(self._draft.add_constant(name, shift))
            return True
        if product.axis == -1 and [reader.op_type for reader in readers] == ["Add"]:
            for at in range(2):
                shape = self._shape(readers[0], at)
                if shape and prod(shape) == shift.size == shape[-1]:
                    self._set(readers[0], at, shift.reshape(shape))
                    self._biases.add(readers[0].input[at])
        return False

    def _redraw_others(self, node: onnx.NodeProto, random: np.random.Generator) -> None:
        """Scales become one; tokens, position tables and what else there is are drawn small.

        A constant of one or two values (a mask, a padding) is structure and stays.
        """
        for place, name in enumerate(node.input):
            shape = self._shape(node, place)
            if prod(shape) < 2 or name in self._biases or node.op_type in _STRUCTURAL:
                continue
            if node.op_type in ("Mul", "Div"):
                self._fill(node, place, 1.0)
            elif np.unique(self._value(node, place)).size > 2:
                drawn = random.standard_normal(shape, np.float32) * np.float32(TOKEN_STD)
                self._set(node, place, drawn)

    def _shape(self, node: onnx.NodeProto, place: int) -> tuple[int, ...]:
        """The shape of a float constant among a node's inputs, () for anything else."""
        name = node.input[place] if place < len(node.input) else ""
        found = self._draft.initializers.get(name)
        is_float = found is not None and found.data_type == onnx.TensorProto.FLOAT
        return tuple(found.dims) if found is not None and is_float else ()

    def _value(self, node: onnx.NodeProto, place: int) -> Array:
        return numpy_helper.to_array(self._draft.initializers[node.input[place]])

    def _fill(self, node: onnx.NodeProto, place: int, value: float) -> None:
        shape = self._shape(node, place)
        if shape:
            self._set(node, place, np.full(shape, value, np.float32))

    def _set(self, node: onnx.NodeProto, place: int, value: Array) -> None:
        name = node.input[place]
        if len(self._readers.get(name, [])) > 1 or list(node.input).count(name) > 1:
            name = self._draft.fresh(f"{node.output[0]}.{place}")
            node.input[place] = name
        self._draft.add_constant(name, value)


def _statistics(chunks: list[Array], axis: int) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel over all chunks, float64."""
    n, sums, squares = 0, np.zeros(()), np.zeros(())
    for chunk in chunks:
        axis %= chunk.ndim
        flat = chunk.reshape(prod(chunk.shape[:axis]), chunk.shape[axis], -1)
        n += flat.shape[0] * flat.shape[2]
        sums = sums + flat.sum(axis=2).sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("acb,acb->ac", flat, flat).sum(axis=0, dtype=np.float64)
    mean = sums / n
    return mean, np.sqrt(np.maximum(squares / n - mean**2, 0.0))

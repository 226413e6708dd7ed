"""Values of small whole numbers in a graph: chains that compute a new shape from an old one.

onnx's own inference follows the plain ones; exporters also write Where, Equal,
ConstantOfShape and Range between. Nothing large is ever made.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from icecore.server.backbones.graphs.attributes import Attributes

Array: TypeAlias = npt.NDArray[Any]

MAX_VALUES = 20_000
"""Of one tensor; a Range over a batch is the longest that is met."""


def values_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    sizes: Mapping[str, Sequence[int]],
) -> dict[str, Array]:
    """Return the values of tensors that follow from constants and from sizes, by name.

    Args:
        constants: small constants by name.
        sizes: of the tensors whose shape is asked for, as far as known.
    """
    known = dict(constants)
    made: dict[str, Array] = {}
    for node in nodes:
        if node.op_type in ("Shape", "Size"):
            value = _shape(node, sizes.get(node.input[0]))
        elif node.op_type in _WAYS and all(name in known for name in node.input if name):
            value = _value(node, [known[name] if name else None for name in node.input])
        else:
            continue
        if value is not None and value.size <= MAX_VALUES:
            known[node.output[0]] = made[node.output[0]] = value
    return made


def _shape(node: onnx.NodeProto, sizes: Sequence[int] | None) -> Array | None:
    if sizes is None:
        return None
    if node.op_type == "Size":
        return np.array(int(np.prod(sizes)), np.int64)
    given = Attributes(node)
    first, end = given.integer("start", 0), given.integer("end", len(sizes))
    return np.array(list(sizes)[first:end], np.int64)


def _value(node: onnx.NodeProto, read: list[Array | None]) -> Array | None:
    """One node's output; None where it would be large, or the node's inputs do not fit."""
    if any(one is not None and one.dtype.kind not in "iub" for one in read):
        return None
    try:
        with np.errstate(all="ignore"):
            value: Array = np.asarray(_WAYS[node.op_type](Attributes(node), *read))
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError):
        return None
    return value


def _new_sizes(shape: Array) -> list[int]:
    sizes = [int(size) for size in shape.reshape(-1)]
    if len(sizes) > 8 or min(sizes, default=1) < 0:
        raise ValueError("no shape")
    n = 1
    for size in sizes:
        n *= size
    if n > MAX_VALUES:
        raise ValueError("too large")
    return sizes


def _filled(given: Attributes, shape: Array) -> Array:
    value = given.value("value")
    fill = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    if fill.dtype.kind not in "iub":
        raise ValueError("no whole numbers")
    return np.full(_new_sizes(shape), fill.reshape(-1)[0])


def _counted(_: Attributes, start: Array, limit: Array, delta: Array) -> Array:
    first, end, step = int(start), int(limit), int(delta)
    if abs(end - first) > MAX_VALUES * abs(step):
        raise ValueError("too large")
    return np.arange(first, end, step, dtype=np.int64)


def _cast(given: Attributes, value: Array) -> Array:
    kind = onnx.helper.tensor_dtype_to_np_dtype(given.integer("to", 0))
    if kind.kind not in "iub":
        raise ValueError("no whole numbers")
    return value.astype(kind)


def _sliced(_: Attributes, value: Array, first: Array, end: Array, *more: Array | None) -> Array:
    axes = more[0] if more and more[0] is not None else np.arange(first.size)
    steps = more[1] if len(more) > 1 and more[1] is not None else np.ones(first.size, np.int64)
    which = [slice(None)] * value.ndim
    for axis, a, b, step in zip(axes, first, end, steps, strict=True):
        which[int(axis)] = slice(int(a), int(b), int(step))
    part: Array = value[tuple(which)]
    return part


def _squeezed(_: Attributes, value: Array, axes: Array | None = None) -> Array:
    which = None if axes is None else tuple(int(i) for i in axes.reshape(-1))
    return np.squeeze(value, which)


def _divided(_: Attributes, a: Array, b: Array) -> Array:
    """Whole numbers are divided towards zero."""
    whole: Array = (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return whole


_WAYS: dict[str, Callable[..., Any]] = {
    "Abs": lambda _, a: np.abs(a),
    "Add": lambda _, a, b: a + b,
    "Cast": _cast,
    "Concat": lambda given, *read: np.concatenate(read, given.integer("axis", 0)),
    "ConstantOfShape": _filled,
    "Div": _divided,
    "Equal": lambda _, a, b: a == b,
    "Expand": lambda _, a, shape: a * np.ones(_new_sizes(shape), a.dtype),
    "Gather": lambda given, a, index: np.take(a, index, given.integer("axis", 0)),
    "Greater": lambda _, a, b: a > b,
    "Identity": lambda _, a: a,
    "Less": lambda _, a, b: a < b,
    "Max": lambda _, a, b: np.maximum(a, b),
    "Min": lambda _, a, b: np.minimum(a, b),
    "Mod": lambda _, a, b: np.mod(a, b),
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, a: -a,
    "Not": lambda _, a: ~a,
    "Range": _counted,
    "Reshape": lambda _, a, shape: a.reshape([int(i) for i in shape]),
    "Slice": _sliced,
    "Squeeze": _squeezed,
    "Sub": lambda _, a, b: a - b,
    "Unsqueeze": lambda _, a, axes: np.expand_dims(a, tuple(int(i) for i in axes.reshape(-1))),
    "Where": lambda _, c, a, b: np.where(c, a, b),
}

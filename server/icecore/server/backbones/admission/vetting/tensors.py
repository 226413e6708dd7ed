"""What a file's constants may be: numbers, here, as many as they say."""

from math import prod
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import shown, sparse_of, tensors_of
from icecore.server.errors import GraphInvalid, GraphTooCostly

_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)

_SIZES: Final[dict[int, float]] = {
    TensorProto.FLOAT: 4,
    TensorProto.UINT8: 1,
    TensorProto.INT8: 1,
    TensorProto.UINT16: 2,
    TensorProto.INT16: 2,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
    TensorProto.BOOL: 1,
    TensorProto.FLOAT16: 2,
    TensorProto.DOUBLE: 8,
    TensorProto.UINT32: 4,
    TensorProto.UINT64: 8,
    TensorProto.BFLOAT16: 2,
}
"""Bytes a value of the types that are let in. Text and complex numbers are not."""


def vet_tensors(model: onnx.ModelProto, limits: AdmissionLimits) -> None:
    """Raise for constants that are elsewhere, of another type or size than they say, or no numbers.

    Raises:
        GraphInvalid: as said.
        GraphTooCostly: a sparse constant that is too large when written out.
    """
    for tensor in tensors_of(model):
        _vet_place(tensor)
        _vet_amount(tensor, limits)
        _vet_numbers(tensor)
    n_values = 0
    for sparse in sparse_of(model):
        _vet_dims(sparse.values.name, tuple(sparse.dims), limits)
        n_values += prod(sparse.dims)
        if 4 * n_values > limits.max_tensor_bytes:
            raise GraphTooCostly(
                f"the graph's sparse constants hold {n_values:,} values when written out, "
                f"but {limits.max_tensor_bytes // 4:,} are the most"
            )


def _vet_place(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise GraphInvalid(
            f"the graph keeps tensor {shown(tensor.name)} in another file, but must hold all of "
            "its data; onnx.save_model with save_as_external_data=False writes it so"
        )
    if tensor.HasField("segment"):
        raise GraphInvalid(f"the graph keeps tensor {shown(tensor.name)} in segments")


def _vet_amount(tensor: TensorProto, limits: AdmissionLimits) -> None:
    kind = tensor.data_type
    if kind not in _SIZES:
        known = kind in TensorProto.DataType.values()
        told = TensorProto.DataType.Name(kind).lower() if known else f"number {kind}"
        raise GraphInvalid(
            f"the graph's tensor {shown(tensor.name)} is of type {told}, "
            "but must hold real numbers of a usual type"
        )
    dims = tuple(tensor.dims)
    _vet_dims(tensor.name, dims, limits)
    wanted = prod(dims)
    there = _n_values(tensor)
    if there != wanted:
        raise GraphInvalid(
            f"the graph's tensor {shown(tensor.name)} says that it has {_values(wanted)}, "
            f"but holds {_values(there)}"
        )


def _n_values(tensor: TensorProto) -> float:
    """How many values are there, whatever the dimensions say; each type has a field of its own."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) / _SIZES[tensor.data_type]
    match tensor.data_type:
        case TensorProto.FLOAT:
            return len(tensor.float_data)
        case TensorProto.DOUBLE:
            return len(tensor.double_data)
        case TensorProto.INT64:
            return len(tensor.int64_data)
        case TensorProto.UINT32 | TensorProto.UINT64:
            return len(tensor.uint64_data)
        case _:
            return len(tensor.int32_data)


def _vet_dims(name: str, dims: tuple[int, ...], limits: AdmissionLimits) -> None:
    if len(dims) > limits.max_rank:
        raise GraphInvalid(
            f"the graph's tensor {shown(name)} has {len(dims):,} dimensions, "
            f"but {limits.max_rank} are the most"
        )
    if any(dim < 0 for dim in dims):
        raise GraphInvalid(f"the graph's tensor {shown(name)} has the shape {dims!r}, below 0")


def _vet_numbers(tensor: TensorProto) -> None:
    if tensor.data_type not in _FLOATS:
        return
    try:
        values = numpy_helper.to_array(tensor)
    except (OverflowError, ValueError) as error:
        raise GraphInvalid(
            f"the graph's tensor {shown(tensor.name)} holds values that its type has not"
        ) from error
    # A sum is not a number where any of them is not, and takes no memory; infinities may cancel.
    with np.errstate(invalid="ignore", over="ignore"):
        is_suspect = bool(np.isnan(values.sum(dtype=np.float64)))
    if is_suspect and bool(np.isnan(values).any()):
        raise GraphInvalid(
            f"the graph's tensor {shown(tensor.name)} holds values that are no numbers"
        )


def _values(n: float) -> str:
    if n >= 1e15:
        return f"{n:.1e} values"
    return f"{n:,.0f} values" if n == int(n) else f"{n:,.2f} values"

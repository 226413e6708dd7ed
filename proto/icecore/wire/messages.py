"""Values to protobuf and back, for the server's door and the client.

Pairs of `X_to_message` and `X_from_message`. What a message may hold but a value
may not raises ValueError with a sentence. Arrays travel as little-endian bytes:
`repeated float` costs hundreds of times as much to encode.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.v1 import common_pb2
from icecore.wire.codes import CodeArray, Codes
from icecore.wire.taps import GEM_P, Activation, Pooling, PoolingKind, TapId

TensorArray: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]
ImageContent: TypeAlias = bytes | TensorArray

MAX_TENSOR_DIMENSIONS = 4
"""Images have three and codes two or four; more is a mistake."""

_ACTIVATIONS = {
    common_pb2.ACTIVATION_AS_TRAINED: Activation.AS_TRAINED,
    common_pb2.ACTIVATION_RELU: Activation.RELU,
    common_pb2.ACTIVATION_NONE: Activation.NONE,
}
_POOLINGS = {
    common_pb2.POOLING_KIND_AVG: PoolingKind.AVG,
    common_pb2.POOLING_KIND_MAX: PoolingKind.MAX,
    common_pb2.POOLING_KIND_GEM: PoolingKind.GEM,
    common_pb2.POOLING_KIND_GRID: PoolingKind.GRID,
    common_pb2.POOLING_KIND_NONE: PoolingKind.NONE,
    common_pb2.POOLING_KIND_CLS: PoolingKind.CLS,
}
_DTYPES: dict[common_pb2.DType.ValueType, np.dtype[Any]] = {
    common_pb2.D_TYPE_FLOAT32: np.dtype("<f4"),
    common_pb2.D_TYPE_FLOAT16: np.dtype("<f2"),
    common_pb2.D_TYPE_UINT8: np.dtype("u1"),
}
_ACTIVATION_NUMBERS = {value: number for number, value in _ACTIVATIONS.items()}
_POOLING_NUMBERS = {value: number for number, value in _POOLINGS.items()}


def activation_to_message(activation: Activation) -> common_pb2.Activation.ValueType:
    return _ACTIVATION_NUMBERS[activation]


def activation_from_message(number: common_pb2.Activation.ValueType) -> Activation:
    """Return the activation; unspecified is AS_TRAINED.

    Raises:
        ValueError: a number that the contract does not have.
    """
    if number == common_pb2.ACTIVATION_UNSPECIFIED:
        return Activation.AS_TRAINED
    if number not in _ACTIVATIONS:
        raise ValueError(
            f"activation {int(number)!r} is not known: {_numbers(common_pb2.Activation.items())}"
        )
    return _ACTIVATIONS[number]


def pooling_to_message(pooling: Pooling) -> common_pb2.Pooling:
    return common_pb2.Pooling(kind=_POOLING_NUMBERS[pooling.kind], gem_p=pooling.gem_p)


def pooling_from_message(message: common_pb2.Pooling) -> Pooling:
    """Return the pooling; unspecified is AVG, and GEM without an exponent has 3.

    Raises:
        ValueError: an unknown kind, or an exponent out of range or not of GEM.
    """
    number = message.kind or common_pb2.POOLING_KIND_AVG
    if number not in _POOLINGS:
        raise ValueError(
            f"pooling {int(number)!r} is not known: {_numbers(common_pb2.PoolingKind.items())}"
        )
    kind = _POOLINGS[number]
    if kind is PoolingKind.GEM and message.gem_p == 0.0:
        return Pooling(kind, GEM_P)
    return Pooling(kind, message.gem_p)


def dtype_to_message(dtype: npt.DTypeLike) -> common_pb2.DType.ValueType:
    """Return the number of float32, float16 or uint8.

    Raises:
        ValueError: any other dtype.
    """
    wanted = np.dtype(dtype).newbyteorder("<")
    for number, known in _DTYPES.items():
        if known == wanted:
            return number
    raise ValueError(f"dtype {np.dtype(dtype).name!r} is not float32, float16 or uint8")


def codes_dtype_from_message(
    number: common_pb2.DType.ValueType,
) -> np.dtype[np.float32] | np.dtype[np.float16]:
    """Return the dtype that codes are asked in; unspecified is float32.

    Raises:
        ValueError: neither float32 nor float16.
    """
    if number in (common_pb2.D_TYPE_UNSPECIFIED, common_pb2.D_TYPE_FLOAT32):
        return np.dtype(np.float32)
    if number == common_pb2.D_TYPE_FLOAT16:
        return np.dtype(np.float16)
    raise ValueError(f"codes are float32 (1) or float16 (2), not dtype {int(number)!r}")


def tensor_to_message(array: TensorArray) -> common_pb2.Tensor:
    """Return the array's bytes with dtype and shape; copies once.

    Raises:
        ValueError: not float32, float16 or uint8.
    """
    return common_pb2.Tensor(
        dtype=dtype_to_message(array.dtype), shape=array.shape, data=_to_bytes(array)
    )


def tensor_from_message(message: common_pb2.Tensor) -> TensorArray:
    """Return a read-only array over the message's bytes.

    Raises:
        ValueError: dtype missing or unknown, or bytes that do not fill the shape.
    """
    if message.dtype == common_pb2.D_TYPE_UNSPECIFIED:
        raise ValueError("the tensor has no dtype: float32 (1), float16 (2) or uint8 (3)")
    array: TensorArray = _to_array("tensor", message.dtype, message.shape, message.data)
    return array


def image_to_message(content: ImageContent) -> common_pb2.Image:
    """Return an image of encoded bytes or of an array.

    Raises:
        ValueError: an array that is neither uint8 (pixels) nor float32.
    """
    if isinstance(content, bytes):
        return common_pb2.Image(encoded=content)
    if content.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise ValueError(
            f"the image is an array of {content.dtype.name!r}, but pixels are uint8 (h, w, 3) and "
            "what comes after the recipe is float32 (3, h, w)"
        )
    return common_pb2.Image(tensor=tensor_to_message(content))


def image_from_message(message: common_pb2.Image) -> ImageContent:
    """Return encoded bytes, or an array of uint8 or float32.

    The array's shape and values, and what the bytes hold, are not looked at.

    Raises:
        ValueError: no content, or a tensor that is broken or of float16.
    """
    match message.WhichOneof("content"):
        case "encoded":
            return message.encoded
        case "tensor":
            if message.tensor.dtype == common_pb2.D_TYPE_FLOAT16:
                raise ValueError(
                    "the image is a float16 tensor, but pixels are uint8 (h, w, 3) and what "
                    "comes after the recipe is float32 (3, h, w)"
                )
            return tensor_from_message(message.tensor)
        case _:
            raise ValueError("the image has neither encoded bytes nor a tensor")


def tap_to_message(tap: TapId) -> common_pb2.Tap:
    return common_pb2.Tap(
        backbone=tap.backbone,
        digest=tap.digest,
        layer=tap.layer,
        depth=tap.depth,
        activation=activation_to_message(tap.activation),
        pooling=pooling_to_message(tap.pooling),
    )


def tap_from_message(message: common_pb2.Tap) -> TapId:
    """Return the tap's identity with its labels.

    Raises:
        ValueError: no layer, no digest of 64 digits, or an unknown activation or pooling.
    """
    return TapId(
        digest=message.digest,
        layer=message.layer,
        activation=activation_from_message(message.activation),
        pooling=pooling_from_message(message.pooling),
        backbone=message.backbone,
        depth=message.depth,
    )


def codes_to_message(codes: Codes) -> common_pb2.Codes:
    return common_pb2.Codes(
        tap=tap_to_message(codes.tap),
        dtype=dtype_to_message(codes.values.dtype),
        shape=codes.values.shape,
        data=_to_bytes(codes.values),
    )


def codes_from_message(message: common_pb2.Codes) -> Codes:
    """Return codes over the message's bytes, without a copy on little-endian machines.

    Raises:
        ValueError: no tap, another dtype than float32 or float16, bytes that do not
            fill the shape, a shape not of the tap's pooling, or a value not finite.
    """
    if not message.HasField("tap"):
        raise ValueError("the codes have no tap")
    dtype = dtype_to_message(codes_dtype_from_message(message.dtype))
    values: CodeArray = _to_array("codes", dtype, message.shape, message.data)
    return Codes(values, tap_from_message(message.tap))


def _to_bytes(array: TensorArray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _to_array(
    noun: str, number: common_pb2.DType.ValueType, sizes: Sequence[int], data: bytes
) -> Any:
    if number not in _DTYPES:
        raise ValueError(
            f"the {noun}'s dtype {int(number)!r} is not known: {_numbers(common_pb2.DType.items())}"
        )
    dtype, shape = _DTYPES[number], tuple(sizes)
    if len(shape) > MAX_TENSOR_DIMENSIONS:
        raise ValueError(
            f"the {noun} has {len(shape)} dimensions, but {MAX_TENSOR_DIMENSIONS} is the most"
        )
    # Python's integers, since the product of a hostile shape overflows numpy's.
    wanted = math.prod(shape) * dtype.itemsize
    if any(size < 0 for size in shape) or wanted != len(data):
        raise ValueError(
            f"the {noun} has {len(data)} bytes, but shape {shape!r} of {dtype.name} needs {wanted}"
        )
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))


def _numbers(items: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in items if number)

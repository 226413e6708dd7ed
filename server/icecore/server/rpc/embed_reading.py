"""An EmbedRequest without copies of its images: arrays and files lie where gRPC put them.

protobuf copies the bytes of a tensor once when it parses and again when they are asked for,
which costs more than all else that is done with a request here. So what has the form that
every encoder gives a message is taken apart by hand; anything else is left to protobuf. What
stands beside the images is parsed by protobuf, once for all requests that say the same.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.scheduling.pieces import Priority
from icecore.server.rpc import arguments, inputs, nesting
from icecore.server.rpc.fields import BYTES, Unreadable, all_fields, fields
from icecore.v1 import codes_pb2, common_pb2
from icecore.wire import messages
from icecore.wire.taps import Activation, Pooling

_PIXELS: Final = np.dtype(np.uint8)
_IMAGES: Final = codes_pb2.EmbedRequest.IMAGES_FIELD_NUMBER
_ENCODED: Final = common_pb2.Image.ENCODED_FIELD_NUMBER
_TENSOR: Final = common_pb2.Image.TENSOR_FIELD_NUMBER
_DATA: Final = common_pb2.Tensor.DATA_FIELD_NUMBER

_MOST_KEPT: Final = 1024
_LONGEST_KEPT: Final = 1024
"""Bytes; the same layers and backbone are asked for again and again, in a few dozen bytes."""

_MOST_BESIDE_DATA: Final = 16
"""Fields of a tensor that are looked at by hand: its dtype, and a size for each dimension."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What a request says beside its images. Compared as an object: see `Kept`."""

    is_kept: ClassVar[bool] = False

    backbone: str
    layers: tuple[str, ...]
    activation: Activation
    pooling: Pooling
    dtype: np.dtype[Any]
    priority: Priority


@dataclass(frozen=True, slots=True, eq=False)
class Kept(Wanted):
    """The same object for all requests that say it in the same few bytes."""

    is_kept: ClassVar[bool] = True


class EmbedRequest:
    """A request, taken apart but not checked.

    Args:
        beside: the fields that are not images, as they came.
        images: none where `message` has them.
        message: the whole request, where protobuf had to read it.
    """

    __slots__ = ("_beside", "_images", "_message")

    def __init__(
        self,
        beside: bytes,
        images: Sequence[ImageInput],
        message: codes_pb2.EmbedRequest | None = None,
    ) -> None:
        self._beside = beside
        self._images = images
        self._message = message

    def wanted(self) -> Wanted:
        """Raises NameInvalid, InvalidArgument, PoolingInvalid, DTypeInvalid, PriorityInvalid."""
        if self._message is not None:
            return _wanted(self._message)
        if len(self._beside) > _LONGEST_KEPT:
            return _wanted(codes_pb2.EmbedRequest.FromString(self._beside))
        return _kept_wanted(self._beside)

    def images(self) -> Sequence[ImageInput]:
        """Return the images, undecoded. Raises as `inputs.images`."""
        if self._message is not None:
            return inputs.images(self._message.images)
        inputs.check_number(len(self._images))
        return self._images


def read(data: bytes) -> EmbedRequest:
    """Return the request that `data` is.

    Raises:
        DecodeError: it is none.
        InvalidArgument: it has too many fields, or numbers in lists.
    """
    like = _LAYOUTS.get(len(data))
    if like is not None and data.startswith(like.head) and data.endswith(like.tail):
        return EmbedRequest(like.beside, (_array(data, like.dtype, like.shape, len(like.head)),))
    try:
        return _apart(data)
    except Unreadable:
        nesting.check(data, codes_pb2.EmbedRequest.DESCRIPTOR)
        return EmbedRequest(b"", (), codes_pb2.EmbedRequest.FromString(data))


@dataclass(frozen=True, slots=True)
class _Layout:
    """A request for one tensor: all its bytes but the tensor's, and what they say.

    Another one as long, with the same bytes around, can say nothing else.
    """

    head: bytes
    tail: bytes
    beside: bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


_LAYOUTS: Final[dict[int, _Layout]] = {}
"""The one seen last of each length."""


def _remember(data: bytes, beside: bytes, first: int, array: npt.NDArray[Any]) -> None:
    head, tail = data[:first], data[first + array.nbytes :]
    if len(head) + len(tail) > _LONGEST_KEPT:
        return
    if len(_LAYOUTS) >= _MOST_KEPT:
        _LAYOUTS.clear()
    _LAYOUTS[len(data)] = _Layout(head, tail, beside, array.dtype, array.shape)


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], first: int) -> ImageInput:
    array = np.frombuffer(data, dtype, prod(shape), first).reshape(shape)
    return Pixels(array) if dtype == _PIXELS else Prepared(array)


def _apart(data: bytes) -> EmbedRequest:
    found = all_fields(data)
    if found is None or sys.byteorder != "little":
        raise Unreadable
    beside = []
    images = []
    after = 0
    for number, kind, start, first, end in found:
        if number != _IMAGES:
            beside.append(data[start:end])
        elif kind == BYTES:
            images.append(_image(data, first, end))
            after = end
        else:
            raise Unreadable
    others = b"".join(beside)
    check = _check if len(others) <= _LONGEST_KEPT else _check.__wrapped__  # too long to be kept
    check(others)
    if len(images) == 1 and not isinstance(only := images[0], Encoded):
        _remember(data, others, after - only.array.nbytes, only.array)
    return EmbedRequest(others, images)


def _image(data: bytes, first: int, end: int) -> ImageInput:
    """The image whose message lies there: one field, which has all of it."""
    number, kind, _, inner, inner_end = next(fields(data, first, end, most=1), (0, 0, 0, 0, 0))
    if inner_end != end or kind != BYTES:
        raise Unreadable
    if number == _ENCODED:
        return Encoded(data[inner:end])
    if number != _TENSOR:
        raise Unreadable
    for name, content, tag, begin, stop in fields(data, inner, end, most=_MOST_BESIDE_DATA):
        if name == _DATA:
            if stop != end or content != BYTES or tag - inner > _LONGEST_KEPT:
                raise Unreadable
            dtype, shape = _header(data[inner:tag])
            if prod(shape) * dtype.itemsize != end - begin:
                raise Unreadable
            return _array(data, dtype, shape, begin)
    raise Unreadable


@lru_cache(maxsize=_MOST_KEPT)
def _header(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Dtype and shape of a tensor without its data."""
    try:
        tensor = common_pb2.Tensor.FromString(data)
    except DecodeError as error:
        raise Unreadable from error
    shape = tuple(tensor.shape)
    if len(shape) > messages.MAX_TENSOR_DIMENSIONS or min(shape, default=0) <= 0:
        raise Unreadable
    if tensor.dtype == common_pb2.D_TYPE_UINT8:
        return np.dtype(np.uint8), shape
    if tensor.dtype == common_pb2.D_TYPE_FLOAT32:
        return np.dtype(np.float32), shape
    raise Unreadable


@lru_cache(maxsize=_MOST_KEPT)
def _check(beside: bytes) -> None:
    """Raises DecodeError, InvalidArgument: no request without images."""
    nesting.check(beside, codes_pb2.EmbedRequest.DESCRIPTOR)
    codes_pb2.EmbedRequest.FromString(beside)


@lru_cache(maxsize=_MOST_KEPT)
def _kept_wanted(beside: bytes) -> Wanted:
    return _wanted(codes_pb2.EmbedRequest.FromString(beside), kind=Kept)


def _wanted(request: codes_pb2.EmbedRequest, *, kind: type[Wanted] = Wanted) -> Wanted:
    return kind(
        layers=inputs.layers(request.layers),
        activation=inputs.activation(request.activation),
        pooling=inputs.pooling(request.pooling),
        dtype=np.dtype(inputs.dtype(request.dtype)),
        priority=inputs.priority(request.priority),
        backbone=arguments.named("backbone", request.backbone) if request.backbone else "",
    )

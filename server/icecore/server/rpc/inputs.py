"""What a request says about images, codes and taps, as values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.orders import CALL_LIMITS
from icecore.server.embedding.scheduling.pieces import Priority
from icecore.server.errors import (
    CodesInvalid,
    DTypeInvalid,
    ImageInvalid,
    ImagesEmpty,
    ImagesTooMany,
    InvalidArgument,
    PoolingInvalid,
    PriorityInvalid,
    TensorInvalid,
)
from icecore.server.rpc import arguments
from icecore.v1 import common_pb2
from icecore.wire import messages
from icecore.wire.codes import Codes
from icecore.wire.taps import Activation, Pooling

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_LAYER_LENGTH = 1024
MAX_LAYERS = 4096
MAX_IMAGES = CALL_LIMITS.max_images

_PRIORITIES = {
    common_pb2.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    common_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    common_pb2.PRIORITY_BULK: Priority.BULK,
}

T = TypeVar("T")


def layers(specs: Sequence[str]) -> tuple[str, ...]:
    """Return the layers as the caller named them; what they mean is the backbone's.

    Raises:
        InvalidArgument: too many.
        NameInvalid: too long, or with control characters.
    """
    return tuple(layer(spec) for spec in check_number_of_layers(specs))


def check_number_of_layers(layers: Sequence[T]) -> Sequence[T]:
    """Raises InvalidArgument: too many, as also "*" said a hundred times would be."""
    if len(layers) > MAX_LAYERS:
        raise InvalidArgument(f"there are {len(layers):,} layers, but {MAX_LAYERS:,} are the most")
    return layers


def layer(spec: str) -> str:
    """Raises NameInvalid."""
    return arguments.free_text("layer", spec, max_length=MAX_LAYER_LENGTH, may_be_empty=True)


def activation(number: common_pb2.Activation.ValueType) -> Activation:
    """Raises InvalidArgument."""
    try:
        return messages.activation_from_message(number)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def pooling(message: common_pb2.Pooling) -> Pooling:
    """Raises PoolingInvalid."""
    try:
        return messages.pooling_from_message(message)
    except ValueError as error:
        raise PoolingInvalid(str(error)) from error


def dtype(number: common_pb2.DType.ValueType) -> "npt.DTypeLike":
    """Return the dtype that codes are wanted in. Raises DTypeInvalid."""
    try:
        return messages.codes_dtype_from_message(number)
    except ValueError as error:
        raise DTypeInvalid(str(error)) from error


def priority(number: common_pb2.Priority.ValueType) -> Priority:
    """Return whose turn it is among the tenant's own images. Raises PriorityInvalid."""
    if number not in _PRIORITIES:
        known = ", ".join(f"{name} ({n})" for name, n in common_pb2.Priority.items() if n)
        raise PriorityInvalid(f"priority {int(number)!r} is not known: {known}")
    return _PRIORITIES[number]


def codes(message: common_pb2.Codes) -> Codes:
    """Raises CodesInvalid, also where there is no row."""
    try:
        value = messages.codes_from_message(message)
    except ValueError as error:
        raise CodesInvalid(str(error)) from error
    if not len(value):
        raise CodesInvalid("the codes are of no image; at least one row is needed")
    return value


def images(sent: Sequence[common_pb2.Image]) -> list[ImageInput]:
    """Return the images of a request, undecoded.

    Raises:
        ImagesEmpty, ImagesTooMany: none, or more than any call may have.
        ImageInvalid, TensorInvalid: one that is neither bytes nor a sound tensor;
            `details["image"]` is its index.
    """
    check_number(len(sent))
    return [image(one, index) for index, one in enumerate(sent)]


def check_number(n_images: int) -> None:
    """Look before anything is made of each of a million. Raises ImagesEmpty, ImagesTooMany."""
    if n_images == 0:
        raise ImagesEmpty("there are no images; at least one is needed")
    if n_images > MAX_IMAGES:
        raise ImagesTooMany(
            f"there are {n_images:,} images, but {MAX_IMAGES:,} at once are the most"
        )


def image(sent: common_pb2.Image, index: int) -> ImageInput:
    """Raises ImageInvalid, TensorInvalid."""
    try:
        content: Any = messages.image_from_message(sent)
    except ValueError as error:
        kind = TensorInvalid if sent.WhichOneof("content") == "tensor" else ImageInvalid
        raise kind(f"image {index}: {error}", image=str(index)) from error
    if isinstance(content, bytes):
        return Encoded(content)
    return Pixels(content) if content.dtype == np.uint8 else Prepared(content)

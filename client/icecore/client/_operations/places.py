"""Arguments that several calls share: layers, pooling, activation, choices, images."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np

from icecore.client.errors import InvalidArgument
from icecore.client.input_values import ImageInput, LayerSpec, Priority
from icecore.v1 import common_pb2
from icecore.wire import messages
from icecore.wire.reasons import Reason
from icecore.wire.taps import GEM_P, Activation, Pooling, PoolingKind

E = TypeVar("E", bound=StrEnum)

_PRIORITIES = {
    Priority.INTERACTIVE: common_pb2.PRIORITY_INTERACTIVE,
    Priority.BULK: common_pb2.PRIORITY_BULK,
}


def choice(noun: str, kind: type[E], value: str, reason: Reason = Reason.ARGUMENT_INVALID) -> E:
    """Return the member that `value` names.

    Raises:
        InvalidArgument: there is none; the sentence lists those there are.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise InvalidArgument(f"{noun} {value!r} is not known: {known}", reason=reason) from None


def activation_message(activation: Activation | str) -> common_pb2.Activation.ValueType:
    return messages.activation_to_message(choice("activation", Activation, activation))


def priority_message(priority: Priority | str) -> common_pb2.Priority.ValueType:
    return _PRIORITIES[choice("priority", Priority, priority, Reason.PRIORITY_INVALID)]


def pooling_message(pooling: Pooling | str) -> common_pb2.Pooling:
    """Return the message of a pooling, or of the kind that a string names."""
    if not isinstance(pooling, Pooling):
        kind = choice("pooling", PoolingKind, pooling, Reason.POOLING_INVALID)
        pooling = Pooling(kind, GEM_P if kind is PoolingKind.GEM else 0.0)
    return messages.pooling_to_message(pooling)


def layer_names(layers: LayerSpec | Sequence[LayerSpec]) -> list[str]:
    """Return layers as the wire names them. One alone is one, not its letters."""
    if isinstance(layers, int | str):
        layers = (layers,)
    return [layer_name(layer) for layer in layers]


def layer_name(layer: LayerSpec) -> str:
    if isinstance(layer, bool) or not isinstance(layer, int | str):
        raise InvalidArgument(f"layer {layer!r} is neither a depth nor a name")
    return str(layer)


def text(noun: str, value: str) -> str:
    """Return text that protobuf can hold; names of files may hold what it cannot.

    Raises:
        InvalidArgument: it is not text, or has bytes that are not UTF-8.
    """
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidArgument(
            f"{noun} {value!r} is not text in UTF-8", reason=Reason.NAME_INVALID
        ) from None
    return value


def image_messages(images: Iterable[ImageInput]) -> list[common_pb2.Image]:
    """Return messages of images; files are read here.

    Raises:
        InvalidArgument: not an image input; the sentence names its place.
        OSError: a file cannot be read.
    """
    if isinstance(images, bytes | Path | np.ndarray | str):
        raise InvalidArgument(
            f"images are one {type(images).__name__!r}, but must be a sequence of images"
        )
    return [image_message(image, f"image {place}") for place, image in enumerate(images)]


def image_message(image: ImageInput, name: str) -> common_pb2.Image:
    """Return the message of one image, which errors call `name`."""
    file = file_of(image)
    if file is not None:
        return common_pb2.Image(encoded=file.read_bytes())
    if not isinstance(image, bytes | np.ndarray):
        raise InvalidArgument(
            f"{name} is a {type(image).__name__!r}, but must be bytes, a path, or a "
            "numpy array of uint8 (h, w, 3) or float32 (3, h, w)"
        )
    try:
        return messages.image_to_message(image)
    except ValueError as error:
        raise InvalidArgument(f"{name}: {error}", reason=Reason.TENSOR_INVALID) from None


def require_many(images: object) -> None:
    """Refuse one image where many belong.

    Raises:
        InvalidArgument: it is one.
    """
    is_one_array = isinstance(images, np.ndarray) and images.ndim == 3
    if isinstance(images, bytes | Path | str) or is_one_array:
        raise InvalidArgument(
            f"images are one {type(images).__name__!r}, but must be many images, such as a list"
        )


def file_of(image: ImageInput) -> Path | None:
    """Return the file that an image is given by, if it is; a text is its path.

    Raises:
        InvalidArgument: a text that no file is called.
    """
    if isinstance(image, str) and (not image or "\0" in image):
        raise InvalidArgument(f"{image!r} is not the path of an image")
    return Path(image) if isinstance(image, str | Path) else None


def image_bytes(image: ImageInput) -> int:
    """Return about how much of a message an image takes; files are not read.

    Raises:
        OSError: there is no such file.
        InvalidArgument: a text that no file is called.
    """
    file = file_of(image)
    if file is not None:
        return file.stat().st_size
    return len(image) if isinstance(image, bytes) else int(getattr(image, "nbytes", 0))

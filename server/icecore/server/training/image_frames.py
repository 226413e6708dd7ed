"""Images on their way to a worker: what they are, in JSON, and their bytes as a frame."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared


def described(image: ImageInput) -> dict[str, object]:
    """Return what `image_of` needs to know beside the bytes."""
    match image:
        case Encoded():
            return {"kind": "encoded"}
        case Pixels(array):
            return {"kind": "pixels", "dtype": array.dtype.str, "shape": list(array.shape)}
        case Prepared(array):
            return {"kind": "prepared", "dtype": array.dtype.str, "shape": list(array.shape)}


def content(image: ImageInput) -> bytes | memoryview:
    """Return the bytes to send."""
    if isinstance(image, Encoded):
        return image.data
    return np.ascontiguousarray(image.array).reshape(-1).view(np.uint8).data


def image_of(entry: Mapping[str, Any], data: bytes) -> ImageInput:
    """Return the image that was described so."""
    if entry["kind"] == "encoded":
        return Encoded(data)
    array = np.frombuffer(data, np.dtype(entry["dtype"])).reshape(entry["shape"])
    return Pixels(array) if entry["kind"] == "pixels" else Prepared(array)

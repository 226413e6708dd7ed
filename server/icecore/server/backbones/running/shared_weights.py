"""Weights that several sessions hold at once, each once in memory."""

from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

LEAST_BYTES = 1024
"""Smaller ones are not worth the looking up."""

_ALIGNMENT = 64
"""Bytes of a cache line, as ONNX Runtime's own allocator aligns."""


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor that sessions share; whoever runs one of them keeps it."""

    value: ort.OrtValue
    n_bytes: int


class SharedWeights:
    """Finds equal weights by their content. It keeps none: sessions do. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakValueDictionary[bytes, Weight] = WeakValueDictionary()

    @property
    def n_bytes(self) -> int:
        """Bytes of all that some session keeps."""
        with self._lock:
            return sum(weight.n_bytes for weight in self._known.values())

    def get(self, stored: memoryview) -> Weight | None:
        """Return the weight of a stored TensorProto; None where it is too small to share."""
        if len(stored) < LEAST_BYTES:
            return None
        tensor = onnx.TensorProto.FromString(bytes(stored))
        array = np.ascontiguousarray(numpy_helper.to_array(tensor))
        content = sha256(f"{array.dtype.str} {array.shape}".encode())
        content.update(array.tobytes())
        with self._lock:
            weight = self._known.get(content.digest())
            if weight is None:
                weight = Weight(ort.OrtValue.ortvalue_from_numpy(_aligned(array)), array.nbytes)
                self._known[content.digest()] = weight
            return weight


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that starts at a cache line."""
    room = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    made = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made

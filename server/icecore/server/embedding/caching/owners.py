"""What an array holds in memory: all of what it is a view of, which may be a whole message."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LARGER: Final = 8
_LARGER_BYTES: Final = 4 << 10
"""What is larger than the array by an eighth of it and this holds more than the array: a message
for one tensor is larger by a few hundred bytes, one for two by the half."""


def held_bytes(array: npt.NDArray[Any]) -> int | None:
    """Return the bytes of what the array is a view of, its own if of nothing; None: not known."""
    owner: object = array
    while True:
        if isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        elif isinstance(owner, memoryview) and owner.obj is not None:
            owner = owner.obj
        else:
            break
    try:
        return memoryview(owner).nbytes  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return None


def is_part(array: npt.NDArray[Any]) -> bool:
    """Whether who keeps the array keeps clearly more than it, or nobody knows how much."""
    held = held_bytes(array)
    return held is None or held > array.nbytes + array.nbytes // _LARGER + _LARGER_BYTES

"""Arrays in memory that two processes of ours see: written by one, then read by the other.

The memory has no name. It is handed over as a file descriptor, and is gone when both have
let it go.
"""

import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from icecore.server.errors import Internal

_ALIGNED: Final = 64
_LENGTH: Final = struct.Struct("<Q")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SharedArrays:
    """`facts` is JSON. The arrays keep the memory; they are the caller's to write in just once."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    descriptor: int

    @classmethod
    def make(cls, facts: Mapping[str, Any], wanted: Mapping[str, tuple[Any, Shape]]) -> Self:
        """Return arrays of these dtypes and shapes, all zeros; the descriptor is the caller's.

        Raises:
            Internal: there is no memory for them.
        """
        places: dict[str, dict[str, object]] = {}
        n_bytes = 0
        for name, (dtype, shape) in wanted.items():
            kind = np.dtype(dtype)
            places[name] = {"dtype": kind.str, "shape": list(shape), "at": n_bytes}
            n_bytes += _aligned(kind.itemsize * int(np.prod(shape, dtype=np.int64)))
        header = json.dumps({"facts": facts, "arrays": places}).encode()
        start = _aligned(_LENGTH.size + len(header))
        descriptor = os.memfd_create("icecore")
        try:
            # Asked for at once: memory that is not there is then an error, and no signal.
            os.posix_fallocate(descriptor, 0, start + max(1, n_bytes))
            memory = mmap.mmap(descriptor, 0)
        except OSError as error:
            os.close(descriptor)
            raise Internal(
                f"there is no memory for the {n_bytes:,} bytes of an index: {error.strerror}"
            ) from error
        memory[: _LENGTH.size + len(header)] = _LENGTH.pack(len(header)) + header
        return cls(facts, _arrays(memory, start, places), descriptor)

    @classmethod
    def opened(cls, descriptor: int) -> Self:
        """Return what another process made, read-only. Takes over the descriptor and closes it."""
        try:
            memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        (length,) = _LENGTH.unpack(memory[: _LENGTH.size])
        header = json.loads(memory[_LENGTH.size : _LENGTH.size + length])
        arrays = _arrays(memory, _aligned(_LENGTH.size + length), header["arrays"])
        return cls(header["facts"], arrays, -1)


def _arrays(
    memory: mmap.mmap, start: int, places: Mapping[str, Mapping[str, Any]]
) -> dict[str, npt.NDArray[Any]]:
    arrays = {}
    for name, place in places.items():
        shape = tuple(place["shape"])
        n = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(memory, np.dtype(place["dtype"]), n, start + place["at"])
        arrays[name] = flat.reshape(shape)
    return arrays


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNED) * _ALIGNED

"""Codes as bytes with a checksum: little-endian rows, and a CRC over them and their place."""

import struct
import sys
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from icecore.server.errors import StorageCorrupt
from icecore.server.storage.records import CodeArray

_DTYPES: dict[str, Any] = {"float16": np.float16, "float32": np.float32}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob belongs. It is in the checksum: a blob of another batch is noticed too."""

    layer: int
    batch: int
    sequence: int
    n_rows: int
    dims: int

    def checksum(self, dtype: str, blob: bytes) -> bytes:
        """Return the CRC-32 as 4 bytes."""
        numbers = struct.pack("<5q", self.layer, self.batch, self.sequence, self.n_rows, self.dims)
        crc32 = zlib.crc32(blob, zlib.crc32(numbers + dtype.encode("ascii")))
        return crc32.to_bytes(4, "little")


def pack(array: CodeArray, place: Place) -> dict[str, object]:
    """Return the columns dtype, checksum and blob of a (n, d) array."""
    dtype = array.dtype.name
    blob = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"dtype": dtype, "checksum": place.checksum(dtype, blob), "blob": blob}


def unpack(dtype: str, checksum: bytes, blob: bytes, place: Place) -> CodeArray:
    """Return the (n, d) array, read-only, over the bytes themselves.

    Raises:
        StorageCorrupt: the bytes, or where they are, are not what was stored.
    """
    kind = _DTYPES.get(dtype)
    if kind is None or place.checksum(dtype, blob) != checksum:
        raise StorageCorrupt(
            f"codes are not what was stored: layer {place.layer}, batch {place.batch}, "
            f"sequence {place.sequence}"
        )
    array: CodeArray = np.frombuffer(blob, kind).reshape(place.n_rows, place.dims)
    return array if sys.byteorder == "little" else array.byteswap()

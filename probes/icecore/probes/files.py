"""A probe as bytes and back: a numbered format without pickle.

    8 bytes   magic b"ICEPROBE"
    4         format number, little-endian
    4         length of the header, little-endian, a multiple of 8
    ...       header: JSON in ASCII with sorted keys, filled with spaces
    ...       the arrays it lists, one after another, raw little-endian
    32        SHA-256 of all before

The same value gives the same bytes. Nothing is built before the checksum is right, and
files of every format ever written keep opening (tests/golden). The idea of a numbered
format that constructs nothing unchecked is that of skops.io.
"""

import hashlib
import json
import math
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import InputInvalid, ProbeFileInvalid
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing

FORMAT: Final = 2
"""The number written; readers of it and of all before are kept."""

_MAGIC: Final = b"ICEPROBE"
_PREAMBLE: Final = struct.Struct("<8sII")
_DIGEST_BYTES: Final = 32
_ALIGNMENT: Final = 8
"""Arrays begin at a multiple of the widest number, so that they can be mapped."""

_ARRAYS: Final[dict[str, np.dtype[Any]]] = {"bias": np.dtype("<f8"), "weights": np.dtype("<f4")}
"""Written in this order, widest numbers first: each stays aligned."""


def to_bytes(probe: LinearProbe) -> bytes:
    """Return the probe as a file of the newest format."""
    arrays = {name: getattr(probe, name).astype(dtype) for name, dtype in _ARRAYS.items()}
    fields = {
        "arrays": [
            {"dtype": array.dtype.str, "name": name, "shape": list(array.shape)}
            for name, array in arrays.items()
        ],
        "classes": list(probe.classes),
        "kind": probe.kind.value,
        "preprocessing": probe.preprocessing.value,
        "tap": probe.tap,
    }
    header = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")
    header += b" " * (-len(header) % _ALIGNMENT)
    body = _PREAMBLE.pack(_MAGIC, FORMAT, len(header)) + header
    body += b"".join(array.tobytes() for array in arrays.values())
    return body + hashlib.sha256(body).digest()


def from_bytes(data: bytes) -> LinearProbe:
    """Return the probe in a file of any format up to `FORMAT`.

    Raises:
        ProbeFileInvalid: no probe file, a newer format, or a broken file.
    """
    if len(data) < _PREAMBLE.size + _DIGEST_BYTES:
        raise ProbeFileInvalid(f"{len(data)} bytes are too few for a probe file")
    magic, number, header_bytes = _PREAMBLE.unpack_from(data)
    if magic != _MAGIC:
        raise ProbeFileInvalid(f"a probe file begins with {_MAGIC!r}, this one with {magic!r}")
    if not 1 <= number <= FORMAT:
        raise ProbeFileInvalid(
            f"the probe file has format {number}, but this version reads formats 1 to {FORMAT}: "
            "it was written by a newer one or is broken"
        )
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise ProbeFileInvalid("the probe file is broken: its checksum is not that of its bytes")
    # What follows guards against a writer gone wrong: no accident gets past the checksum.
    try:
        return _read(body, header_bytes, number)
    except (KeyError, TypeError, ValueError, InputInvalid) as error:
        raise ProbeFileInvalid(f"the probe file's content is wrong: {error!r}") from error


def _read(body: bytes, header_bytes: int, number: int) -> LinearProbe:
    """Formats 1 and 2; the second says how codes are preprocessed."""
    start = _PREAMBLE.size + header_bytes
    fields: dict[str, Any] = json.loads(body[_PREAMBLE.size : start].decode("ascii"))
    arrays: dict[str, npt.NDArray[Any]] = {}
    for entry in fields["arrays"]:
        name, shape = entry["name"], tuple(entry["shape"])
        dtype = _ARRAYS[name]
        if entry["dtype"] != dtype.str or any(size < 0 for size in shape):
            raise ValueError(f"array {name!r} is {entry['dtype']!r} of shape {shape!r}")
        count = math.prod(shape)
        array = np.frombuffer(body, dtype, count, start).reshape(shape)
        arrays[name] = array.astype(dtype.newbyteorder("="))
        start += count * dtype.itemsize
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes follow the last array")
    return LinearProbe(
        kind=ProbeKind(fields["kind"]),
        classes=tuple(fields["classes"]),
        weights=arrays["weights"],
        bias=arrays["bias"],
        tap=fields["tap"],
        preprocessing=Preprocessing(fields["preprocessing"]) if number > 1 else Preprocessing.NONE,
    )

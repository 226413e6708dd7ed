"""What codes are known by: SHA-256 over everything that decides them, and over whose they are."""

import hashlib
import struct
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.wire.taps import TapId

_N_WORDS: Final = 64
_ALL: Final = (_N_WORDS,)
_WORD: Final = np.dtype(np.uint64)
"""A tensor's fingerprint reads so many words of eight bytes, evenly spread."""


def image_digest(image: ImageInput) -> bytes:
    """Return the SHA-256 of the kind of an image, its shape and its bytes (32 bytes)."""
    if isinstance(image, Encoded):
        found = hashlib.sha256(_framed(b"encoded"))
        found.update(image.data)
        return found.digest()
    kind = b"pixels" if isinstance(image, Pixels) else b"prepared"
    array = np.ascontiguousarray(image.array)
    found = hashlib.sha256(_framed(kind, array.dtype.str.encode(), repr(array.shape).encode()))
    found.update(array.data.cast("B"))
    return found.digest()


def code_key(tenant_id: str, image: bytes, tap: TapId) -> bytes:
    """Return the key of the codes of one image at one tap (32 bytes).

    The tap's digest covers graph and recipe; tenants share nothing, so that nobody's
    timing tells what another has sent.
    """
    parts = (
        tenant_id.encode(),
        image,
        tap.digest.encode(),
        tap.layer.encode(),
        tap.activation.value.encode(),
        tap.pooling.kind.value.encode(),
        struct.pack("<d", tap.pooling.gem_p),
    )
    return hashlib.sha256(_framed(*parts)).digest()


def fingerprint(image: Prepared | Pixels) -> int:
    """Return a number that equal tensors share and others hardly ever do.

    Reads 512 of its bytes at most: it says what may have been seen before, never what is equal.
    """
    array = image.array
    each, step, strides = _spread(array.size, array.itemsize)
    if step == 0:
        words = array.tobytes()
    elif strides and array.flags.c_contiguous:
        words = np.ndarray(_ALL, _WORD, array, 0, strides).tobytes()
    else:
        words = array.flat[_places(each, step)].tobytes()
    return hash((array.shape, array.dtype, words))


@lru_cache(maxsize=1024)
def _spread(size: int, itemsize: int) -> tuple[int, int, tuple[int, ...]]:
    """The values of a word, from one word to the next (0: read all), and that in bytes.

    An odd number of values, so that not all words are in the same columns of an image. In
    bytes only where values fill a word.
    """
    each = max(1, _WORD.itemsize // max(1, itemsize))
    if size <= each * _N_WORDS:
        return each, 0, ()
    step = ((size - each) // (_N_WORDS - 1) - 1) | 1
    return each, step, (step * itemsize,) if each * itemsize == _WORD.itemsize else ()


@lru_cache(maxsize=64)
def _places(each: int, step: int) -> npt.NDArray[np.intp]:
    """Where the values of all words are, row by row."""
    return (np.arange(_N_WORDS)[:, None] * step + np.arange(each)).ravel()


def _framed(*parts: bytes) -> bytes:
    """The parts with their lengths before them, so that no two lists read the same."""
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)

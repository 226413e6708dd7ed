"""What codes are known by: SHA-256 over everything that decides them, and over whose they are."""

import hashlib
import struct

import numpy as np

from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.wire.taps import TapId

_SAMPLES = 64
"""Values of a tensor that its fingerprint reads, evenly spread."""


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

    Reads a few values only: it says what may have been seen before, never what is equal.
    """
    step = max(1, image.array.size // _SAMPLES)
    return hash((image.array.shape, image.array.flat[::step].tobytes()))


def _framed(*parts: bytes) -> bytes:
    """The parts with their lengths before them, so that no two lists read the same."""
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)

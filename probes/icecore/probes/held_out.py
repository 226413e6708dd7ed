"""What a probe's held-out images were taken for, kept as bytes beside the probe.

    8 bytes   magic b"ICEHELD\\0"
    4         format number, little-endian, as all that follows
    4         outer folds
    4         classes of the probe
    4         images, n
    32 * n    SHA-256 of each image, ascending
    4 * n     index of the class it was taken for, signed; -1: it was never held out
    32        SHA-256 of all before

The same value gives the same bytes. Nothing is built before the checksum is right, and
files of every format ever written keep opening.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import InputInvalid, LabelsInvalid, ProbeFileInvalid
from icecore.probes.folds import NEVER_HELD_OUT

FORMAT: Final = 1
"""The number written; readers of it and of all before are kept."""

_MAGIC: Final = b"ICEHELD\0"
_PREAMBLE: Final = struct.Struct("<8sIIII")
_DIGEST_BYTES: Final = 32
_IMAGE: Final = np.dtype("S32")
"""Compares as bytes do. numpy drops zeros at the end, on both sides alike."""
_CLASS: Final = np.dtype("<i4")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """For each different image a probe was trained on, what its outer fold took it for.

    `images` are (n,) SHA-256 as bytes of 32, ascending, each once; `predicted` (n,) int32
    counts in the probe's `n_classes` classes, -1 where the image was in no fold.

    Raises:
        InputInvalid: as said, otherwise.
    """

    images: npt.NDArray[np.bytes_]
    predicted: npt.NDArray[np.int32]
    n_classes: int
    n_folds: int

    def __post_init__(self) -> None:
        images, predicted = self.images, self.predicted
        if images.dtype != _IMAGE or predicted.dtype != np.int32:
            raise InputInvalid(f"images are {images.dtype!r} and classes {predicted.dtype!r}")
        if images.ndim != 1 or images.shape != predicted.shape:
            raise InputInvalid(f"{images.shape!r} images have {predicted.shape!r} classes")
        if not (images[:-1] < images[1:]).all():
            raise InputInvalid("images are not in ascending order, each once")
        if self.n_classes < 2 or self.n_folds < 2:
            raise InputInvalid(f"there are {self.n_classes} classes and {self.n_folds} folds")
        if len(predicted) and not (-1 <= predicted.min() <= predicted.max() < self.n_classes):
            raise InputInvalid(f"a class is not one of {self.n_classes}")

    @classmethod
    def of(
        cls,
        groups: Sequence[str],
        predicted: npt.NDArray[np.int64],
        *,
        n_classes: int,
        n_folds: int,
    ) -> Self:
        """Return what training found.

        Of copies of an image, which share a fold, the first that was held out counts.

        Args:
            groups: the SHA-256 of each image, 64 hexadecimal digits.
            predicted: (n,) as `Training.predicted`.

        Raises:
            LabelsInvalid: not one prediction an image.
            InputInvalid: a group is no SHA-256, or a class none of the probe's.
        """
        if len(groups) != len(predicted):
            raise LabelsInvalid(f"there are {len(predicted)} predictions for {len(groups)} images")
        images, first, inverse = np.unique(_digests(groups), return_index=True, return_inverse=True)
        classes = predicted[first].astype(np.int32)
        held = np.flatnonzero(predicted != NEVER_HELD_OUT)[::-1]  # of several, the first is last
        classes[inverse[held]] = predicted[held]
        return cls(images, classes, n_classes, n_folds)

    def chosen_on(self, *, is_choice_kept: bool) -> list[str]:
        """Return the images that had a part in what was chosen for the probe, in hexadecimal.

        All it was trained on; where the choice was an earlier probe's (`is_choice_kept`), those
        that had no answer, for which only the earlier probe's folds could give one.
        """
        earlier = self.predicted == NEVER_HELD_OUT
        images = self.images[earlier] if is_choice_kept else self.images
        return [bytes(image).ljust(32, b"\0").hex() for image in images]

    def answers(self, images: Sequence[str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
        """Return which of some images were trained on, and what these were taken for.

        Args:
            images: m SHA-256, 64 hexadecimal digits each.

        Returns:
            (m,) bool, and (m,) int32: -1 where there is no answer.
        """
        wanted = _digests(images)
        is_known = np.zeros(len(wanted), np.bool_)
        classes = np.full(len(wanted), NEVER_HELD_OUT, np.int32)
        if len(self.images):
            places = np.minimum(np.searchsorted(self.images, wanted), len(self.images) - 1)
            is_known = self.images[places] == wanted
            classes[is_known] = self.predicted[places[is_known]]
        return is_known, classes

    def to_bytes(self) -> bytes:
        """Return them as a file of the newest format."""
        n = len(self.images)
        body = _PREAMBLE.pack(_MAGIC, FORMAT, self.n_folds, self.n_classes, n)
        body += self.images.tobytes() + self.predicted.astype(_CLASS).tobytes()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what is in a file of any format up to `FORMAT`.

        Raises:
            ProbeFileInvalid: no such file, a newer format, or a broken file.
        """
        if len(data) < _PREAMBLE.size + _DIGEST_BYTES:
            raise ProbeFileInvalid(f"{len(data)} bytes are too few for held-out answers")
        magic, number, n_folds, n_classes, n = _PREAMBLE.unpack_from(data)
        if magic != _MAGIC:
            raise ProbeFileInvalid(f"held-out answers begin with {_MAGIC!r}, these with {magic!r}")
        if number != FORMAT:
            raise ProbeFileInvalid(
                f"the held-out answers have format {number}, but this version reads formats 1 to "
                f"{FORMAT}: they were written by a newer one or are broken"
            )
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            raise ProbeFileInvalid(
                "held-out answers are broken: their checksum is not that of their bytes"
            )
        # What follows guards against a writer gone wrong: no accident gets past the checksum.
        start = _PREAMBLE.size
        if len(body) != start + n * (_IMAGE.itemsize + _CLASS.itemsize):
            raise ProbeFileInvalid(f"held-out answers of {n} images have {len(data)} bytes")
        images = np.frombuffer(body, _IMAGE, n, start)
        predicted = np.frombuffer(body, _CLASS, n, start + images.nbytes).astype(np.int32)
        try:
            return cls(images, predicted, n_classes, n_folds)
        except InputInvalid as error:
            raise ProbeFileInvalid(f"the held-out answers' content is wrong: {error}") from error


def _digests(images: Sequence[str]) -> npt.NDArray[np.bytes_]:
    try:
        raw = [bytes.fromhex(image) for image in images]
    except ValueError as error:
        raise InputInvalid(f"an image's name is no SHA-256 in hexadecimal: {error}") from error
    if any(len(one) != _IMAGE.itemsize for one in raw):
        raise InputInvalid("an image's name is no SHA-256: it has not 32 bytes")
    return np.frombuffer(b"".join(raw), _IMAGE)

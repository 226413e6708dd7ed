"""Labelled photos that come in a stream, as many as a report needs and no more."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from icecore.server.embedding.images import ImageInput
from icecore.server.errors import ImagesTooMany
from icecore.server.rpc import arguments, inputs
from icecore.v1 import backbone_pb2 as pb
from icecore.v1 import common_pb2
from icecore.wire import names

MAX_PHOTOS: Final = 4_000
"""Enough to tell accuracies 2 points apart."""

MAX_PHOTO_BYTES: Final = 1 << 30
"""Of all photos of a call, which wait in memory until the last one came."""


@dataclass(slots=True)
class Budget:
    """What the photos of one call may be together, and the digest of all that came."""

    n_photos: int = 0
    n_bytes: int = 0
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def take(self, kind: str, part: Message) -> None:
        """Count a part of the stream.

        Raises:
            ImagesTooMany: there are too many, or too many bytes.
        """
        data = part.SerializeToString(deterministic=True)
        self._sha256.update(f"{kind} {len(data)}\0".encode() + data)
        self.n_photos += 1
        self.n_bytes += len(data)
        if self.n_photos > MAX_PHOTOS:
            raise ImagesTooMany(f"there are more than {MAX_PHOTOS:,} images, which are the most")
        if self.n_bytes > MAX_PHOTO_BYTES:
            raise ImagesTooMany(
                f"the first {self.n_photos:,} images have more than {MAX_PHOTO_BYTES:,} bytes, "
                "which are the most: send fewer or smaller ones"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of all parts in order, hexadecimal."""
        return self._sha256.hexdigest()


@dataclass(slots=True)
class Photos:
    """Images with their labels, in the order they came."""

    images: list[ImageInput] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def add(self, sent: pb.LabelledImage, index: int) -> None:
        """Take one in.

        Raises:
            ImageInvalid, TensorInvalid: no image.
            NameInvalid: no label, or one that cannot be.
        """
        self.images.append(photo(sent.image, sent.name, index))
        self.labels.append(
            arguments.free_text(
                f"label of image {index}", sent.label, max_length=names.MAX_LABEL_LENGTH
            )
        )


def photo(sent: common_pb2.Image, name: str, index: int) -> ImageInput:
    """Return the image; an error names it by its number and, where it has one, its name.

    Raises:
        ImageInvalid, TensorInvalid, NameInvalid.
    """
    arguments.free_text(
        f"name of image {index}",
        name,
        max_length=names.MAX_EXAMPLE_ID_LENGTH,
        may_be_empty=True,
    )
    return inputs.image(sent, index)

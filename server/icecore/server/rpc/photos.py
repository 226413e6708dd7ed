"""Labelled photos that come in a stream, as many as a report needs and no more."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from icecore.server.embedding.images import ImageInput
from icecore.server.errors import ImagesTooMany
from icecore.server.rpc import arguments, inputs
from icecore.v1 import backbone_pb2 as pb
from icecore.v1 import common_pb2
from icecore.wire import names

if TYPE_CHECKING:
    from hashlib import _Hash

MAX_PHOTOS: Final = 4_000
"""Enough to tell accuracies 2 points apart."""

MAX_PHOTO_BYTES: Final = 1 << 30
"""Of all photos of a call, which wait in memory until the last one came."""


@dataclass(slots=True)
class Budget:
    """Counts the photos of one call, and makes a digest of all that came."""

    max_photos: int = MAX_PHOTOS
    max_bytes: int = MAX_PHOTO_BYTES
    n_photos: int = 0
    n_bytes: int = 0
    _sha256: "_Hash" = field(default_factory=hashlib.sha256)

    def take(self, kind: str, part: Message) -> int:
        """Count a part of the stream; return which one it is, from 0.

        Raises:
            ImagesTooMany: there are too many, or too many bytes.
        """
        data = part.SerializeToString(deterministic=True)
        self._sha256.update(f"{kind} {len(data)}\0".encode() + data)
        self.n_photos += 1
        self.n_bytes += len(data)
        if self.n_photos > self.max_photos:
            raise ImagesTooMany(f"there are more than {self.max_photos:,} images, the most taken")
        if self.n_bytes > self.max_bytes:
            raise ImagesTooMany(
                f"the first {self.n_photos:,} images have more than {self.max_bytes:,} bytes, the "
                "most taken: send fewer or smaller ones"
            )
        return self.n_photos - 1

    @property
    def digest(self) -> str:
        """SHA-256 of all parts in order, hexadecimal."""
        return self._sha256.hexdigest()


@dataclass(slots=True)
class Photos:
    """Images in the order they came, with their labels ("": none) and what to call them."""

    images: list[ImageInput] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, image: common_pb2.Image, index: int, *, label: str = "", name: str = "") -> None:
        """Take one in; `index` is its place among all of the call.

        Raises:
            ImageInvalid, TensorInvalid: no image.
            NameInvalid: a label or a name that cannot be.
        """
        self.images.append(inputs.image(image, index))
        self.labels.append(arguments.label(label))
        called = arguments.free_text(
            f"name of image {index}",
            name,
            max_length=names.MAX_EXAMPLE_ID_LENGTH,
            may_be_empty=True,
        )
        self.names.append(repr(called) if called else f"image {index}")

    def add_labelled(self, sent: pb.LabelledImage, index: int) -> None:
        """As `add`."""
        self.add(sent.image, index, label=sent.label, name=sent.name)

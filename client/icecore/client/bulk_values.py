"""What `embed_many` gives: the codes of some of many images, and those refused."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from icecore.wire.codes import Codes


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """An image that has no codes, and why.

    `index` is its place among all images, `path` its file, None for one that was
    none. `reason` is the server's word (`IMAGE_TRUNCATED`), or `FILE_UNREADABLE`.
    """

    index: int
    path: Path | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class CodesBatch:
    """Codes of some images, next to each other among all of them.

    `codes` has one `Codes` a layer, in the order asked; row i is of the image at
    place `indices[i]`, which ascend. Empty where every image of the batch was refused.
    """

    indices: tuple[int, ...]
    codes: tuple[Codes, ...]
    refused: tuple[RefusedImage, ...] = ()

    def __len__(self) -> int:
        """Return the number of images that have codes."""
        return len(self.indices)

    def __bool__(self) -> bool:
        """A batch is something, also one whose images were all refused."""
        return True


OnError: TypeAlias = Literal["raise", "skip"] | Callable[[RefusedImage], None]
"""What an image that cannot be embedded does: end it all, be left out, or be told of as well."""

FILE_UNREADABLE = "FILE_UNREADABLE"
"""Reason of a RefusedImage whose file the client could not read."""

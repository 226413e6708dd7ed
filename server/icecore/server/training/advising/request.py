"""What an advice is asked for, as a value."""

from dataclasses import dataclass
from typing import Final

from icecore.server.errors import InvalidArgument

MAX_IMAGES: Final = 2_000
"""Judged where nobody says how many: some minutes of one core, and intervals of two points."""

MOST_IMAGES: Final = 20_000

MOST_BACKBONES: Final = 16


@dataclass(frozen=True, slots=True)
class AdviceRequest:
    """A collection to be judged over some backbones; none: its own.

    `kind` is that of the probes, `seed` that of the folds, and of what is left out where there
    are more than `max_images` labelled ones.

    Raises:
        InvalidArgument: too many images or backbones are asked for.
    """

    collection_id: str
    backbones: tuple[str, ...] = ()
    kind: str = "softmax"
    seed: int = 0
    max_images: int = MAX_IMAGES

    def __post_init__(self) -> None:
        if not 1 <= self.max_images <= MOST_IMAGES:
            raise InvalidArgument(
                f"max_images is {self.max_images:,}, but must be from 1 to {MOST_IMAGES:,}"
            )
        if len(self.backbones) > MOST_BACKBONES:
            raise InvalidArgument(
                f"{len(self.backbones)} backbones are asked for, but {MOST_BACKBONES} are the most"
            )

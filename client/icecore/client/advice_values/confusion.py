"""Which class was taken for which, and images that were."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConfusedImage:
    """An image taken for `predicted`; of the commonest mistakes or, right, of its class.

    `thumbnail` is a JPEG of at most 96 pixels a side, empty where the image is not kept.
    """

    example_id: str
    label: str
    predicted: str
    thumbnail: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Held-out answers: `counts[i][j]` images of class i were taken for class j."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    examples: tuple[ConfusedImage, ...]

"""What calls about collections take and give: examples, and the hits among them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from icecore.client.input_values import ImageInput

Scalar: TypeAlias = str | float | bool


class Metric(StrEnum):
    """Order of likeness. L2 hits ascend, the others descend."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner-product"


class OnDuplicate(StrEnum):
    """What happens to an id that the collection already holds."""

    REFUSE = "refuse"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Collection:
    """`labels` counts examples a label; "" counts those without one."""

    collection_id: str
    collection_name: str
    backbone: str
    digest: str
    keep_images: bool
    n_examples: int
    labels: Mapping[str, int]
    create_time: datetime


@dataclass(frozen=True, slots=True, eq=False)
class NewExample:
    """An example to be added; `label` may be empty, `metadata` is flat."""

    example_id: str
    image: ImageInput
    label: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """An example as stored; `image_sha256` is of the image as sent, "" in hits."""

    example_id: str
    label: str
    metadata: Mapping[str, Scalar]
    image_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch, or of all of them together."""

    n_added: int = 0
    n_replaced: int = 0
    n_unchanged: int = 0

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.n_added + other.n_added,
            self.n_replaced + other.n_replaced,
            self.n_unchanged + other.n_unchanged,
        )

    @property
    def n_examples(self) -> int:
        return self.n_added + self.n_replaced + self.n_unchanged


@dataclass(frozen=True, slots=True)
class Hit:
    """An example found, with its cosine, distance or inner product."""

    example: Example
    score: float

"""The values that storage takes and gives. They hold no behaviour and no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Scalar: TypeAlias = str | float | bool
Metadata: TypeAlias = Mapping[str, Scalar]
CodeArray: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Json: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Mutation:
    """What makes a change exactly-once.

    `request_id` is the caller's; `method` and `fingerprint` (SHA-256 of the
    request, hexadecimal) tell a retry from another call under the same id.
    """

    request_id: str
    method: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class BackboneRecord:
    """A backbone without its graph. `digest` is over graph and recipe.

    `recipe`, `card` and `facts` are JSON that `backbones` alone reads and writes.
    """

    name: str
    digest: str
    recipe: Json
    card: Json
    create_time: datetime
    facts: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TenantRecord:
    tenant_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key without its secret; `tenant_id` None is the administrator's."""

    key_id: str
    tenant_id: str | None
    label: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """`sequence` grows with every change of the examples, and is never reused.

    Nor is `number`, the keeper's own: a collection made again under the id has
    another. `labels` counts examples a label; "" counts those without one. `has_outputs`: the
    core of its examples has the network's own outputs too; of older collections it has not.
    """

    number: int
    collection_id: str
    backbone: str
    digest: str
    keep_images: bool
    create_time: datetime
    sequence: int
    n_examples: int
    labels: Mapping[str, int]
    has_outputs: bool = False


class OnDuplicate(StrEnum):
    """What happens to an id that the collection already holds."""

    REFUSE = "refuse"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    example_id: str
    label: str
    metadata: Metadata
    image_sha256: str


@dataclass(frozen=True, slots=True)
class NewExample:
    """An example to be stored; `image` is None in a collection that keeps none."""

    example_id: str
    label: str
    metadata: Metadata
    image_sha256: str
    image: bytes | None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Examples and their core: a (n, d) array a layer, in the order of `examples`.

    `n_unchanged` counts those that the caller left out because the collection
    has them already; it is added to the answer, so that a retry gets the same.
    A batch may hold nothing but that number.
    """

    examples: Sequence[NewExample]
    core: Mapping[str, CodeArray]
    n_unchanged: int = 0


@dataclass(frozen=True, slots=True)
class AddedCounts:
    n_added: int
    n_replaced: int
    n_unchanged: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Examples of one moment, in order of id, and their codes a layer, (n, d).

    `number` is that of the collection they are in.
    """

    number: int
    sequence: int
    examples: Sequence[ExampleRecord]
    codes: Mapping[str, CodeArray]


class VersionState(StrEnum):
    TRAINING = "training"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version of a probe.

    `request` is what training was asked; `result` what it found, None until
    READY. Both are JSON that `training` alone reads and writes. `file_digest`
    is the SHA-256 of the probe file, "" until READY. `digest` is of the backbone
    that the version pins: its collection's when training began.
    """

    probe_id: str
    version: int
    state: VersionState
    kind: str
    collection_id: str
    request: Json
    create_time: datetime
    is_promoted: bool = False
    result: Json | None = None
    file_digest: str = ""
    failure_reason: str = ""
    failure_message: str = ""
    seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A probe; `promoted_version` is 0 while there is none. Versions: newest first."""

    probe_id: str
    promoted_version: int
    create_time: datetime
    versions: Sequence[VersionRecord] = field(default_factory=tuple)

"""What a worker is given: codes, labels and groups of one snapshot."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from icecore.server.embedding.collection_codes import TapSnapshot
from icecore.server.storage.records import CodeArray
from icecore.server.training.candidates import check_classes
from icecore.server.training.identities import identity
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The labelled examples of a snapshot, in order of id.

    `codes` holds (n, d) a tap; whole maps are flattened. Examples with equal
    `groups` have the same image and may not be torn apart by a fold.
    """

    example_ids: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]
    codes: Mapping[TapId, CodeArray]

    @classmethod
    def of(cls, collection_id: str, snapshot: TapSnapshot) -> Self:
        """Return the examples that have a label.

        Raises:
            CollectionEmpty, ClassesTooFew, ClassTooSmall: as `check_classes`; the
                collection may have changed since training was asked.
        """
        check_classes(collection_id, Counter(example.label for example in snapshot.examples))
        rows = [row for row, example in enumerate(snapshot.examples) if example.label]
        examples = [snapshot.examples[row] for row in rows]
        return cls(
            example_ids=[example.example_id for example in examples],
            labels=[example.label for example in examples],
            groups=[example.image_sha256 for example in examples],
            codes={tap: _rows(codes, rows) for tap, codes in snapshot.codes.items()},
        )

    def __len__(self) -> int:
        """Return `n`, the number of images."""
        return len(self.labels)

    def digest(self) -> str:
        """Return the SHA-256 over ids, labels and codes, 64 hexadecimal digits.

        Codes count with their tap's identity, dtype and little-endian bytes, taps in
        order of that identity. Each text is preceded by its length, so that no two sets
        are the same bytes.
        """
        sha = hashlib.sha256()

        def text(value: str) -> None:
            encoded = value.encode()
            sha.update(len(encoded).to_bytes(8, "little") + encoded)

        for example_id, label in zip(self.example_ids, self.labels, strict=True):
            text(example_id)
            text(label)
        for tap, codes in sorted(self.codes.items(), key=lambda item: item[0].key):
            text(identity(tap))
            text(f"{codes.dtype.name} {codes.shape!r}")
            sha.update(codes.astype(codes.dtype.newbyteorder("<"), copy=False).data)
        return sha.hexdigest()


def _rows(codes: CodeArray, rows: Sequence[int]) -> CodeArray:
    flat = codes.reshape(len(codes), -1)
    chosen = flat if len(rows) == len(flat) else flat[np.asarray(rows)]
    return np.ascontiguousarray(chosen)

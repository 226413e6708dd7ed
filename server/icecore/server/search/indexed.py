"""The values Indexed, an index with its examples, and StoredCodes, where one can be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from icecore.server.search.exact_index import ExactIndex
from icecore.server.storage.records import ExampleRecord, Json


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """Examples in order of id and the index of their codes, row by row."""

    sequence: int
    examples: Sequence[ExampleRecord]
    index: ExactIndex

    @property
    def n_bytes(self) -> int:
        """Codes and about 500 bytes an example."""
        return self.index.n_bytes + 500 * len(self.examples)


@dataclass(frozen=True, slots=True)
class StoredCodes:
    """Codes of one layer as they lie in the store, which another process can read.

    `source` is `TenantStore.elsewhere`'s. `n_bytes` is about what they take in memory.
    """

    source: Json
    collection_id: str
    number: int
    layer: str
    n_values: int
    n_bytes: int

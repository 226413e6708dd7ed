"""Indexes that were built, up to so many bytes; the least recently used go first.

An index belongs to one collection, by the number that no other ever has, and to
one tap. It is valid for one sequence number of that collection only, and is
replaced as a whole: a search that still reads the old one is not disturbed.
"""

from collections import OrderedDict
from dataclasses import dataclass

from icecore.server.search.indexed import Indexed
from icecore.server.storage.records import CollectionRecord
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True)
class Place:
    """Whose index, of what. `number` alone tells collections apart; the ids are for forgetting."""

    tenant_id: str
    collection_id: str
    number: int
    tap: TapId
    is_cosine: bool

    @classmethod
    def of(
        cls, tenant_id: str, collection: CollectionRecord, tap: TapId, *, is_cosine: bool
    ) -> "Place":
        return cls(tenant_id, collection.collection_id, collection.number, tap, is_cosine=is_cosine)

    def is_of(self, tenant_id: str, collection_id: str | None) -> bool:
        """Whether it is of the tenant and, where one is named, of that collection."""
        return self.tenant_id == tenant_id and collection_id in (None, self.collection_id)


class IndexCache:
    """Not safe for threads: it lives on the event loop."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._indexed: OrderedDict[Place, Indexed] = OrderedDict()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    def get(self, place: Place, *, sequence: int) -> Indexed | None:
        """Return what is there, if it is at least as new as `sequence`."""
        indexed = self._indexed.get(place)
        if indexed is None or indexed.sequence < sequence:
            return None
        self._indexed.move_to_end(place)
        return indexed

    def put(self, place: Place, indexed: Indexed) -> None:
        """Keep it in place of an older one; one that is larger than the cache is not kept."""
        there = self._indexed.get(place)
        if there is not None and there.sequence > indexed.sequence:
            return
        self._drop(place)
        if indexed.n_bytes > self._max_bytes:
            return
        self._indexed[place] = indexed
        self._n_bytes += indexed.n_bytes
        while self._n_bytes > self._max_bytes:
            self._drop(next(iter(self._indexed)))

    def forget(self, tenant_id: str, collection_id: str | None = None) -> None:
        """Drop a tenant's indexes, or those of one collection."""
        for place in list(self._indexed):
            if place.is_of(tenant_id, collection_id):
                self._drop(place)

    def _drop(self, place: Place) -> None:
        indexed = self._indexed.pop(place, None)
        if indexed is not None:
            self._n_bytes -= indexed.n_bytes

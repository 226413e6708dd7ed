"""A tenant's collections and their examples: the first half of a TenantStore."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from icecore.server.errors import CollectionNotFound
from icecore.server.storage.change import Change
from icecore.server.storage.records import (
    AddedCounts,
    CollectionRecord,
    ExampleRecord,
    Json,
    Mutation,
    NewBatch,
    OnDuplicate,
    Snapshot,
)
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.rows import mutations, pins
from icecore.server.storage.sqlite import burying, example_changes, examples
from icecore.server.storage.sqlite.tenant_rows import TenantRows

_T = TypeVar("_T")


class TenantCollections(TenantRows):
    """As `promise.TenantStore` says."""

    def create_collection(
        self,
        collection_id: str,
        *,
        backbone: str,
        digest: str,
        keep_images: bool,
        mutation: Mutation | None = None,
    ) -> CollectionRecord:
        def work(change: Change) -> Json:
            made = collections.create(
                change,
                self._number,
                collection_id,
                backbone=backbone,
                digest=digest,
                keep_images=keep_images,
            )
            return collections.to_json(made)

        def subject(_: Json) -> str:
            return collections.subject(collection_id)

        answer = self._once(mutation, subject, CollectionNotFound, work)
        return collections.from_json(answer)

    def collection(self, collection_id: str) -> CollectionRecord:
        return self._read(lambda db: collections.find(db, self._number, collection_id))

    def collections(self, *, after: str = "", limit: int = 100) -> Sequence[CollectionRecord]:
        return self._read(lambda db: collections.page(db, self._number, after, limit))

    def delete_collection(self, collection_id: str, *, mutation: Mutation | None = None) -> None:
        def work(change: Change) -> None:
            row = collections.row_of(change.connection, self._number, collection_id)
            mutations.forget(change, self._number, collections.subject(collection_id))
            change.n_bytes -= row.stored_bytes
            burying.bury(change, [row.pk])
            pins.let_unneeded_go(change)

        self._once(mutation, mutations.nothing, CollectionNotFound, work)
        burying.dig_all(self._writer)

    def add_examples(
        self,
        collection_id: str,
        batch: NewBatch,
        *,
        on_duplicate: OnDuplicate,
        number: int | None = None,
        mutation: Mutation | None = None,
    ) -> AddedCounts:
        example_changes.check_batch(batch)

        def work(change: Change) -> list[int]:
            row = collections.row_of_number(change.connection, self._number, collection_id, number)
            counts = example_changes.add(change, row, batch, on_duplicate)
            return [counts.n_added, counts.n_replaced, counts.n_unchanged]

        return AddedCounts(*self._once(mutation, mutations.nothing, CollectionNotFound, work))

    def added_before(self, mutation: Mutation) -> AddedCounts | None:
        answer = self._read(lambda db: mutations.answered(db, self._number, mutation))
        return None if answer is None else AddedCounts(*answer)

    def known_examples(
        self, collection_id: str, example_ids: Sequence[str]
    ) -> dict[str, ExampleRecord]:
        return self._of(collection_id, lambda db, row: examples.known(db, row, example_ids))

    def list_examples(
        self, collection_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[ExampleRecord]:
        return self._of(collection_id, lambda db, row: examples.page(db, row, after, limit))

    def delete_examples(
        self,
        collection_id: str,
        example_ids: Sequence[str],
        *,
        mutation: Mutation | None = None,
    ) -> int:
        def work(change: Change) -> int:
            row = collections.row_of(change.connection, self._number, collection_id)
            return example_changes.remove(change, row, example_ids)

        return int(self._once(mutation, mutations.nothing, CollectionNotFound, work))

    def image(self, collection_id: str, example_id: str) -> bytes:
        return self._of(collection_id, lambda db, row: examples.image(db, row, example_id))

    def snapshot(self, collection_id: str, layers: Sequence[str] = ()) -> Snapshot:
        return self._of(collection_id, lambda db, row: examples.snapshot(db, row, layers))

    def _of(self, collection_id: str, look: Callable[[Connection, Any], _T]) -> _T:
        def find(connection: Connection) -> _T:
            return look(connection, collections.row_of(connection, self._number, collection_id))

        return self._read(find)

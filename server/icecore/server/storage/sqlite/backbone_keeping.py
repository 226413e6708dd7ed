"""Backbones put and removed, with graphs of any size, while others go on writing."""

import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final

from icecore.server.errors import BackboneNotFound, StorageFull
from icecore.server.storage.change import Change
from icecore.server.storage.records import BackboneRecord, Json, Mutation
from icecore.server.storage.rows import backbones, mutations, pins
from icecore.server.storage.sqlite import burying
from icecore.server.storage.sqlite.connections import Readers
from icecore.server.storage.sqlite.writer import Writer

PART_BYTES: Final = 4 << 20
"""Of a graph, in one change: 50 ms for those who wait to write. SQLite ends at 1 GB a value."""

_log = logging.getLogger(__name__)


class BackboneKeeping:
    """The backbones' half of a Store."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def put(
        self, record: BackboneRecord, graph: bytes, mutation: Mutation | None
    ) -> BackboneRecord:
        """As `promise.Store.put_backbone`.

        The parts come first, in changes of their own; then one change makes them a
        backbone, moves the name and keeps the answer. Killed in between, the next start
        deletes the parts.
        """
        while True:
            before = None if mutation is None else self.added_before(mutation)
            if before is not None:
                return before
            number = None
            try:
                if not self._is_there(record.digest):
                    number = self._begin(record, graph)
                    self._add_parts(number, graph)
                return self._settle(record, number, mutation)
            except backbones.Vanished:
                continue  # since we looked: bring the graph after all
            finally:
                self._tidy(number)

    def added_before(self, mutation: Mutation) -> BackboneRecord | None:
        """As `promise.Store.backbone_added_before`."""
        with self._readers.moment() as connection:
            answer = mutations.answered(connection, mutations.ADMINISTRATORS, mutation)
        return None if answer is None else backbones.from_json(answer)

    def remove(self, name: str, mutation: Mutation | None) -> None:
        """As `promise.Store.remove_backbone`."""

        def work(change: Change) -> None:
            row = backbones.pointed(change.connection, name)
            if backbones.names_of(change.connection, row.pk) == [name]:
                pins.check_free(change.connection, name, row.digest)
            backbones.take_name(change, name)
            pins.let_unneeded_go(change)

        self._once(mutation, mutations.nothing, work)
        burying.dig_all(self._writer)

    def _is_there(self, digest: str) -> bool:
        with self._readers.moment() as connection:
            return backbones.row_of(connection, digest) is not None

    def _begin(self, record: BackboneRecord, graph: bytes) -> int:
        sha256 = hashlib.sha256(graph).hexdigest()
        number: int = self._writer.write(lambda change: backbones.begin(change, record, sha256))
        return number

    def _add_parts(self, number: int, graph: bytes) -> None:
        whole = memoryview(graph)
        for place, start in enumerate(range(0, len(whole), PART_BYTES)):
            self._add_part(number, place, whole[start : start + PART_BYTES])

    def _add_part(self, number: int, place: int, part: memoryview) -> None:
        self._writer.write(lambda change: backbones.add_part(change, number, place, part))

    def _settle(
        self, record: BackboneRecord, number: int | None, mutation: Mutation | None
    ) -> BackboneRecord:
        def work(change: Change) -> Json:
            settled = backbones.settle(change, record, number)
            pins.let_unneeded_go(change)
            return backbones.to_json(settled)

        def subject(_: Json) -> str:
            return backbones.subject(record.digest)

        return backbones.from_json(self._once(mutation, subject, work))

    def _tidy(self, number: int | None) -> None:
        """Delete what the name pointed to before, and what was brought in vain.

        What there is no room for now, the next such call or start does.
        """
        try:
            if number is not None:
                self._writer.write(lambda change: backbones.let_go_if_coming(change, number))
            burying.dig_all(self._writer)
        except StorageFull:
            _log.warning("there is no room to overwrite a backbone that was let go")

    def _once(
        self,
        mutation: Mutation | None,
        subject: Callable[[Any], str],
        work: Callable[[Change], Any],
    ) -> Any:
        def whole(change: Change) -> Any:
            return mutations.once(
                change,
                mutations.ADMINISTRATORS,
                mutation,
                subject,
                BackboneNotFound,
                lambda: work(change),
            )

        return self._writer.write(whole)

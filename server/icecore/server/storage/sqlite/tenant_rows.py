"""What both halves of a tenant's store stand on: one moment to read, one change to make."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, select
from sqlalchemy import bindparam as parameter

from icecore.server.errors import NotFound, TenantNotFound
from icecore.server.quotas import Stored
from icecore.server.storage.change import Change
from icecore.server.storage.records import Json, Mutation
from icecore.server.storage.rows import mutations, stored
from icecore.server.storage.schema import tenants
from icecore.server.storage.sqlite.connections import Readers
from icecore.server.storage.sqlite.writer import Writer

_T = TypeVar("_T")

_EXISTS = select(tenants.c.pk).where(tenants.c.pk == parameter("tenant"))


class TenantRows:
    """The rows of the tenant of one number: once that one is deleted every call raises
    TenantNotFound, also where another has its id now.
    """

    def __init__(self, tenant_id: str, number: int, readers: Readers, writer: Writer) -> None:
        self._tenant_id = tenant_id
        self._number = number
        self._readers = readers
        self._writer = writer

    @property
    def tenant_id(self) -> str:
        return self._tenant_id

    def elsewhere(self) -> Json:
        return {
            "database": str(self._readers.path),
            "tenant_id": self._tenant_id,
            "number": self._number,
        }

    def stored(self) -> Stored:
        return self._read(lambda db: stored.of_tenant(db, self._number))

    def check_room(self, n_bytes: int) -> None:
        self._read(lambda db: stored.check_room(db, self._number, n_bytes))

    def _read(self, look: Callable[[Connection], _T]) -> _T:
        with self._readers.moment() as connection:
            self._check_tenant(connection)
            return look(connection)

    def _once(
        self,
        mutation: Mutation | None,
        subject: Callable[[Any], str],
        absent: type[NotFound],
        work: Callable[[Change], Any],
    ) -> Any:
        def whole(change: Change) -> Any:
            return mutations.once(
                change, self._number, mutation, subject, absent, lambda: work(change)
            )

        return self._write(whole)

    def _write(self, work: Callable[[Change], _T]) -> _T:
        def whole(change: Change) -> _T:
            self._check_tenant(change.connection)
            answer = work(change)
            stored.book(change, self._number)
            return answer

        answer: _T = self._writer.write(whole)
        return answer

    def _check_tenant(self, connection: Connection) -> None:
        if connection.scalar(_EXISTS, {"tenant": self._number}) is None:
            raise TenantNotFound(f"tenant {self._tenant_id!r} does not exist")

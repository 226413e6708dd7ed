"""A tenant's rows, read by another process of ours.

`TenantStore.elsewhere` says how, as JSON, and this understands it. It reads only: one
connection of one process writes.
"""

from pathlib import Path
from typing import cast

from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import Json
from icecore.server.storage.sqlite.connections import Readers
from icecore.server.storage.sqlite.store import SqliteTenantStore
from icecore.server.storage.sqlite.writer import Writer


class Elsewhere:
    """Keeps what it has opened. Not safe for threads."""

    def __init__(self) -> None:
        self._readers: dict[str, Readers] = {}

    def tenant(self, source: Json) -> TenantStore:
        """Return the tenant's store as it is there; to change anything raises AttributeError."""
        database = str(source["database"])
        if database not in self._readers:
            self._readers[database] = Readers(Path(database))
        nobody = cast(Writer, None)
        return SqliteTenantStore(
            str(source["tenant_id"]),
            int(cast(int, source["number"])),
            self._readers[database],
            nobody,
        )

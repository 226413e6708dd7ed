"""Pages of a collection's examples, with a filter."""

import asyncio
from dataclasses import dataclass

from icecore.server.search.filters import read_filter
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import ExampleRecord

_SCAN = 10_000
"""Examples read at once where a filter may leave out most of them."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Up to `size` examples of the filter, with ids that sort after `after`."""

    collection_id: str
    filter: str
    size: int
    after: str

    async def read(self, tenant: TenantStore) -> tuple[list[ExampleRecord], str]:
        """Return a page, and the id that the next one comes after: "" if this is the last.

        Raises:
            FilterInvalid, CollectionNotFound.
        """
        wanted = read_filter(self.filter)
        page: list[ExampleRecord] = []
        after = self.after
        limit = self.size + 1 if wanted.is_empty else _SCAN
        while True:
            scanned = await asyncio.to_thread(
                tenant.list_examples, self.collection_id, after=after, limit=limit
            )
            for record in scanned:
                if wanted.matches(record):
                    if len(page) == self.size:
                        return page, page[-1].example_id
                    page.append(record)
            if len(scanned) < limit:
                return page, ""
            after = scanned[-1].example_id

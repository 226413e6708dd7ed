"""Codes kept in memory: those used longest ago go first, and no tenant crowds out another.

Lives on one event loop.
"""

from collections import OrderedDict
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

ENTRY_BYTES: Final = 300
"""What an entry takes beside its values: key, array, places in dictionaries (measured)."""

_LARGEST_SHARE: Final = 16
"""One entry may take the 16th part of all at most."""


class MemoryCache:
    """At most `max_bytes` of codes. 0 keeps none."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._kept: dict[str, OrderedDict[bytes, FloatArray]] = {}
        self._held: dict[str, int] = {}
        self.n_bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def get(self, tenant_id: str, key: bytes) -> FloatArray | None:
        """Return the codes, read-only, and count them as used."""
        kept = self._kept.get(tenant_id)
        if kept is None or (codes := kept.get(key)) is None:
            return None
        kept.move_to_end(key)
        return codes

    def put(self, tenant_id: str, key: bytes, codes: FloatArray) -> None:
        """Keep codes, unless they are too large; `codes` must not change after."""
        n_bytes = codes.nbytes + ENTRY_BYTES
        if n_bytes > self.max_bytes // _LARGEST_SHARE or self.get(tenant_id, key) is not None:
            return
        codes.flags.writeable = False
        self._kept.setdefault(tenant_id, OrderedDict())[key] = codes
        self._count(tenant_id, n_bytes)
        if self.n_bytes > self.max_bytes:
            self._make_room(tenant_id)

    def forget(self, tenant_id: str) -> None:
        """Let all of a tenant go."""
        while tenant_id in self._kept:
            self._drop_oldest(tenant_id)

    def _make_room(self, tenant_id: str) -> None:
        """Drop the oldest of whoever holds more than an equal share, the caller first."""
        share = self.max_bytes // len(self._held)
        while self.n_bytes > self.max_bytes and self._held.get(tenant_id, 0) > share:
            self._drop_oldest(tenant_id)
        if self.n_bytes <= self.max_bytes:
            return
        largest = max(self._held, key=lambda one: self._held[one])
        # Some more at once, so that not every entry looks for the largest.
        end = self.max_bytes - min(self.max_bytes // 64, self._held[largest] - share)
        while self.n_bytes > max(end, 0) and largest in self._kept:
            self._drop_oldest(largest)

    def _drop_oldest(self, tenant_id: str) -> None:
        kept = self._kept[tenant_id]
        _, codes = kept.popitem(last=False)
        self._count(tenant_id, -(codes.nbytes + ENTRY_BYTES))
        if not kept:
            del self._kept[tenant_id], self._held[tenant_id]

    def _count(self, tenant_id: str, n_bytes: int) -> None:
        self._held[tenant_id] = self._held.get(tenant_id, 0) + n_bytes
        self.n_bytes += n_bytes

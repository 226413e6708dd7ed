"""Which tensors came lately, each told by one number; no tenant crowds out another.

Lives on one event loop.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str, int]
"""A tenant and a fingerprint."""

MOST: Final = 1 << 18
"""Of all tenants together: 30 MB (measured), and about what a full cache has codes of."""

_AT_ONCE: Final = 64
"""The part of all that the largest tenant may lose at once."""


class Fingerprints:
    """At most `most` of them; of a tenant those that came first go first.

    Also where they came again, since to keep them in that order would take half as much
    memory again; one that goes is soon back.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen: dict[str, _Seen] = {}
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def saw(self, place: Place) -> bool:
        """Whether that one came lately; it has from now on."""
        tenant_id, number = place
        seen = self._seen.get(tenant_id)
        if seen is None:
            seen = self._seen[tenant_id] = _Seen()
        elif number in seen.numbers:
            return True
        seen.numbers.add(number)
        seen.in_order.append(number)
        self._n += 1
        if self._n > self._most:
            self._make_room(tenant_id)
        return False

    def forget(self, tenant_id: str) -> None:
        """Let all of a tenant go."""
        seen = self._seen.pop(tenant_id, None)
        if seen is not None:
            self._n -= len(seen.in_order)

    def _make_room(self, tenant_id: str) -> None:
        """Drop the caller's oldest if it holds more than an equal share, else the largest's."""
        share = max(1, self._most // len(self._seen))
        if len(self._seen[tenant_id].in_order) > share:
            self._drop_oldest(tenant_id, 1)
            return
        largest = max(self._seen, key=lambda one: len(self._seen[one].in_order))
        # Some more at once, so that not every newcomer looks for the largest.
        n_over = len(self._seen[largest].in_order) - share
        self._drop_oldest(largest, max(1, min(self._most // _AT_ONCE, n_over)))

    def _drop_oldest(self, tenant_id: str, n: int) -> None:
        seen = self._seen[tenant_id]
        for _ in range(n):
            seen.numbers.remove(seen.in_order.popleft())
        self._n -= n
        if not seen.in_order:
            del self._seen[tenant_id]


@dataclass(slots=True, eq=False)
class _Seen:
    """Of one tenant."""

    numbers: set[int] = field(default_factory=set)
    in_order: deque[int] = field(default_factory=deque)

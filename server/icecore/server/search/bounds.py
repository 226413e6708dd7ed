"""How many queries may wait: of each tenant so many, so that none fills the house of another."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from icecore.server.errors import Overloaded

_LEARNING: Final = 0.1
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 30.0
"""What is foreseen beyond is mostly an index that was built meanwhile."""


@dataclass(slots=True)
class _Tenant:
    n_searches: int = 0
    n_queries: int = 0


class Bounds:
    """Counts the queries in hand; a search is taken or not by those of its tenant before it.

    So its own size does not matter, and the bound may be passed by one search.
    """

    def __init__(self, max_queries: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_queries = max_queries
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._query_s: float | None = None

    @contextmanager
    def place(self, tenant_id: str, n_queries: int) -> Iterator[None]:
        """Count the queries of a search for as long as it is here.

        Raises:
            Overloaded: too many of the tenant wait; `retry_after_s` is about when half
                of them are done.
        """
        tenant = self._tenants.setdefault(tenant_id, _Tenant())
        if tenant.n_queries >= self._max_queries:
            raise Overloaded(
                f"{tenant.n_queries:,} queries of this tenant's searches are waiting already; "
                "try again later",
                retry_after_s=self._half_done_s(tenant.n_queries),
            )
        tenant.n_searches += 1
        tenant.n_queries += n_queries
        n_before, began = tenant.n_queries, self._clock()
        try:
            yield
            # One that fails at once, or whose caller left, says nothing of how long they take.
            self._learn((self._clock() - began) / max(1, n_before))
        finally:
            tenant.n_searches -= 1
            tenant.n_queries -= n_queries
            if not tenant.n_searches:
                del self._tenants[tenant_id]

    def _learn(self, query_s: float) -> None:
        known = query_s if self._query_s is None else self._query_s
        self._query_s = known + _LEARNING * (query_s - known)

    def _half_done_s(self, n_queries: int) -> float:
        """At the pace of late; a second as long as none has ended."""
        foreseen_s = 1.0 if self._query_s is None else self._query_s * n_queries / 2
        return min(max(foreseen_s, _SHORTEST_S), _LONGEST_S)

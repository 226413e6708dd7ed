"""Whose job is next: tenants take turns, a tenant's own jobs keep their order."""

from collections import Counter, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting jobs by tenant.

    Next is a job of the tenant that has the fewest running; among equals, of the one
    served longest ago. So one tenant's hundred jobs delay another's first by what
    runs already, and no more.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._n_running: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._n_served = 0

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())

    def put(self, tenant_id: str, job: T) -> None:
        self._waiting.setdefault(tenant_id, deque()).append(job)

    def take(self) -> T | None:
        """Return the next job, None when nothing waits; it runs until `end`."""
        if not self._waiting:
            return None
        tenant_id = min(self._waiting, key=lambda t: (self._n_running[t], self._served.get(t, 0)))
        job = self._waiting[tenant_id].popleft()
        if not self._waiting[tenant_id]:
            del self._waiting[tenant_id]
        self._n_running[tenant_id] += 1
        self._n_served += 1
        self._served[tenant_id] = self._n_served
        return job

    def end(self, tenant_id: str) -> None:
        """A job that was taken runs no more."""
        self._n_running[tenant_id] -= 1
        if not self._n_running[tenant_id]:
            del self._n_running[tenant_id]

    def drop(self, tenant_id: str, job: T) -> bool:
        """Take a job out of its queue; whether it was there."""
        jobs = self._waiting.get(tenant_id)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._waiting[tenant_id]
        return True

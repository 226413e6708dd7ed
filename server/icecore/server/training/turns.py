"""Whose job is next: tenants take turns, a tenant's own jobs keep their order."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting jobs by tenant. One tenant's hundred jobs delay another's first by one at most."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())

    def put(self, tenant_id: str, job: T) -> None:
        self._waiting.setdefault(tenant_id, deque()).append(job)

    def take(self) -> T | None:
        """Return the next job, None when nothing waits."""
        if not self._waiting:
            return None
        tenant_id, jobs = self._waiting.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._waiting[tenant_id] = jobs  # behind all others
        return job

    def drop(self, tenant_id: str, job: T) -> bool:
        """Take a job out of its queue; whether it was there."""
        jobs = self._waiting.get(tenant_id)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._waiting[tenant_id]
        return True

"""What each tenant may have done now, and what it has had done: quotas at work.

All of it is in memory and lives on one event loop: no call waits for the store here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from icecore.server.embedding.scheduling.rates import Rate
from icecore.server.errors import (
    ImagesInFlightExceeded,
    RateLimited,
    ResourceExhausted,
    Unavailable,
)
from icecore.server.quotas import NO_LIMITS, Quota, Used

_FIRST_GUESS_S = 0.1
"""How long images stay in hand, before any was seen to leave."""

_LONGEST_GUESS_S = 5.0
_SMOOTHING = 0.2
"""Weight of the last call in what is remembered of how long calls take."""


@dataclass(slots=True)
class Account:
    """What one tenant may do and has had done; a later one of its name has another."""

    quota: Quota
    rate: Rate
    used: Used = field(default_factory=Used)
    stay_s: float = _FIRST_GUESS_S


class Allowances:
    """Holds every tenant to its quota, and counts.

        account = allowances.account(tenant_id)
        with allowances.take(tenant_id, len(images)):
            ...
            allowances.done(account, n_images=..., n_cached=..., cpu_s=...)

    The limits are in images, so they are the same for a hundred calls of one and for one
    of a hundred. Nobody ("") is held to nothing and not counted. Counts begin at `since`.
    """

    def __init__(
        self,
        quotas: Mapping[str, Quota] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the quotas that were set, by tenant; others have no limits."""
        self.since = datetime.now(UTC)
        self._clock = clock
        self._tenants = {
            tenant_id: Account(quota, Rate(quota)) for tenant_id, quota in (quotas or {}).items()
        }

    @contextmanager
    def take(self, tenant_id: str, n_images: int) -> Iterator[None]:
        """Have some of a tenant's images in hand.

        Where what is inside is refused for want of room, or because the server ends, the
        images do not count against the rate.

        Raises:
            ImagesInFlightExceeded: too many are in hand; `retry_after_s` is None where the call
                alone has too many.
            RateLimited: too many a second; `retry_after_s` says when these would be taken.
        """
        if not tenant_id:
            yield
            return
        tenant = self._of(tenant_id)
        self._check_in_flight(tenant, n_images)
        self._check_rate(tenant, n_images)
        began = self._clock()
        self._count(tenant, in_flight=n_images)
        try:
            yield
        except (ResourceExhausted, Unavailable):
            tenant.rate.give_back(n_images)
            self._count(tenant, rejected=n_images)
            raise
        finally:
            self._count(tenant, in_flight=-n_images)
            tenant.stay_s += _SMOOTHING * (self._clock() - began - tenant.stay_s)

    def account(self, tenant_id: str) -> Account | None:
        """Return where a call's images are counted that begins now; None: nowhere."""
        return self._of(tenant_id) if tenant_id else None

    def done(
        self, account: Account | None, *, n_images: int, n_cached: int = 0, cpu_s: float = 0.0
    ) -> None:
        """Count images that have their codes, `n_cached` of them known before."""
        if account is not None:
            self._count(account, images=n_images, cached=n_cached, cpu_s=cpu_s)

    def rejected(self, tenant_id: str, n_images: int) -> None:
        """Count images that were turned away before `take` was asked."""
        if tenant_id:
            self._count(self._of(tenant_id), rejected=n_images)

    def quota(self, tenant_id: str) -> Quota:
        tenant = self._tenants.get(tenant_id)
        return NO_LIMITS if tenant is None else tenant.quota

    def weight(self, tenant_id: str) -> float:
        """Return the tenant's share beside others; 1.0 unless a quota says more or less."""
        return self.quota(tenant_id).weight

    def used(self, tenant_id: str) -> Used:
        tenant = self._tenants.get(tenant_id)
        return Used() if tenant is None else tenant.used

    def set(self, tenant_id: str, quota: Quota) -> None:
        """Hold the tenant to another quota from its next call on, or a stream's next message."""
        tenant = self._of(tenant_id)
        tenant.rate = tenant.rate.changed(quota, self._clock())
        tenant.quota = quota

    def forget(self, tenant_id: str) -> None:
        """Forget a tenant that is deleted; one of its name begins anew."""
        self._tenants.pop(tenant_id, None)

    def _of(self, tenant_id: str) -> Account:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = Account(NO_LIMITS, Rate(NO_LIMITS))
        return tenant

    def _check_in_flight(self, tenant: Account, n_images: int) -> None:
        most = tenant.quota.max_images_in_flight
        n_there = tenant.used.n_images_in_flight
        if not most or n_there + n_images <= most:
            return
        self._count(tenant, rejected=n_images)
        if n_images > most:
            raise ImagesInFlightExceeded(
                f"the call has {n_images:,} images, but {most:,} at once are this tenant's quota, "
                "so it can never be taken: send fewer in each call"
            )
        raise ImagesInFlightExceeded(
            f"{n_there:,} images are in hand and {n_images:,} more would pass this tenant's quota "
            f"of {most:,} at once: wait for some of the answers",
            retry_after_s=min(max(tenant.stay_s, 1e-3), _LONGEST_GUESS_S),
        )

    def _check_rate(self, tenant: Account, n_images: int) -> None:
        wait_s = tenant.rate.take(n_images, self._clock())
        if wait_s is None:
            return
        self._count(tenant, rejected=n_images)
        raise RateLimited(
            f"{n_images:,} more images now would pass this tenant's quota of "
            f"{tenant.quota.images_per_second:g} a second: they would be taken in {wait_s:.3g} s",
            retry_after_s=wait_s,
        )

    @staticmethod
    def _count(
        tenant: Account,
        *,
        images: int = 0,
        cached: int = 0,
        rejected: int = 0,
        cpu_s: float = 0.0,
        in_flight: int = 0,
    ) -> None:
        used = tenant.used
        tenant.used = Used(
            used.n_images + images,
            used.n_cached_images + cached,
            used.n_rejected_images + rejected,
            used.cpu_s + cpu_s,
            used.n_images_in_flight + in_flight,
        )

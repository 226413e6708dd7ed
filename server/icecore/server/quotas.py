"""What a tenant may use, and what it has used. It stores and enforces nothing."""

import math
from dataclasses import dataclass
from typing import Final

from icecore.server.errors import QuotaInvalid

MAX_COUNT: Final = 2**63 - 1
"""What every database holds in a whole number."""

SLOWEST: Final = 1e-6
"""Images a second: one in eleven days. Waits for slower ones would pass what a trailer holds."""

FASTEST: Final = 1e9

WEIGHTS: Final = (0.01, 100.0)
"""Beyond, a turn of the smallest tenant would be days away from that of the largest."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may use; 0 means no limit, but for `weight`.

    Raises:
        QuotaInvalid: a number is not finite, negative or out of its range; the sentence says
            which one.
    """

    images_per_second: float = 0.0
    burst_images: int = 0
    """Images that may come at once after a pause; 0: those of one second, at least one."""
    max_images_in_flight: int = 0
    storage_bytes: int = 0
    """Of images, codes and probes, with the words that belong to them."""
    weight: float = 1.0
    """Share of the processor beside other tenants that want it too."""

    def __post_init__(self) -> None:
        rate = self.images_per_second
        if rate != 0 and not SLOWEST <= rate <= FASTEST:
            raise QuotaInvalid(
                f"images_per_second is {rate!r}, but must be 0 (no limit) or {SLOWEST:g} to "
                f"{FASTEST:g}"
            )
        if not WEIGHTS[0] <= self.weight <= WEIGHTS[1]:
            raise QuotaInvalid(
                f"weight is {self.weight!r}, but must be {WEIGHTS[0]:g} to {WEIGHTS[1]:g}"
            )
        for name in ("burst_images", "max_images_in_flight", "storage_bytes"):
            if not 0 <= getattr(self, name) <= MAX_COUNT:
                raise QuotaInvalid(
                    f"{name} is {getattr(self, name)!r}, but must be 0 (no limit) to {MAX_COUNT}"
                )
        if self.burst_images and not rate:
            raise QuotaInvalid(
                f"burst_images is {self.burst_images!r}, but without images_per_second nothing "
                "bounds what comes after a burst: give both, or max_images_in_flight"
            )

    @property
    def burst(self) -> float:
        """Images that may come at once after a pause, where there is a rate."""
        return float(self.burst_images) or max(1.0, math.ceil(self.images_per_second))


NO_LIMITS: Final = Quota()
"""Of a tenant that none was set for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a tenant has in the store, of one moment."""

    n_bytes: int = 0
    n_collections: int = 0
    n_examples: int = 0
    n_probes: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What a tenant has had done since the server started, and has in hand now."""

    n_images: int = 0
    n_cached_images: int = 0
    n_rejected_images: int = 0
    cpu_s: float = 0.0
    n_images_in_flight: int = 0

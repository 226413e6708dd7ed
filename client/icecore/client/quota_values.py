"""What a tenant may use, and what it has used: frozen values."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may use; 0 means no limit, but for `weight`."""

    images_per_second: float = 0.0
    """Over all calls: one in a hundred calls counts as a hundred in one."""
    burst_images: int = 0
    """Images that may come at once after a pause; 0: those of one second, at least one."""
    max_images_in_flight: int = 0
    """Images taken in and not yet answered, over all calls."""
    storage_bytes: int = 0
    """Of the tenant's images, codes and probes in the store, with the words that go with them."""
    weight: float = 1.0
    """Share of the processor beside other tenants that want it too."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has in the store now, and had done since the server started (`since`).

    `n_images` counts those that were answered, `n_cached_images` those of them that were known
    before, `n_rejected_images` those refused by a quota or a full server, each time they came,
    which clients send again when the server says. `cpu_seconds` are the processor's, for
    decoding and the network.
    """

    tenant_id: str
    quota: Quota
    storage_bytes: int
    n_collections: int
    n_examples: int
    n_probes: int
    since: datetime
    n_images: int
    n_cached_images: int
    n_rejected_images: int
    cpu_seconds: float
    n_images_in_flight: int

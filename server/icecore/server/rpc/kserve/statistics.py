"""What each tenant's own requests to each model took, summed up since the server started."""

from collections import Counter
from dataclasses import dataclass, field
from time import time
from typing import Final, TypeAlias

from icecore.kserve import open_inference as pb
from icecore.server.embedding.embedder import Timings

Key: TypeAlias = tuple[str, str, int]

_DIGITS: Final = 10


@dataclass(slots=True)
class _Sums:
    """Of one tenant's requests to one version of a model."""

    n_images: int = 0
    last_ms: int = 0
    count: Counter[str] = field(default_factory=Counter)
    ns: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, n: int, seconds: float) -> None:
        self.count[what] += n
        self.ns[what] += round(seconds * 1e9)


class Statistics:
    """Lives on one event loop. Only models that exist are counted, so what is kept is bounded."""

    def __init__(self, *, is_caching: bool) -> None:
        """Without `is_caching` there are neither hits nor misses."""
        self._is_caching = is_caching
        self._sums: dict[Key, _Sums] = {}
        self._answered_last: dict[tuple[str, str], int] = {}

    def succeeded(
        self,
        tenant_id: str,
        name: str,
        version: int,
        *,
        n_images: int,
        timings: Timings,
        output_s: float,
        total_s: float,
    ) -> None:
        """Count a request; `output_s` is what writing its answer took, `total_s` all.

        One whose images were all known is a hit, and nothing else; others are misses.
        """
        sums = self._sums.setdefault((tenant_id, name, version), _Sums())
        self._answered_last[tenant_id, name] = version
        sums.n_images += n_images
        sums.last_ms = round(time() * 1e3)
        sums.add("success", 1, total_s)
        if self._is_caching and timings.n_cached >= n_images:  # as Triton's own hits
            sums.add("cache_hit", 1, total_s)
            return
        sums.add("cache_miss", self._is_caching, 0.0)
        sums.add("queue", 1, timings.queue_ms / 1e3)
        sums.add("compute_input", 1, timings.decode_ms / 1e3)
        sums.add("compute_infer", 1, timings.compute_ms / 1e3)
        sums.add("compute_output", 1, output_s)

    def failed(self, tenant_id: str, name: str, version: int, *, total_s: float) -> None:
        self._sums.setdefault((tenant_id, name, version), _Sums()).add("fail", 1, total_s)

    def version_known(self, tenant_id: str, name: str, version: str) -> int | None:
        """Return the version asked for if it has answered before; "": the one that did last."""
        if not version:
            return self._answered_last.get((tenant_id, name))
        number = int(version) if version.isdecimal() and len(version) < _DIGITS else 0
        return number if (tenant_id, name, number) in self._sums else None

    def message(self, tenant_id: str, name: str, version: int) -> pb.ModelStatistics:
        """Return what is known; of a model never asked for, zeros."""
        sums = self._sums.get((tenant_id, name, version), _Sums())
        spent = pb.InferStatistics()
        for what in pb.InferStatistics.DESCRIPTOR.fields_by_name:
            duration: pb.StatisticDuration = getattr(spent, what)
            duration.count, duration.ns = sums.count[what], sums.ns[what]
        return pb.ModelStatistics(
            name=name,
            version=str(version),
            last_inference=sums.last_ms,
            inference_count=sums.n_images,
            execution_count=sums.count["success"],
            inference_stats=spent,
        )

    def forget(self, tenant_id: str) -> None:
        """Drop what is kept of a tenant that was deleted."""
        for key in [key for key in self._sums if key[0] == tenant_id]:
            del self._sums[key]
            self._answered_last.pop(key[:2], None)

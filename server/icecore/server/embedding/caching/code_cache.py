"""Never twice: codes that are known are not computed, nor those that somebody is computing.

What is looked up is one image at some taps. The codes of each tap are kept apart, so that
who asks for three layers and knows two pays for the third. Lives on one event loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.server.embedding.caching import hashing
from icecore.server.embedding.caching.disk import DiskCache
from icecore.server.embedding.caching.fingerprints import Place
from icecore.server.embedding.caching.first_sights import LANDED_BYTES, FirstSight, FirstSights
from icecore.server.embedding.caching.flights import Flight
from icecore.server.embedding.caching.keys import code_key, fingerprint
from icecore.server.embedding.caching.memory import MemoryCache
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.scheduling.pieces import Piece
from icecore.server.telemetry.metrics import CacheOutcome, Metrics
from icecore.wire.taps import TapId

FloatArray: TypeAlias = npt.NDArray[np.float32]

LANDED_SHARE: Final = 16
"""Tensors that were seen once, and their codes, take so much of the memory beside what is kept."""


@dataclass(slots=True, eq=False)
class Joined:
    """Codes that another caller's flight will give, at place `index` of its codes."""

    flight: Flight
    index: int
    tap: TapId


@dataclass(slots=True, eq=False)
class Sought:
    """One image at some taps: what is known, who is at work on it, and what is missing.

    `flight` is the caller's own, to be begun for `missing`; None where nothing is.
    """

    known: dict[TapId, FloatArray] = field(default_factory=dict)
    joined: list[Joined] = field(default_factory=list)
    missing: tuple[TapId, ...] = ()
    flight: Flight | None = None


class CodeCache:
    """Codes in memory, then on disk, then under way.

    Args:
        give_up: called with a piece that nobody waits for any more.
    """

    def __init__(
        self,
        memory: MemoryCache,
        disk: DiskCache | None,
        give_up: Callable[[Piece], None],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._memory = memory
        self._disk = disk
        self._give_up = give_up
        self._under_way: dict[bytes, tuple[Flight, int]] = {}
        self._keys: dict[Flight, tuple[str, tuple[bytes, ...]]] = {}
        self._first = FirstSights(min(LANDED_BYTES, memory.max_bytes // LANDED_SHARE))
        self._writing: asyncio.Future[None] | None = None
        self._lives: dict[str, int] = {}
        """How often a tenant of some name was forgotten; none: never."""

    @property
    def n_bytes(self) -> int:
        """Bytes held in memory."""
        return self._memory.n_bytes

    def life(self, tenant_id: str) -> int:
        """Return which tenant of that name there is now: the codes of one are not another's."""
        return self._lives.get(tenant_id, 0)

    async def seek(
        self, tenant_id: str, image: ImageInput, taps: Sequence[TapId], *, life: int = 0
    ) -> Sought:
        """Return what is known; for what is missing the caller begins the flight.

        For a call of a tenant that was forgotten since it began, nothing is known or kept.

        A tensor is kept from its second sight on; see `first_sights`. While the first
        is under way, or has just ended, the second still shares its pass.
        """
        wanted = tuple(dict.fromkeys(taps))
        if life != self.life(tenant_id):
            return self._unkept(wanted)
        if not isinstance(image, Encoded):
            place = (tenant_id, fingerprint(image))
            if not self._first.is_known(place):
                return self._first_sight(place, image, wanted)
            first = self._first.find(place)
            if first is not None:
                await self._register_first(place, first)
        digest = await hashing.digest(image)
        keys = [code_key(tenant_id, digest, tap) for tap in wanted]
        found: dict[bytes, FloatArray] = {}
        if self._disk is not None:
            found = await self._read(self._disk, tenant_id, keys)
        if life != self.life(tenant_id):
            return self._unkept(wanted)
        for key, codes in found.items():
            self._memory.put(tenant_id, key, codes)
        return self._find(tenant_id, wanted, keys, found)

    async def forget(self, tenant_id: str) -> None:
        """Let all of a tenant go, and keep nothing of what is under way for it now."""
        self._lives[tenant_id] = self.life(tenant_id) + 1
        for flight in [one for one, (whose, _) in self._keys.items() if whose == tenant_id]:
            self._take_off(flight, self._keys.pop(flight)[1])
        self._first.forget(tenant_id)
        self._memory.forget(tenant_id)
        if self._disk is not None:
            await asyncio.to_thread(self._disk.forget, tenant_id)

    def close(self) -> None:
        """Write what is still to be written; blocks for the disk."""
        if self._disk is not None:
            self._disk.close()

    def _find(
        self,
        tenant_id: str,
        taps: tuple[TapId, ...],
        keys: Sequence[bytes],
        on_disk: Mapping[bytes, FloatArray],
    ) -> Sought:
        sought = Sought()
        missing: list[TapId] = []
        missing_keys: list[bytes] = []
        for tap, key in zip(taps, keys, strict=True):
            codes = self._memory.get(tenant_id, key)
            if codes is None:  # there may be no room for it in memory
                codes = on_disk.get(key)
            if codes is not None:
                sought.known[tap] = codes
            elif (under_way := self._under_way.get(key)) is not None:
                sought.joined.append(Joined(*under_way, tap))
            else:
                missing.append(tap)
                missing_keys.append(key)
        sought.missing = tuple(missing)
        outcome: CacheOutcome = "miss" if missing else "shared" if sought.joined else "hit"
        self._metrics.cache_looked_up(outcome, 1)
        if missing:
            sought.flight = Flight(self._give_up, self._land)
            self._register(sought.flight, tenant_id, tuple(missing_keys))
        return sought

    def _unkept(self, taps: tuple[TapId, ...]) -> Sought:
        self._metrics.cache_looked_up("unkept", 1)
        return Sought(missing=taps, flight=Flight(self._give_up, lambda _: None))

    def _first_sight(
        self, place: Place, image: Prepared | Pixels, taps: tuple[TapId, ...]
    ) -> Sought:
        def landed(flight: Flight) -> None:
            if not self._first.land(place, flight):
                self._land(flight)

        sought = self._unkept(taps)
        sought.flight = Flight(self._give_up, landed)
        self._first.begin(place, FirstSight(image, taps, sought.flight))
        return sought

    async def _register_first(self, place: Place, first: FirstSight) -> None:
        """Hash the tensor that came first, so that this one may share its pass."""
        digest = await first.digest()
        if not self._first.take(place, first):
            return  # meanwhile dropped, taken by another, or forgotten with its tenant
        keys = tuple(code_key(place[0], digest, tap) for tap in first.taps)
        self._register(first.flight, place[0], keys)
        if first.flight.codes is not None:
            self._land(first.flight)

    def _register(self, flight: Flight, tenant_id: str, keys: tuple[bytes, ...]) -> None:
        self._keys[flight] = (tenant_id, keys)
        for index, key in enumerate(keys):
            self._under_way[key] = (flight, index)

    def _land(self, flight: Flight) -> None:
        if flight not in self._keys:
            return  # a first sight that was forgotten, or whose tenant was
        tenant_id, keys = self._keys.pop(flight)
        self._take_off(flight, keys)
        for key, codes in zip(keys, flight.codes or [], strict=False):
            self._memory.put(tenant_id, key, codes)
            if self._disk is not None and self._disk.put(tenant_id, key, codes):
                self._write(self._disk)

    def _take_off(self, flight: Flight, keys: Sequence[bytes]) -> None:
        """Let nobody join any more."""
        for key in keys:
            under_way = self._under_way.get(key)
            if under_way is not None and under_way[0] is flight:
                del self._under_way[key]

    async def _read(
        self, disk: DiskCache, tenant_id: str, keys: Sequence[bytes]
    ) -> dict[bytes, FloatArray]:
        """Return what only the disk has."""
        absent = [key for key in keys if self._memory.get(tenant_id, key) is None]
        absent = [key for key in absent if key not in self._under_way]
        return await asyncio.to_thread(disk.get, tenant_id, absent) if absent else {}

    def _write(self, disk: DiskCache) -> None:
        if self._writing is None or self._writing.done():
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(None, disk.write)

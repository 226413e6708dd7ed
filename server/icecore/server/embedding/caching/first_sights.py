"""Tensors that came once: they are hashed when they come again, and not before.

Hashing 602 KB costs as much as a twentieth of a small network's pass, and most tensors never
come again. So the first is known by a fingerprint of some of its bytes; when another has
the same, both are hashed, and only the hash says whether they are equal.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from icecore.server.embedding.caching.flights import Flight
from icecore.server.embedding.images import Pixels, Prepared
from icecore.wire.taps import TapId

Place: TypeAlias = tuple[str, int]
"""A tenant and a fingerprint."""

MOST: Final = 4096
"""Fingerprints remembered."""

LANDED_BYTES: Final = 16 << 20
"""At most, of tensors whose pass has ended: who comes right behind one finds its codes."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstSight:
    """A tensor that came once, and its own flight."""

    image: Prepared | Pixels
    taps: tuple[TapId, ...]
    flight: Flight

    @property
    def n_bytes(self) -> int:
        """Of the tensor, and of its codes once the flight has ended."""
        return self.image.array.nbytes + sum(one.nbytes for one in self.flight.codes or ())


class FirstSights:
    """Those remembered. Lives on one event loop.

    Args:
        max_bytes: of those whose pass has ended.
    """

    def __init__(self, max_bytes: int = LANDED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._seen: OrderedDict[Place, None] = OrderedDict()
        self._under_way: dict[Place, FirstSight] = {}
        self._landed: OrderedDict[Place, FirstSight] = OrderedDict()
        self._n_bytes = 0

    def is_known(self, place: Place) -> bool:
        """Whether one of this fingerprint came lately; it has from now on."""
        is_known = place in self._seen
        self._seen[place] = None
        self._seen.move_to_end(place)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return is_known

    def begin(self, place: Place, sight: FirstSight) -> None:
        self._under_way[place] = sight

    def land(self, place: Place, flight: Flight) -> bool:
        """Return whether a flight was still nobody else's; its tensor is kept for a while."""
        sight = self._under_way.get(place)
        if sight is None or sight.flight is not flight:
            return False
        del self._under_way[place]
        if flight.codes is not None:
            self._drop(place)
            self._landed[place] = sight
            self._n_bytes += sight.n_bytes
            while self._n_bytes > self._max_bytes:
                self._drop(next(iter(self._landed)))
        return True

    def take(self, place: Place) -> FirstSight | None:
        """Return the first of this fingerprint and forget it; None: it came too long ago."""
        sight = self._under_way.pop(place, None) or self._landed.get(place)
        self._drop(place)
        return sight

    def forget(self, tenant_id: str) -> None:
        for place in [one for one in (*self._under_way, *self._landed) if one[0] == tenant_id]:
            self._under_way.pop(place, None)
            self._drop(place)

    def _drop(self, place: Place) -> None:
        sight = self._landed.pop(place, None)
        if sight is not None:
            self._n_bytes -= sight.n_bytes

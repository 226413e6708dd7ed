"""Tensors that came once: they are hashed when they come again, and not before.

Hashing 602 KB costs as much as a twentieth of a small network's pass, and most tensors never
come again. So the first is known by a fingerprint of some of its bytes; when another has
the same, both are hashed, and only the hash says whether they are equal.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from icecore.server.embedding.caching import hashing
from icecore.server.embedding.caching.fingerprints import MOST, Fingerprints, Place
from icecore.server.embedding.caching.flights import Flight
from icecore.server.embedding.caching.owners import held_bytes, is_part
from icecore.server.embedding.images import Pixels, Prepared
from icecore.wire.taps import TapId

LANDED_BYTES: Final = 16 << 20
"""At most, of tensors whose pass has ended: who comes right behind one finds its codes."""

ENTRY_BYTES: Final = 2000
"""What one of those takes beside its values: flight, arrays, places in dictionaries (measured)."""

LARGEST_COPY: Final = 2 << 20
"""Bytes of a part of a message that are copied, so that the rest can go: 0.5 ms."""


@dataclass(slots=True, eq=False)
class FirstSight:
    """A tensor that came once, and its own flight."""

    image: Prepared | Pixels
    taps: tuple[TapId, ...]
    flight: Flight
    _hashed: "asyncio.Future[bytes] | None" = field(default=None, init=False)

    @property
    def n_bytes(self) -> int:
        """In memory: with all that the tensor is a view of, and with the codes of the flight."""
        array = self.image.array
        held = held_bytes(array)
        n_codes = sum(one.nbytes for one in self.flight.codes or ())
        return ENTRY_BYTES + (array.nbytes if held is None else held) + n_codes

    async def digest(self) -> bytes:
        """Return the tensor's digest; those who ask while it is hashed share that."""
        if self._hashed is None or self._hashed.done():
            self._hashed = asyncio.ensure_future(hashing.digest(self.image))
        return await asyncio.shield(self._hashed)

    def let_go(self) -> None:
        """Keep the tensor only, and not the message that it came with."""
        self.image = type(self.image)(self.image.array.copy())


class FirstSights:
    """Those remembered: each place is under way, or has landed. Lives on one event loop.

    Args:
        max_bytes: of those whose pass has ended.
        most: fingerprints.
    """

    def __init__(self, max_bytes: int = LANDED_BYTES, most: int = MOST) -> None:
        self._max_bytes = max_bytes
        self._seen = Fingerprints(most)
        self._under_way: dict[Place, FirstSight] = {}
        self._landed: OrderedDict[Place, FirstSight] = OrderedDict()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """In memory, of those whose pass has ended."""
        return self._n_bytes

    def is_known(self, place: Place) -> bool:
        """Whether one of this fingerprint came lately; it has from now on."""
        return self._seen.saw(place)

    def begin(self, place: Place, sight: FirstSight) -> None:
        """Take the place of who was there: its fingerprint was forgotten."""
        self._drop(place)
        self._under_way[place] = sight

    def land(self, place: Place, flight: Flight) -> bool:
        """Return whether a flight was still nobody else's; its tensor is kept for a while."""
        sight = self._under_way.get(place)
        if sight is None or sight.flight is not flight:
            return False
        del self._under_way[place]
        if flight.codes is not None:
            self._keep(place, sight)
        return True

    def find(self, place: Place) -> FirstSight | None:
        """Return the first of this fingerprint; None: it came too long ago, or was taken."""
        return self._under_way.get(place) or self._landed.get(place)

    def take(self, place: Place, sight: FirstSight) -> bool:
        """Forget one that was found. Return whether it was still there."""
        if self.find(place) is not sight:
            return False
        self._under_way.pop(place, None)
        self._drop(place)
        return True

    def forget(self, tenant_id: str) -> None:
        """Let all of a tenant go."""
        for place in [one for one in (*self._under_way, *self._landed) if one[0] == tenant_id]:
            self._under_way.pop(place, None)
            self._drop(place)
        self._seen.forget(tenant_id)

    def _keep(self, place: Place, sight: FirstSight) -> None:
        array = sight.image.array
        if is_part(array):
            if array.nbytes > min(LARGEST_COPY, self._max_bytes):
                return  # who comes again finds nothing, and is kept
            sight.let_go()
        n_bytes = sight.n_bytes
        if n_bytes > self._max_bytes:
            return  # all others would go for it
        self._landed[place] = sight
        self._n_bytes += n_bytes
        while self._n_bytes > self._max_bytes:
            self._drop(next(iter(self._landed)))

    def _drop(self, place: Place) -> None:
        sight = self._landed.pop(place, None)
        if sight is not None:
            self._n_bytes -= sight.n_bytes

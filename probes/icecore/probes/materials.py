"""Layers made ready for fitting, once as long as there is room."""

from collections.abc import Callable, Hashable
from typing import Final

from icecore.probes.preprocessing import Preprocessing
from icecore.probes.solving.directions import MAX_GRAM_ROWS
from icecore.probes.solving.material import Material

KEPT_BYTES: Final = 1 << 29
"""Rotated codes of all layers together that are kept until one is chosen; what is beyond is
rotated again when its turn comes."""

Way = tuple[str, Preprocessing]
"""A key of codes, and what is done to each of them."""


class Materials:
    """As many as fit are kept for the fit at the end."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Material] = {}
        self._room = KEPT_BYTES

    def take(
        self, name: Hashable, shape: tuple[int, ...], make: Callable[[], Material]
    ) -> Material:
        """Return what `make` makes of codes of `shape` (n, d), or made before under this name."""
        if name in self._kept:
            return self._kept[name]
        material = make()
        # In float64 and float32, the way back, and inner products in float32.
        n, r = shape[0], min(shape)
        n_bytes = 12 * n * r + 8 * r * r + (4 * n * n if n <= MAX_GRAM_ROWS else 0)
        if n_bytes <= self._room:
            self._room -= n_bytes
            self._kept[name] = material
        return material

"""Layers made ready for fitting, once as long as there is room."""

from collections.abc import Mapping
from typing import Final

from icecore.probes.linear_probe import CodeArray
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.solving.directions import MAX_GRAM_ROWS
from icecore.probes.solving.material import Material, material_of

KEPT_BYTES: Final = 1 << 29
"""Rotated codes of all layers together that are kept until one is chosen; what is beyond is
rotated again when its turn comes."""

Way = tuple[str, Preprocessing]
"""A key of codes, and what is done to each of them."""


class Materials:
    """As many as fit are kept for the fit at the end."""

    def __init__(self, codes: Mapping[str, CodeArray]) -> None:
        self._codes = codes
        self._kept: dict[Way, Material] = {}
        self._room = KEPT_BYTES

    def take(self, way: Way) -> Material:
        if way in self._kept:
            return self._kept[way]
        key, how = way
        codes = self._codes[key]
        material = material_of(preprocessed(codes, how))
        # In float64 and float32, the way back, and inner products in float32.
        n, r = len(codes), min(codes.shape)
        n_bytes = 12 * n * r + 8 * r * r + (4 * n * n if n <= MAX_GRAM_ROWS else 0)
        if n_bytes <= self._room:
            self._room -= n_bytes
            self._kept[way] = material
        return material

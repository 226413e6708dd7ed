"""The places of networks that may be chosen to read codes at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icecore.probes.linear_probe import CodeArray

_APART: Final = 100.0
"""Between two networks, on a scale on which one is 1 long: nothing is lent that far."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One place of a backbone where codes are read.

    `depth` is 0 for the backbone's own outputs. `codes` is (n, d) float. `n_bytes` are those of
    the weights that lead here, `macs` the multiply-accumulates of one image.
    """

    backbone: str
    layer: str
    depth: int
    codes: CodeArray
    n_bytes: int
    macs: int

    @property
    def key(self) -> str:
        return f"{self.backbone}/{self.layer}"


def positions_of(candidates: Sequence[Candidate]) -> dict[str, float | None]:
    """Depths as shares of the network's; networks are far apart. Outputs have none (`Places`)."""
    deepest: dict[str, int] = {}
    for one in candidates:
        deepest[one.backbone] = max(one.depth, deepest.get(one.backbone, 0))
    start = {backbone: _APART * place for place, backbone in enumerate(deepest)}
    return {
        one.key: start[one.backbone] + one.depth / deepest[one.backbone] if one.depth else None
        for one in candidates
    }

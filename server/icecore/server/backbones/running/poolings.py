"""What each pooling makes of a layer: the shape of its codes, and which layers it fits.

The nodes that compute it are in `heads`.
"""

from icecore.server.backbones.graphs.layers import Layer
from icecore.server.errors import PoolingInvalid
from icecore.wire.taps import Pooling, PoolingKind

GRID_VALUES = 9_000
"""What GRID comes as near to as it can: a linear probe on more gains little and costs much."""


def codes_shape(layer: Layer, pooling: Pooling) -> tuple[int, ...]:
    """Return the shape of one image's codes: (d,), or (c, h, w) for NONE.

    Raises:
        PoolingInvalid: CLS where the layer has no class token.
    """
    match pooling.kind:
        case PoolingKind.NONE:
            return layer.channels, layer.height, layer.width
        case PoolingKind.GRID:
            return (layer.channels * grid_side(layer) ** 2,)
        case PoolingKind.CLS if not layer.prefix_tokens:
            raise PoolingInvalid(
                f"layer {layer.name!r} has no class token: its {layer.channels} channels lie on "
                f"{layer.height} x {layer.width} places with nothing in front, so pooling 'cls' "
                "has nothing to read there; 'avg' is the mean over the places"
            )
        case _:
            return (layer.channels,)


def grid_side(layer: Layer) -> int:
    """Return g: GRID averages a map into g x g cells, and c * g * g is near 9,000."""
    sides = range(1, min(layer.height, layer.width) + 1)
    return min(sides, key=lambda g: abs(layer.channels * g * g - GRID_VALUES))

"""How a tensor's values lie: which axis holds the channels, which the places."""

from enum import StrEnum


class Layout(StrEnum):
    """Axes of a tensor that codes can be read from; n is the batch."""

    MAP = "nchw"
    """(n, c, h, w), what convolutions make."""
    ROWS = "nhwc"
    """(n, h, w, c), as TensorFlow keeps maps, and torch before a layer norm."""
    TOKENS = "ntc"
    """(n, t, c): `prefix_tokens`, then the map row by row."""
    VECTOR = "nc"
    """(n, c), a map of 1 x 1."""

"""What calls are given to work on: images, layers of a backbone, and whose turn it is.

`Pooling`, `Activation`, `TapId` and `Codes` are in `icecore.wire`, shared with the server.
"""

from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ImageInput: TypeAlias = bytes | str | Path | npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""An encoded file (its bytes, or the path where it lies: JPEG, PNG, WebP), pixels as uint8
(h, w, 3) RGB, or what comes after the recipe as float32 (3, h, w)."""

LayerSpec: TypeAlias = int | str
"""A depth (`17`; `-1` is the last), a name, `name:267`, or `*` for all layers with a depth."""


class Priority(StrEnum):
    """Whose turn it is among a tenant's own calls: `bulk` runs in the time that others leave."""

    INTERACTIVE = "interactive"
    BULK = "bulk"

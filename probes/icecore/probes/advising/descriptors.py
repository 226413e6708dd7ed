"""What images say without any network: their pixels, and histograms of their gradients.

Baselines that transfer has to beat. Decoding and resizing are the caller's.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import InputInvalid

Images = npt.NDArray[np.uint8]
Descriptors = npt.NDArray[np.float32]

CELL: Final = 8
"""Pixels along each side of a cell."""

ORIENTATIONS: Final = 9
"""Bins over 180 degrees: a gradient and its opposite are one."""

BLOCK: Final = 2
"""Cells along each side of a block; blocks overlap, one begins at each cell."""

_CLIPPED_AT: Final = 0.2
_EPS: Final = 1e-5
_CHUNK: Final = 64
"""Images at once: 64 colour images of 128 x 128 take about 100 MB in between."""


def pixels(images: Images) -> Descriptors:
    """Return the images' values, (n, d) float32 in 0..1.

    Args:
        images: (n, h, w) or (n, h, w, 3) uint8; 32 x 32 shows as much as a linear probe
            can use, and is the size of the classic sets of small images.

    Raises:
        InputInvalid: another dtype or shape.
    """
    _check(images, least=1)
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255.0)


def hog(images: Images) -> Descriptors:
    """Return histograms of oriented gradients, (n, d) float32.

    Nine unsigned orientations in cells of 8 x 8 pixels, blocks of 2 x 2 cells under
    L2-Hys; of colours, at each pixel the channel whose gradient is largest. Each pixel counts
    in one cell and one bin, as in scikit-image, whose `feature.hog` gives the same values;
    the paper shares a pixel out between neighbouring ones. Pixels beyond the last whole
    cell are not read. d is (h // 8 - 1) * (w // 8 - 1) * 36: 1,764 for 64 x 64.

    Args:
        images: (n, h, w) or (n, h, w, 3) uint8, 16 pixels or more to each side.

    Raises:
        InputInvalid: another dtype or shape.

    Source: Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005.
    """
    _check(images, least=BLOCK * CELL)
    rows, columns = images.shape[1] // CELL, images.shape[2] // CELL
    d = (rows - BLOCK + 1) * (columns - BLOCK + 1) * BLOCK**2 * ORIENTATIONS
    found = np.empty((len(images), d), np.float32)
    for first in range(0, len(images), _CHUNK):
        cells = _cells(images[first : first + _CHUNK])
        found[first : first + _CHUNK] = _blocks(cells).reshape(len(cells), d)
    return found


def _cells(images: Images) -> npt.NDArray[np.float64]:
    """Return (n, rows, columns, orientations): mean magnitude in each cell by orientation."""
    n, h, w = images.shape[:3]
    values = images.reshape(n, h, w, -1).astype(np.float64)
    down, across = np.zeros_like(values), np.zeros_like(values)
    down[:, 1:-1] = values[:, 2:] - values[:, :-2]
    across[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    largest = np.hypot(down, across).argmax(axis=3)[..., None]
    down = np.take_along_axis(down, largest, 3)[..., 0]
    across = np.take_along_axis(across, largest, 3)[..., 0]
    degrees = np.rad2deg(np.arctan2(down, across)) % 180.0
    bins = np.minimum(degrees * (ORIENTATIONS / 180.0), ORIENTATIONS - 1).astype(np.intp)
    rows, columns = h // CELL, w // CELL
    place = np.arange(h)[:, None] // CELL * columns + np.arange(w) // CELL
    place = place + np.arange(n)[:, None, None] * (rows * columns)
    whole = (slice(None), slice(rows * CELL), slice(columns * CELL))
    counted = np.bincount(
        (place * ORIENTATIONS + bins)[whole].ravel(),
        np.hypot(down, across)[whole].ravel(),
        n * rows * columns * ORIENTATIONS,
    )
    return counted.reshape(n, rows, columns, ORIENTATIONS) / CELL**2


def _blocks(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (n, rows - 1, columns - 1, 36), each block of length one but for what is clipped."""
    windows = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(1, 2))
    blocks = np.moveaxis(windows, 3, 5).reshape(*windows.shape[:3], -1)
    blocks = np.minimum(_normed(blocks), _CLIPPED_AT)
    return _normed(blocks)


def _normed(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.sqrt(np.square(blocks).sum(axis=-1, keepdims=True) + _EPS**2)
    normed: npt.NDArray[np.float64] = blocks / lengths
    return normed


def _check(images: Images, *, least: int) -> None:
    is_grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    if images.dtype != np.uint8 or not is_grey_or_colour or min(images.shape[1:3]) < least:
        raise InputInvalid(
            f"images are {images.dtype.name!r} of shape {images.shape!r}, but must be uint8 of "
            f"shape (n, h, w) or (n, h, w, 3), {least} pixels or more to each side"
        )

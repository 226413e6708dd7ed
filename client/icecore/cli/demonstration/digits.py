"""Handwritten digits as image files, drawn from those that come with scikit-learn.

8 x 8 grey values (UCI's "optical recognition of handwritten digits", CC BY 4.0)
become 192 x 192 pictures of ink on paper, as if they had been scanned.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from icecore.cli.mistakes import Mistake

PER_CLASS = 60
SIDE = 192
EMPTY_CELLS = 1
"""Paper around the 8 x 8 values, since some digits touch their edge."""

INK = (24, 34, 74)
PAPER = (250, 247, 238)


def draw_digits(folder: Path, *, per_class: int = PER_CLASS) -> int:
    """Write `per_class` pictures of each digit as FOLDER/DIGIT/NNNN.png and return how many.

    The names hold each digit's place in scikit-learn's set. Pictures that are
    there are written over with the same bytes.

    Raises:
        Mistake: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise Mistake(
            "the digits come with scikit-learn: pip install 'icecore[server]', "
            "or name images of your own with --images DIR"
        ) from None
    digits = load_digits()
    n_drawn = 0
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        # Those of one writer follow each other in the set: spread out, many writers take part.
        places = np.flatnonzero(digits.target == digit)
        spread = np.linspace(0, len(places) - 1, min(per_class, len(places))).astype(int)
        for place in places[spread]:
            picture = draw(digits.images[place])
            picture.save(folder / str(digit) / f"{place:04d}.png", optimize=False)
            n_drawn += 1
    return n_drawn


def draw(values: npt.NDArray[np.float64]) -> Image.Image:
    """Return one (8, 8) array of 0 (paper) to 16 (ink) as an RGB picture, SIDE pixels square."""
    padded = np.pad(values, EMPTY_CELLS) * (255 / 16)
    grey = Image.fromarray(padded.round().astype(np.uint8))
    smooth = grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ImageOps.colorize(smooth, black=PAPER, white=INK)

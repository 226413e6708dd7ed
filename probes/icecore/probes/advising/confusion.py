"""What held-out images were taken for: counts, and the images that show it best."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from icecore.probes.folds import NEVER_HELD_OUT

SHOWN_MISTAKES: Final = 12
SHOWN_A_KIND: Final = 3
"""Of one kind of mistake: this class taken for that one."""

SHOWN_RIGHT: Final = 12
"""Classes of which an image is shown that was recognised."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image, by its row, and the class it was taken for, by its place."""

    row: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts[i][j]` held-out images of class i were taken for class j.

    `shown` are mistakes, the commonest kinds first, then one image recognised of each class.
    """

    counts: tuple[tuple[int, ...], ...]
    shown: tuple[Shown, ...]

    @classmethod
    def of(cls, y: np.ndarray, predicted: np.ndarray, k: int) -> "Confusion":
        """Return the confusion of answers.

        Args:
            y: (n,) int of 0..k-1.
            predicted: (n,) the same, or -1 for images that were not held out.
            k: classes.
        """
        held = predicted != NEVER_HELD_OUT
        cells = np.bincount(y[held] * k + predicted[held], minlength=k * k).reshape(k, k)
        wrong = cells.copy()
        np.fill_diagonal(wrong, 0)
        shown: list[Shown] = []
        for cell in np.argsort(-wrong, axis=None, kind="stable"):
            i, j = divmod(int(cell), k)
            if not wrong[i, j] or len(shown) == SHOWN_MISTAKES:
                break
            room = min(SHOWN_A_KIND, SHOWN_MISTAKES - len(shown))
            shown += [
                Shown(int(row), j) for row in np.flatnonzero((y == i) & (predicted == j))[:room]
            ]
        for i in range(min(k, SHOWN_RIGHT)):
            rows = np.flatnonzero((y == i) & (predicted == i))
            shown += [Shown(int(row), i) for row in rows[:1]]
        return cls(tuple(tuple(int(count) for count in row) for row in cells), tuple(shown))

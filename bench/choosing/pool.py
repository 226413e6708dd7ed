"""Images that draws are taken from, and what a training of them chooses among.

As the server's does: every depth, and the network's own answers where the core has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from icecore.probes.selection import train
from icecore.probes.training import Training
from science.asking import Part
from science.core_files import LOGITS, FloatArray
from science.held_out import Bools


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Codes (n, d) of all images by key, layers by depth and logits last, read once.

    `labels` and `groups` (n,) are text, equal groups for copies of an image. `positions` are
    depths as shares of the network's, None for logits.
    """

    codes: Mapping[str, FloatArray]
    labels: np.ndarray
    groups: np.ndarray
    positions: Mapping[str, float | None]

    @classmethod
    def of(cls, part: Part) -> Self:
        """Return what a part has."""
        codes = {layer.key: part.codes(layer.key) for layer in part.layers}
        positions: dict[str, float | None] = {**part.positions}
        if LOGITS in part.core.codes:
            codes[LOGITS] = part.codes(LOGITS)
            positions[LOGITS] = None
        return cls(codes, np.array(part.labels), np.array(part.groups), positions)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys of logits."""
        return tuple(key for key in self.codes if key == LOGITS)

    def trained(self, rows: np.ndarray, *, seed: int, joining: bool = False) -> Training:
        """Return a training by softmax on some images, (rows,) indices."""
        return train(
            {key: codes[rows] for key, codes in self.codes.items()},
            self.labels[rows].tolist(),
            kind="softmax",
            groups=self.groups[rows].tolist(),
            positions=self.positions,
            outputs=self.outputs,
            joining=joining,
            seed=seed,
        )

    def right(self, training: Training, rows: np.ndarray) -> Bools:
        """Return which of some images the fitted probe gets right: (rows,) bool."""
        codes = np.concatenate([self.codes[key][rows] for key in training.keys], axis=1)
        said = training.probe("tap").predict(codes, tap="tap").labels
        is_right: Bools = np.array(said) == self.labels[rows]
        return is_right


def split(
    labels: np.ndarray, groups: np.ndarray, seed: int, most: int, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and to judge by, copies on one side.

    Of each class `share` is trained on, and at most `most` images, evenly of the classes; all
    others judge.
    """
    random = np.random.default_rng(seed)
    is_trained = np.zeros(len(labels), np.bool_)
    classes = np.unique(labels)
    for name in classes:
        members = np.flatnonzero(labels == name)
        found = random.permutation(np.unique(groups[members]))
        taken = found[: min(int(share * len(found)), most // len(classes))]
        is_trained[members] = np.isin(groups[members], taken)
    return np.flatnonzero(is_trained), np.flatnonzero(~is_trained)

"""What contests are held with: real images under real networks with random weights, and clouds."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.probes.advising.contest import Answers, Contest
from icecore.probes.advising.descriptors import hog, pixels
from icecore.probes.advising.verdict import HOG, MAJORITY, PIXELS, TWIN
from icecore.probes.linear_probe import ProbeKind
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.backbones.twins import random_twin
from icecore.server.embedding.images import Encoded
from icecore.server.embedding.preparing import to_floats
from science.cores import backbone_of, images_of

FloatArray = npt.NDArray[np.float32]
Layers = Mapping[str, FloatArray]

CS = (1e-4, 1e-2, 1.0)
"""Of softmax; fewer than a training tries, to have more trials."""

CALIBRATION = 48
"""Images that set the scales of a random twin."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One draw of labelled images, as every contestant sees them."""

    y: npt.NDArray[np.int64]
    transfer: Layers
    pixels: FloatArray
    hog: FloatArray
    twins: Sequence[Layers]

    def answers(self, seed: int) -> tuple[Answers, dict[str, Answers]]:
        """Return the transfer's answers and the baselines', by the real nested procedure."""
        contest = Contest.of(self.y, np.arange(len(self.y)), seed=seed)

        def of(layers: Layers) -> Answers:
            return contest.answers(layers, kind=ProbeKind.SOFTMAX, Cs=CS)

        return of(self.transfer), {
            MAJORITY: contest.majority(),
            PIXELS: of({"pixels": self.pixels}),
            HOG: of({"hog": self.hog}),
            TWIN: np.stack([of(twin) for twin in self.twins]),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """A labelled set under a trained network and under random twins of it."""

    name: str
    labels: npt.NDArray[Any]
    trained: Layers
    twins: Sequence[Layers]
    pixels: FloatArray
    hog: FloatArray

    @classmethod
    def of(cls, name: str, network: str, *, n_most: int, n_twins: int, n_layers: int) -> "Photos":
        """Return up to `n_most` images of a set; layers are evenly spread, the last among them."""
        paths = images_of(name)
        places = np.unique(np.linspace(0, len(paths) - 1, min(n_most, len(paths))).astype(int))
        paths = [paths[place] for place in places]
        backbone = backbone_of(network)
        graph = backbone.load()
        inputs = np.stack(
            [
                to_floats(Encoded(path.read_bytes()), backbone.recipe, what=str(path))
                for path in paths
            ]
        )
        calibration = inputs[:: max(1, len(inputs) // CALIBRATION)]
        twins = [
            Backbone.read("twin", random_twin(graph, calibration, seed=seed), backbone.recipe)
            for seed in range(n_twins)
        ]
        return cls(
            name,
            np.array([path.parent.name for path in paths]),
            _codes(backbone, inputs, n_layers),
            [_codes(twin, inputs, n_layers) for twin in twins],
            pixels(_resized(paths, 32)),
            hog(_resized(paths, 64)),
        )

    def draw(
        self, random: np.random.Generator, n: int, *, is_shuffled: bool, is_random: bool
    ) -> Entry:
        """Return `n` images of two to four classes.

        Args:
            random: draws images, classes and seeds.
            n: images; all of the classes drawn where those are fewer.
            is_shuffled: whether labels are dealt anew.
            is_random: whether the transfer is a twin too, which the other twins do not know.
        """
        names = np.unique(self.labels)
        k = int(random.integers(2, min(len(names), 4) + 1))
        classes = random.choice(names, k, replace=False)
        rows = np.flatnonzero(np.isin(self.labels, classes))
        rows = random.choice(rows, min(n, len(rows)), replace=False)
        y = np.unique(self.labels[rows], return_inverse=True)[1].astype(np.int64)
        twins = [self.twins[i] for i in random.choice(len(self.twins), 4, replace=False)]
        return Entry(
            random.permutation(y) if is_shuffled else y,
            _rows(twins[3] if is_random else self.trained, rows),
            self.pixels[rows],
            self.hog[rows],
            [_rows(twin, rows) for twin in twins[:3]],
        )


@dataclass(frozen=True, slots=True)
class Clouds:
    """Two Gaussian classes; how well each contestant tells them apart is known.

    The distances are from a class's centre to the border, in standard deviations: a perfect
    probe is right with the normal distribution's probability below that. Half of the variance
    along the line between the classes is common to all contestants.
    """

    name: str
    transfer: float
    pixels: float
    hog: float
    twins: tuple[float, float, float]
    d: int = 24

    def draw(self, random: np.random.Generator, n: int) -> Entry:
        """Return `n` new images; of three layers of a network one is good, others less."""
        y = random.permutation(np.arange(n) % 2)
        common = random.normal(size=n)

        def codes(distance: float) -> FloatArray:
            found = random.normal(size=(n, self.d))
            found[:, 0] = np.sqrt(0.5) * (found[:, 0] + common) + distance * (2 * y - 1)
            return found.astype(np.float32)

        def network(distance: float) -> Layers:
            return {"1": codes(distance / 2), "2": codes(distance), "3": codes(0.8 * distance)}

        return Entry(
            y,
            network(self.transfer),
            codes(self.pixels),
            codes(self.hog),
            [network(distance) for distance in self.twins],
        )


def _codes(backbone: Backbone, inputs: FloatArray, n_layers: int) -> Layers:
    ranked = backbone.ranked
    layers = [ranked[i] for i in np.linspace(0, len(ranked) - 1, n_layers + 1).astype(int)[1:]]
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    taps = [backbone.tap(layer) for layer in layers]
    parts = [sessions.run(backbone, taps, inputs[i : i + 32]) for i in range(0, len(inputs), 32)]
    sessions.close()
    return {
        layer.name: np.concatenate([part[place] for part in parts])
        for place, layer in enumerate(layers)
    }


def _resized(paths: Sequence[Path], side: int) -> npt.NDArray[np.uint8]:
    images = []
    for path in paths:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        images.append(np.asarray(small))
    return np.stack(images)


def _rows(layers: Layers, rows: npt.NDArray[np.intp]) -> Layers:
    return {name: codes[rows] for name, codes in layers.items()}

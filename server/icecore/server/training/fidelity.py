"""How near an int8 backbone is to the float32 one it was made of.

Layers by the cosine of their codes; speed on one thread; and what counts in the
end, probes trained anew on either's codes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.facts import Fidelity, LayerFidelity, ProbeFidelity
from icecore.server.backbones.running.processor import has_vnni
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.images import ImageInput
from icecore.server.embedding.preparing import to_floats
from icecore.server.training.fidelity_speed import BATCH, throughput_ratio

FloatArray = npt.NDArray[np.float32]
OnProgress = Callable[[str, float], None]

MAX_COMPARED: Final = 64
"""Images that layers are compared on; the mean cosine moves little with more."""

PROBED_DEPTHS: Final = 3
"""A third, two thirds and all of the way down. Named beforehand: the depth that is best by one
of the two networks' own folds would favour that network."""

_SESSION_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Labelled images to train probes on."""

    name: str
    images: Sequence[ImageInput]
    labels: Sequence[str]


@dataclass(slots=True)
class Pair:
    """The two backbones, their layers under the same names, and sessions of one thread."""

    plain: Backbone
    int8: Backbone
    sessions: Sessions = field(
        default_factory=lambda: Sessions(max_bytes=_SESSION_BYTES, threads=1)
    )

    def codes(
        self, names: Sequence[str], inputs: FloatArray
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """Return average-pooled codes at the named layers, of float32 and int8."""
        both = []
        for backbone in (self.plain, self.int8):
            taps = [backbone.tap(backbone.layer(f"name:{name}")) for name in names]
            both.append(self.sessions.run(backbone, taps, inputs))
        return both[0], both[1]


def measure(
    pair: Pair,
    calibration: Sequence[ImageInput],
    evaluation: Sequence[EvaluationSet],
    *,
    on_progress: OnProgress,
) -> Fidelity:
    """Return the report. Layers are compared on images of the evaluation, where there are any.

    Raises:
        ImageInvalid, ImageTruncated, ImageTooLarge, TensorInvalid: an image of the
            evaluation, named by its set and place.
        ProbesError: a set that no probe can learn from.
    """
    on_progress("comparing", 0.0)
    named = _named(evaluation) or [
        (f"calibration image {place}", image) for place, image in enumerate(calibration)
    ]
    step = max(1, len(named) // MAX_COMPARED)
    layers, sample = _compare_layers(pair, named[::step][:MAX_COMPARED])
    on_progress("timing", 0.0)
    ratio = throughput_ratio(pair.plain, pair.int8, sample)
    probes: list[ProbeFidelity] = []
    for place, one in enumerate(evaluation):
        on_progress("probes", place / len(evaluation))
        probes += _probed(pair, one)
    return Fidelity(len(calibration), ratio, has_vnni(), layers, tuple(probes))


def batches(
    named: Sequence[tuple[str, ImageInput]], backbone: Backbone, size: int = BATCH
) -> Iterator[FloatArray]:
    """Decode and prepare images a few at a time.

    Raises:
        As `prepare`, naming the image.
    """
    for first in range(0, len(named), size):
        part = named[first : first + size]
        yield np.stack([to_floats(image, backbone.recipe, what=what) for what, image in part])


def _named(evaluation: Sequence[EvaluationSet]) -> list[tuple[str, ImageInput]]:
    return [
        (f"image {place} of {one.name!r}", image)
        for one in evaluation
        for place, image in enumerate(one.images)
    ]


def _compare_layers(
    pair: Pair, named: Sequence[tuple[str, ImageInput]]
) -> tuple[tuple[LayerFidelity, ...], FloatArray]:
    """The mean cosine at each ranked layer, and a batch of the images."""
    ranked = pair.plain.ranked
    cosines: list[list[float]] = [[] for _ in ranked]
    sample: FloatArray | None = None
    for inputs in batches(named, pair.plain):
        sample = inputs if sample is None else sample
        plain, int8 = pair.codes([layer.name for layer in ranked], inputs)
        for found, one, other in zip(cosines, plain, int8, strict=True):
            found += cosine(one, other).tolist()
    if sample is None:
        raise AssertionError("there is a calibration image")
    return tuple(
        LayerFidelity(layer.name, layer.depth or 0, float(np.mean(found)))
        for layer, found in zip(ranked, cosines, strict=True)
    ), sample


def cosine(one: FloatArray, other: FloatArray) -> npt.NDArray[np.float64]:
    """Return (n,) cosines of the rows of two (n, d); two zero rows are alike."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    is_zero = lengths == 0.0
    found = (a * b).sum(axis=1) / np.where(is_zero, 1.0, lengths)
    cosines: npt.NDArray[np.float64] = np.where(is_zero, (a == b).all(axis=1), found)
    return cosines


def _probed(pair: Pair, one: EvaluationSet) -> list[ProbeFidelity]:
    names = [layer.name for layer in pair.plain.spread(PROBED_DEPTHS)]
    plain: list[list[FloatArray]] = []
    int8: list[list[FloatArray]] = []
    named = [(f"image {place} of {one.name!r}", image) for place, image in enumerate(one.images)]
    for inputs in batches(named, pair.plain):
        codes = pair.codes(names, inputs)
        plain.append(codes[0])
        int8.append(codes[1])
    joined = {
        name: (
            np.concatenate([codes[place] for codes in plain]),
            np.concatenate([codes[place] for codes in int8]),
        )
        for place, name in enumerate(names)
    }
    # Late: with it comes scipy, 0.2 s that no start of a server is to wait for.
    from icecore.server.training.fidelity_probes import compare_probes

    n = len(one.labels)
    return [
        ProbeFidelity(one.name, name, n, found.plain, found.int8, found.low, found.high)
        for name, found in compare_probes(joined, one.labels).items()
    ]

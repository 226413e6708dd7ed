"""The field's two by two: few or many images, like the backbone's own or not; and what it advises.

Source: the rules of thumb of Stanford's CS231n, "Transfer learning", after Yosinski, Clune,
Bengio and Lipson, "How transferable are features in deep neural networks?", 2014. They leave
open what is few and what is alike; here both are measured, and the rule written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from icecore.probes.advising.similarity import Measured, earlier_gain_of, familiarity_of
from icecore.probes.advising.sufficiency import MoreImages
from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import CodeArray

FEW: Final = 1_000
"""Fewer images are few whatever the curve says: the size that VTAB-1k sets for transfer from few
(Zhai et al., "A large-scale study of representation learning", 2019)."""

MANY: Final = 20_000
"""From here on they are many: what BiT no longer fine-tunes as a small task (Kolesnikov et al.,
"Big Transfer", 2020)."""

ALIKE: Final = 0.60
UNLIKE: Final = 0.45
"""Familiarity of images like ImageNet's, and unlike. EfficientNet-Lite0, SqueezeNet 1.1 and
MobileNetV2, in this order, have by `bench/advice/scenario.py`: ants and bees .97, 1.08, 1.06;
clothing .62, .66, .77; textures, which are partly like it, .46, .67, .62; CIFAR-10 enlarged
.30, .25, .36; blood cells .24, .37, .43; Omniglot .20, .36, .49. The cuts lie where these
sets leave room; other backbones may want others."""

TYPICAL_ACCURACY: Final = 0.7
"""Of ImageNet networks of this size on their own validation images: .55 to .77."""


class Size(StrEnum):
    """How many images there are, for the purpose of training more than a probe."""

    SMALL = "SMALL"
    LARGE = "LARGE"


class Similarity(StrEnum):
    """How like the images are to those the backbone was trained on."""

    SIMILAR = "SIMILAR"
    PARTLY = "PARTLY"
    """In between, or not told by these images."""
    DIFFERENT = "DIFFERENT"


class Recommendation(StrEnum):
    """What the two by two advises. icecore itself trains probes only."""

    PROBE_AT_LAST = "PROBE_AT_LAST"
    """A linear classifier over the last layer's codes."""
    PROBE_AT_ANY = "PROBE_AT_ANY"
    """Partly alike: a linear classifier at the depth that one's own images prefer."""
    PROBE_EARLIER = "PROBE_EARLIER"
    """A linear classifier over codes from earlier in the network."""
    FINE_TUNE = "FINE_TUNE"
    """Fine-tuning, which many images carry without overfitting."""
    FINE_TUNE_WHOLE = "FINE_TUNE_WHOLE"
    """Fine-tuning all layers, or training from scratch."""


_TABLE: Final = {
    (Size.SMALL, Similarity.SIMILAR): Recommendation.PROBE_AT_LAST,
    (Size.SMALL, Similarity.PARTLY): Recommendation.PROBE_AT_ANY,
    (Size.SMALL, Similarity.DIFFERENT): Recommendation.PROBE_EARLIER,
    (Size.LARGE, Similarity.SIMILAR): Recommendation.FINE_TUNE,
    (Size.LARGE, Similarity.PARTLY): Recommendation.FINE_TUNE,
    (Size.LARGE, Similarity.DIFFERENT): Recommendation.FINE_TUNE_WHOLE,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cell of the two by two, and what put the images there.

    `familiarity` is the backbone's mean confidence in its own best class over these images,
    divided by its accuracy on images of its own; there it is about 1, since confidence is near
    accuracy. None without logits. `earlier_gain`, in -1..1, is the accuracy of the best earlier
    layer minus that of the last; it is chosen by other images than those that count.
    `is_contradicted` says that the recommendation names one end of the network, and that these
    images' interval of `earlier_gain` lies on the side of the other: then trust the images.
    """

    size: Size
    similarity: Similarity
    recommendation: Recommendation
    n_images: int
    familiarity: Measured | None
    earlier_gain: Measured
    is_contradicted: bool


def scenario(
    class_sizes: Sequence[int],
    right: np.ndarray,
    *,
    groups: np.ndarray,
    groups_held: np.ndarray,
    advice: MoreImages,
    logits: CodeArray | None = None,
    own_accuracy: float = TYPICAL_ACCURACY,
    n_labelled: int = 0,
) -> Scenario:
    """Return where a labelled set stands.

    SMALL below `FEW` different images and LARGE from `MANY` on. Between, LARGE where a probe gains
    nothing from more (ENOUGH, CEILING), for then a model with more freedom may.
    SIMILAR from a familiarity of `ALIKE` on and DIFFERENT below `UNLIKE`, unless its interval
    reaches over the whole of what lies between. Without logits `earlier_gain` tells, where its
    interval leaves out 0; a weaker sign, which of six sets and three backbones at 400 images
    showed none as DIFFERENT.

    Args:
        class_sizes: images of each class.
        right: (layers, h) bool, by depth: which held-out images each layer's probe got right.
        groups: (n,) int, of all images; those of one group count as copies of each other, so
            that no answer and no interval changes where each image is written several times.
        groups_held: (h,) int, of the held-out images.
        advice: of `sufficiency`, on the same images.
        logits: (n, classes) float, the backbone's own, before any softmax.
        own_accuracy: the backbone's top-1 accuracy on images like its own, in 0..1.
        n_labelled: images there are, where those judged are a part of more; as many of them
            are taken for copies as of those judged.

    Raises:
        InputInvalid: no layer, groups that are not one an image, or an accuracy out of range.
        CodesInvalid: logits that are no matrix of one row an image, or not finite.
    """
    if right.ndim != 2 or not len(right):
        raise InputInvalid(f"right has shape {right.shape!r}, but must be (layers, images)")
    if not 0.0 < own_accuracy <= 1.0:
        raise InputInvalid(f"own_accuracy is {own_accuracy!r}, but must be above 0 and at most 1")
    n = sum(class_sizes)
    for of, wanted in ((groups, n), (groups_held, right.shape[1])):
        if of.shape != (wanted,):
            raise InputInvalid(f"groups have shape {of.shape!r}, but must be ({wanted},)")
    familiarity = None if logits is None else familiarity_of(logits, groups, own_accuracy)
    earlier = earlier_gain_of(right.astype(np.bool_), groups_held)
    n_different = len(np.unique(groups))
    size = _size(max(n_different, round(n_labelled * n_different / max(n, 1))), advice)
    similarity = _by_depth(earlier) if familiarity is None else _by_familiarity(familiarity)
    recommendation = _TABLE[size, similarity]
    against = {
        Recommendation.PROBE_AT_LAST: earlier.low > 0.0,
        Recommendation.PROBE_EARLIER: earlier.high < 0.0,
    }
    return Scenario(
        size,
        similarity,
        recommendation,
        n,
        familiarity,
        earlier,
        against.get(recommendation, False),
    )


def _size(n: int, advice: MoreImages) -> Size:
    if FEW <= n < MANY:
        return Size.LARGE if advice in (MoreImages.ENOUGH, MoreImages.CEILING) else Size.SMALL
    return Size.SMALL if n < FEW else Size.LARGE


def _by_familiarity(seen: Measured) -> Similarity:
    if seen.value >= ALIKE and seen.low >= UNLIKE:
        return Similarity.SIMILAR
    if seen.value < UNLIKE and seen.high < ALIKE:
        return Similarity.DIFFERENT
    return Similarity.PARTLY


def _by_depth(earlier: Measured) -> Similarity:
    if earlier.low > 0.0:
        return Similarity.DIFFERENT
    return Similarity.SIMILAR if earlier.high < 0.0 else Similarity.PARTLY

"""What an advice about transfer says: frozen values without behaviour of their own."""

from dataclasses import dataclass, field
from enum import StrEnum

from icecore.client.accuracy_values import Accuracy, Difference
from icecore.client.probe_values import ProbeKind


class VerdictKind(StrEnum):
    """Whether transfer helps on these images."""

    POSITIVE = "POSITIVE"
    """Better than every baseline."""
    NO_GAIN = "NO_GAIN"
    """Over one of them no gain worth its cost is left."""
    NEGATIVE = "NEGATIVE"
    """Worse than one of them."""
    UNDECIDED = "UNDECIDED"
    """These images do not tell."""


class SufficiencyKind(StrEnum):
    """What to do about the number of images."""

    COLLECT_MORE = "COLLECT_MORE"
    ENOUGH = "ENOUGH"
    CEILING = "CEILING"
    """More images of this kind would not help, though errors are left."""
    UNDECIDED = "UNDECIDED"


class Size(StrEnum):
    """How many images there are, for training more than a probe."""

    SMALL = "SMALL"
    LARGE = "LARGE"


class Similarity(StrEnum):
    """How like the images are to those the backbone was trained on."""

    SIMILAR = "SIMILAR"
    PARTLY = "PARTLY"
    DIFFERENT = "DIFFERENT"


class Recommendation(StrEnum):
    """What the field's two by two advises. icecore itself trains probes only."""

    PROBE_AT_LAST = "PROBE_AT_LAST"
    PROBE_AT_ANY = "PROBE_AT_ANY"
    PROBE_EARLIER = "PROBE_EARLIER"
    FINE_TUNE = "FINE_TUNE"
    FINE_TUNE_WHOLE = "FINE_TUNE_WHOLE"


@dataclass(frozen=True, slots=True)
class ClassSize:
    """A class and how many of the judged images are of it."""

    label: str
    n_images: int


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """A layer of a backbone; `depth` is None where it has none."""

    backbone: str
    layer: str
    depth: int | None


@dataclass(frozen=True, slots=True)
class LayerAdvice:
    """Held-out accuracy at one layer, with C chosen inside, and what it costs to get there.

    `dims` are values of a code; `n_bytes` the weights up to there as they are stored, with the
    probe's, and `macs` the multiply-accumulates of one image.
    """

    place: LayerPlace
    accuracy: Accuracy
    C: float
    dims: int
    n_bytes: int
    macs: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """What costs less than a backbone: "majority", "pixels", "hog" or "random twin".

    `difference` is transfer less this one, `low` and `high` its one-sided bounds of 95 %, in
    -1..1; `p` is one-sided, of transfer being no better.
    """

    name: str
    accuracy: Accuracy
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether transfer helps. `limiting` names the baseline that decided or stands in the way.

    A gain smaller than `margin`, 0..1, counts as none. `more_images` is UNDECIDED's: how many
    more would decide, None where that cannot be said.
    """

    kind: VerdictKind
    limiting: str
    margin: float
    more_images: int | None
    baselines: tuple[Baseline, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy measured with so many images to learn from."""

    n_images: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Accuracy expected with so many images, and its 90 % interval."""

    n_images: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WeakClass:
    """A class recognised less often than images are on the whole."""

    label: str
    n_images: int
    recall: Accuracy


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """Whether there are enough images.

    `n_more` is COLLECT_MORE's, 0 otherwise. `forecasts` are for 1, 1.5, 2 and 3 times today's
    images. `gain` is what three times the images would add, with its 90 % interval;
    `probability` is that of a point or more. `weakest_classes` has the worst first.
    """

    kind: SufficiencyKind
    n_more: int
    points: tuple[CurvePoint, ...]
    forecasts: tuple[Forecast, ...]
    gain: float
    gain_low: float
    gain_high: float
    probability: float
    weakest_classes: tuple[WeakClass, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cell of the field's two by two, what it recommends, and what put the images there.

    `familiarity` is the backbone's confidence on these images over its accuracy on its own, None
    where it has no outputs; `earlier_gain` the accuracy of the best earlier layer less the
    last's. `is_contradicted`: the images prefer the other end of the network; trust them.
    """

    size: Size
    similarity: Similarity
    recommendation: Recommendation
    familiarity: Measured | None
    earlier_gain: Measured
    is_contradicted: bool


@dataclass(frozen=True, slots=True)
class ConfusedImage:
    """An image taken for `predicted`; of the commonest mistakes or, right, of its class.

    `thumbnail` is a JPEG of at most 96 pixels a side, empty where the image is not kept.
    """

    example_id: str
    label: str
    predicted: str
    thumbnail: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Held-out answers: `counts[i][j]` images of class i were taken for class j."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    examples: tuple[ConfusedImage, ...]


@dataclass(frozen=True, slots=True)
class JoinedAdvice:
    """Several layers read together. `difference` is their accuracy less that of one, chosen."""

    places: tuple[LayerPlace, ...]
    accuracy: Accuracy
    difference: Difference

    @property
    def is_offered(self) -> bool:
        """Whether they are shown to be better: `layers="all"` of a training."""
        return self.difference.low > 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """What labelled images say about transfer. It judges the frozen probe.

    `n_labelled` images have a label, `n_images` of them were judged, copies counted once they
    are `n_different_images`. `layers` are every depth of every backbone, in the order asked and
    of depth, then the backbones' own outputs. `chosen` is the best, `cheapest` within one point
    of it, `last` that of its backbone. `accuracy` is that of choosing the layer and all else,
    from outer folds that chose nothing. `joined` is of layers read together, None where the
    backbone has one only.
    """

    collection_id: str
    n_labelled: int
    n_images: int
    n_different_images: int
    classes: tuple[ClassSize, ...]
    kind: ProbeKind
    seed: int
    layers: tuple[LayerAdvice, ...]
    chosen: LayerPlace
    cheapest: LayerPlace
    last: LayerPlace
    accuracy: Accuracy
    verdict: Verdict
    sufficiency: Sufficiency
    scenario: Scenario
    confusion: Confusion
    seconds: float
    joined: JoinedAdvice | None = None


@dataclass(frozen=True, slots=True)
class Advising:
    """How far an advice is: `stage` is a word, `progress` 0..1; `advice` at its end."""

    stage: str
    progress: float
    advice: Advice | None = None

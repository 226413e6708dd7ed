"""All that an advice says, and how far one is."""

from dataclasses import dataclass

from icecore.client.accuracy_values import Accuracy
from icecore.client.advice_values.confusion import Confusion
from icecore.client.advice_values.layers import JoinedAdvice, LayerAdvice, LayerPlace
from icecore.client.advice_values.scenario import Scenario
from icecore.client.advice_values.sufficiency import Sufficiency
from icecore.client.advice_values.verdict import Verdict
from icecore.client.probe_values import ProbeKind


@dataclass(frozen=True, slots=True)
class ClassSize:
    """A class and how many of the judged images are of it."""

    label: str
    n_images: int


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

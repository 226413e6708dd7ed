"""What calls about probes take and give: versions, how far they are, and what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from icecore.client.accuracy_values import Accuracy, Difference
from icecore.wire.taps import Pooling, TapId


class ProbeKind(StrEnum):
    """`svm`: one-vs-rest, squared hinge. `softmax`: multinomial logistic regression."""

    SVM = "svm"
    SOFTMAX = "softmax"


class VersionState(StrEnum):
    """How far a version is; all but TRAINING are final."""

    TRAINING = "training"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class LayerTrial:
    """What cross-validation saw at one candidate layer, with C chosen inside."""

    layer: str
    depth: int | None
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str = "none"
    """"none", or "softmax": the probabilities of a classifier's logits."""


@dataclass(frozen=True, slots=True)
class PoolingTrial:
    """What cross-validation saw of one pooling at the chosen layer.

    C and preprocessing are chosen inside; `C` and `preprocessing` are what all data prefer with it.
    """

    pooling: Pooling
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str


@dataclass(frozen=True, slots=True)
class JoinedGain:
    """What layers read together gain over the best one by itself, whose accuracy `alone` is.

    `difference` is the joined layers' accuracy less that, from the same held-out images.
    """

    alone: Accuracy
    difference: Difference


@dataclass(frozen=True, slots=True)
class ProbeVersion:
    """One trained state of a probe. What training finds is empty or None until READY.

    `accuracy` is from outer folds that chose neither C nor layer; `gap` bounds how far
    `objective` is above the optimum, relative to it. `not_promoted_reason` and
    `not_promoted_message` say why READY did not promote it, where it was to be promoted only if
    not worse. `preprocessing` is "none", "l2", "signed-root" or "softmax": what Predict does to
    each code before the weights. `tap` is what it reads; None where it reads the codes of several,
    `joined_taps`, side by side, and `joined_gain` says what for. `pooling_trials` are of the chosen
    layer, where the pooling was to be chosen: a single one where the layer is no map. `n_layers`
    there were to choose from (None: not known, or nothing was chosen); those without one of
    `trials`, all but `n_layers_judged`, fell out by a cheaper score. Where
    `is_choice_kept`, all that is chosen is as in `base_version`, and `accuracy` is of the
    `n_judged` images that had no part in choosing it; None where there are none.
    """

    probe_id: str
    version: int
    version_name: str
    state: VersionState
    kind: ProbeKind
    collection_id: str
    create_time: datetime
    is_promoted: bool
    seed: int
    failure_reason: str = ""
    failure_message: str = ""
    tap: TapId | None = None
    C: float | None = None
    classes: tuple[str, ...] = ()
    n_images: int = 0
    accuracy: Accuracy | None = None
    trials: tuple[LayerTrial, ...] = ()
    objective: float | None = None
    gap: float | None = None
    data_digest: str = ""
    file_digest: str = ""
    seconds: float = 0.0
    not_promoted_reason: str = ""
    not_promoted_message: str = ""
    preprocessing: str = ""
    base_version: int | None = None
    is_choice_kept: bool = False
    n_judged: int = 0
    joined_taps: tuple[TapId, ...] = ()
    joined_gain: JoinedGain | None = None
    pooling_trials: tuple[PoolingTrial, ...] = ()
    n_layers: int | None = None

    @property
    def n_layers_judged(self) -> int:
        """Layers that cross-validation saw, of the network's own answers both kinds once."""
        return len({trial.layer for trial in self.trials})

    @property
    def taps(self) -> tuple[TapId, ...]:
        """All that it reads; empty until READY."""
        return self.joined_taps if self.tap is None else (self.tap,)


@dataclass(frozen=True, slots=True)
class Probe:
    """`promoted_version` is None while there is none; `versions` are newest first."""

    probe_id: str
    probe_name: str
    promoted_version: int | None
    versions: tuple[ProbeVersion, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands: `stage` is a word, `progress` 0..1 over the whole job."""

    version: ProbeVersion
    stage: str
    progress: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a probe says of one image.

    `probability` belongs to the label; None for an SVM that is not calibrated.
    `scores` has every class in the probe's order: decision values for an SVM
    (binary: -s and s), logits for a softmax (binary: -s/2 and s/2). `version`
    and `tap` are those that answered; of a version that reads several taps joined, `tap` is
    None and they are `joined_taps`.
    """

    label: str
    probability: float | None
    scores: Mapping[str, float]
    version: int
    tap: TapId | None
    joined_taps: tuple[TapId, ...] = ()

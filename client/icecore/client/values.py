"""What calls take and give: frozen values without behaviour of their own.

`Codes`, `TapId`, `Pooling` and `Activation` are in `icecore.wire`, shared with the server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.wire.taps import Pooling, TapId

ImageInput: TypeAlias = bytes | str | Path | npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""An encoded file (its bytes, or the path where it lies: JPEG, PNG, WebP), pixels as uint8
(h, w, 3) RGB, or what comes after the recipe as float32 (3, h, w)."""

LayerSpec: TypeAlias = int | str
"""A depth (`17`; `-1` is the last), a name, `name:267`, or `*` for all layers with a depth."""

Scalar: TypeAlias = str | float | bool


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


class Metric(StrEnum):
    """Order of likeness. L2 hits ascend, the others descend."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner-product"


class Priority(StrEnum):
    """Whose turn it is among a tenant's own calls: `bulk` runs in the time that others leave."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class OnDuplicate(StrEnum):
    """What happens to an id that the collection already holds."""

    REFUSE = "refuse"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Collection:
    """`labels` counts examples a label; "" counts those without one."""

    collection_id: str
    collection_name: str
    backbone: str
    digest: str
    keep_images: bool
    n_examples: int
    labels: Mapping[str, int]
    create_time: datetime


@dataclass(frozen=True, slots=True, eq=False)
class NewExample:
    """An example to be added; `label` may be empty, `metadata` is flat."""

    example_id: str
    image: ImageInput
    label: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """An example as stored; `image_sha256` is of the image as sent, "" in hits."""

    example_id: str
    label: str
    metadata: Mapping[str, Scalar]
    image_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch, or of all of them together."""

    n_added: int = 0
    n_replaced: int = 0
    n_unchanged: int = 0

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.n_added + other.n_added,
            self.n_replaced + other.n_replaced,
            self.n_unchanged + other.n_unchanged,
        )

    @property
    def n_examples(self) -> int:
        return self.n_added + self.n_replaced + self.n_unchanged


@dataclass(frozen=True, slots=True)
class Hit:
    """An example found, with its cosine, distance or inner product."""

    example: Example
    score: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate and its 95 % interval, all in 0..1."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two accuracies, with its 95 % interval; all in -1..1."""

    estimate: float
    low: float
    high: float


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
class Comparison:
    """Two versions of a probe on the same labelled images.

    Every answer that was counted is held out: of a version that was trained on the image,
    the one of the fold that did not see it. `n_left_out` images lack such an answer and
    were not judged; `n_different_images` counts copies once, `n_new_to_a` what a was not
    trained on. `difference` is b minus a, from paired answers. On images of a class that
    it does not know a version is wrong.
    """

    probe_id: str
    version_a: int
    version_b: int
    collection_id: str
    n_images: int
    n_different_images: int
    n_new_to_a: int
    n_new_to_b: int
    n_new_to_both: int
    n_left_out: int
    accuracy_a: Accuracy
    accuracy_b: Accuracy
    n_both_right: int
    n_only_a_right: int
    n_only_b_right: int
    n_neither_right: int
    difference: Difference
    classes_only_in_a: tuple[str, ...]
    classes_only_in_b: tuple[str, ...]

    @property
    def better(self) -> int | None:
        """The version that is better, None where the interval holds 0: the images do not tell."""
        if self.difference.low > 0.0:
            return self.version_b
        return self.version_a if self.difference.high < 0.0 else None


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


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns collections and probes."""

    tenant_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret."""

    key_id: str
    tenant_id: str
    label: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is shown this once, and not by `repr`."""

    key: Key
    secret: str = field(repr=False)

"""What training found, as values: the probe, how it was chosen, and how good it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from icecore.probes.fitting import Fit
from icecore.probes.intervals import Accuracy
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One layer's held-out accuracy, with C chosen inside the training folds.

    `C` is what all data prefer at this layer, with codes as they are: how they are preprocessed is
    chosen for the chosen layer afterwards (in `Training.alternatives` it has been). Each trial is
    judged fairly by itself, but the chosen one is the best of them, and so its accuracy is a
    little too high for the probe; `Training.accuracy` is not. Of logits also their softmax is
    tried, told by `preprocessing`.
    """

    key: str
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: Preprocessing = Preprocessing.NONE


@dataclass(frozen=True, slots=True)
class Gain:
    """What reading several layers together gains over the best one by itself.

    `alone` is of that one, with all of its choice repeated in the same outer folds.
    `difference` is the joined layers' accuracy less that, `low` and `high` its 95 % interval, in
    -1..1, from paired answers.
    """

    alone: Accuracy
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What training found.

    `key` is of the codes that the probe reads. Where several layers are `joined`, whose codes it
    then reads side by side, it is the best one by itself, and `gain` is what they gain over that;
    gone on from, nothing was chosen: `key` is the last of them, `gain` None, and no trials.
    `accuracy` is of choosing and fitting together: from outer folds that had no part in
    C or layer. `naive` is the chosen layer's and C's accuracy in the very folds that chose
    them, kept to show the difference. `trials` are in the order of the codes given; of many
    layers, those on a shortlist, while `n_layers` counts all that there were to choose from (0:
    nothing was chosen). `alternatives` are trials of the chosen layer's codes and of
    their alternatives (other poolings), in the order given: of each, C and preprocessing are
    chosen inside the training folds too; empty where there were no alternatives at all.
    `predicted` (n,) int64 is what the outer folds behind `accuracy` took each image for, in the
    order of rows, an index of `classes`; -1 where an image was in no fold.
    """

    kind: ProbeKind
    key: str
    preprocessing: Preprocessing
    C: float
    classes: tuple[str, ...]
    fit: Fit
    accuracy: Accuracy
    predicted: np.ndarray
    naive: float
    trials: tuple[Trial, ...]
    seed: int
    n_images: int
    n_groups: int
    class_sizes: tuple[int, ...]
    """Images of each class, in the order of `classes`."""
    n_judged: int
    """Images that `accuracy` is of."""
    joined: tuple[str, ...] = ()
    gain: Gain | None = None
    alternatives: tuple[Trial, ...] = ()
    n_layers: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The layers that the probe reads, in the order of its codes."""
        return self.joined or (self.key,)

    def probe(self, tap: str) -> LinearProbe:
        """Return the fitted probe, over the tap, or the joined taps, that `keys` stand for."""
        return LinearProbe(
            self.kind,
            self.classes,
            self.fit.weights,
            self.fit.bias,
            tap,
            self.preprocessing,
        )

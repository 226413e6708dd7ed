"""How often answers are right: an accuracy, a difference of two, two versions compared."""

from dataclasses import dataclass


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
class SharedClasses:
    """Two versions on the images whose label is a class of both; `difference` is b minus a."""

    n_images: int
    accuracy_a: Accuracy
    accuracy_b: Accuracy
    difference: Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of a probe on the same labelled images.

    Every answer that was counted is held out: of a version that was trained on the image,
    the one of the fold that did not see it. `n_left_out` images lack such an answer and
    were not judged; `n_different_images` counts copies once, `n_new_to_a` what a was not
    trained on. `difference` is b minus a, from paired answers; where both have the same
    weights and gave the same answers it is 0, from 0 to 0. On images of a class that
    it does not know a version is wrong. `shared` has the figures without such images; it is
    None where both know the same classes, or no image judged is of a class that both know.
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
    shared: SharedClasses | None

    @property
    def better(self) -> int | None:
        """The version that is better, None where the interval holds 0: the images do not tell."""
        return self._better(self.difference)

    @property
    def better_on_shared(self) -> int | None:
        """As `better`, on the images of classes that both know; None where `shared` is."""
        return None if self.shared is None else self._better(self.shared.difference)

    def _better(self, difference: Difference) -> int | None:
        if difference.low > 0.0:
            return self.version_b
        return self.version_a if difference.high < 0.0 else None

"""The way through the layers: all are judged, or where that takes long those of a shortlist."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import OUTER_FOLDS, Folds, Judgement, judge
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.shortlisting import FEWEST_IMAGES, SHORTEST, Shortlists, guess, shortlists
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.material import Material, material_of
from icecore.probes.training_data import TrainingData

KEPT_BYTES: Final = 1 << 29
"""Rotated codes of all layers together that are kept until one is chosen; a layer beyond is
rotated once more if it is the one."""

GUESSING: Final = 0.25
"""The share of the work that a shortlist is, where one is made."""

FITTING: Final = 0.05
"""The share that the fit on all images is."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What was judged, and what was chosen of it. `judgements` is in the order of the layers."""

    judgements: Mapping[str, Judgement]
    choice: Choice
    materials: "Materials"


def search(
    data: TrainingData,
    folds: Folds,
    *,
    kind: ProbeKind,
    Cs: tuple[float, ...],
    positions: Mapping[str, float] | None,
    report: Callable[[float], None],
) -> Search:
    """Return what folds see and choose; `report` hears the share done, up to 1 - `FITTING`.

    Of more than `SHORTEST` layers and `FEWEST_IMAGES` images those on a shortlist are judged:
    each outer fold has its own, made without its images, and chooses from that alone.
    """
    y, k = data.y, len(data.classes)
    materials = Materials(data.codes)
    allowed: Shortlists | None = None
    begin = 0.0
    if len(data.codes) > SHORTEST and len(y) >= FEWEST_IMAGES:
        allowed = _shortlisted(data, folds, positions, materials, report)
        begin = GUESSING if allowed is not None else 0.0
    keys = [key for key in data.codes if allowed is None or key in allowed.union]
    done = _Shares({key: data.codes[key] for key in keys}, begin, report)
    judgements = {
        key: judge(
            materials.take(key), y, k, folds, kind=kind, Cs=Cs, on_fold=partial(done.add, key)
        )
        for key in keys
    }
    choice = choose(judgements, folds, positions=positions, allowed=allowed)
    return Search(judgements, choice, materials)


def _shortlisted(
    data: TrainingData,
    folds: Folds,
    positions: Mapping[str, float] | None,
    materials: "Materials",
    report: Callable[[float], None],
) -> Shortlists | None:
    """None where a layer is too large to be rotated, which guesses are made of."""
    guesses = {}
    for place, key in enumerate(data.codes):
        material = materials.take(key)
        if not isinstance(material, Rotation):
            return None
        guesses[key] = guess(material.features, data.y, len(data.classes), folds)
        report(GUESSING * (place + 1) / len(data.codes))
    return shortlists(guesses, positions)


class Materials:
    """Layers made ready for fitting; as many as fit are kept for the fit at the end."""

    def __init__(self, codes: Mapping[str, CodeArray]) -> None:
        self._codes = codes
        self._kept: dict[str, Material] = {}
        self._room = KEPT_BYTES

    def take(self, key: str) -> Material:
        if key in self._kept:
            return self._kept[key]
        codes = self._codes[key]
        material = material_of(codes)
        n_bytes = 12 * len(codes) * min(codes.shape)
        if n_bytes <= self._room:
            self._room -= n_bytes
            self._kept[key] = material
        return material


class _Shares:
    """Reports shares of the work, which a layer has by the size of its codes."""

    def __init__(
        self, codes: Mapping[str, CodeArray], begin: float, report: Callable[[float], None]
    ) -> None:
        sizes = {key: array.size * min(array.shape) for key, array in codes.items()}
        whole = sum(sizes.values()) / (1.0 - FITTING - begin) * OUTER_FOLDS
        self._share = {key: size / whole for key, size in sizes.items()}
        self._done = begin
        self._report = report

    def add(self, key: str) -> None:
        self._done += self._share[key]
        self._report(min(self._done, 1.0 - FITTING))

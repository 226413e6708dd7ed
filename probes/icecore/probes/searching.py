"""The way to a choice: layers first, then how the codes of the chosen ones are preprocessed.

All layers are judged, or where that takes long those of a shortlist.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import OUTER_FOLDS, Folds, Judgement, judge
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.shortlisting import FEWEST_IMAGES, SHORTEST, Shortlists, guess, shortlists
from icecore.probes.solving.directions import MAX_GRAM_ROWS, Rotation
from icecore.probes.solving.material import ROTATED_UP_TO, Material, material_of
from icecore.probes.solving.weighting import ALIKE, Weighting
from icecore.probes.training_data import TrainingData

KEPT_BYTES: Final = 1 << 29
"""Rotated codes of all layers together that are kept until one is chosen; what is beyond is
rotated again when its turn comes."""

GUESSING: Final = 0.25
"""The share of the work that a shortlist is, where one is made."""

PREPROCESSING: Final = 0.2
"""The share that judging ways to preprocess is."""

FITTING: Final = 0.05
"""The share that the fit on all images is."""

_PLAIN: Final = Preprocessing.NONE


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What was judged, and what was chosen of it.

    `judgements` are of layers, in their order, as they are; `layers` is the choice among
    them. `choice` is among the ways to preprocess the chosen layers, by keys of `ways`, where an
    outer fold's layer is its own. `material` is of what was chosen.
    """

    judgements: Mapping[str, Judgement]
    layers: Choice
    choice: Choice
    ways: Mapping[str, tuple[str, Preprocessing]]
    naive: float
    material: Material


def search(
    data: TrainingData,
    folds: Folds,
    *,
    kind: ProbeKind,
    Cs: tuple[float, ...],
    positions: Mapping[str, float] | None,
    preprocessings: Sequence[Preprocessing],
    report: Callable[[float], None],
    weighting: Weighting = ALIKE,
    may_shortlist: bool = True,
) -> Search:
    """Return what folds see and choose; `report` hears the share done, up to 1 - `FITTING`.

    Of more than `SHORTEST` layers and `FEWEST_IMAGES` images those on a shortlist are judged,
    if it may be made: each outer fold has its own, made without its images, and chooses from
    that alone.
    """
    y, k = data.y, len(data.classes)
    materials = Materials(data.codes)
    allowed: Shortlists | None = None
    begin = 0.0
    if may_shortlist and _is_worth_a_shortlist(data):
        allowed = _shortlisted(data, folds, positions, materials, report)
        begin = GUESSING
    keys = [key for key in data.codes if allowed is None or key in allowed.union]
    more = any(how is not Preprocessing.NONE for how in preprocessings)
    end = 1.0 - FITTING - (PREPROCESSING if more else 0.0)
    done = _Shares({key: data.codes[key] for key in keys}, begin, end, report)
    judgements = {
        key: judge(
            materials.take(key),
            y,
            k,
            folds,
            kind=kind,
            Cs=Cs,
            on_fold=partial(done.add, key),
            weighting=weighting,
        )
        for key in keys
    }
    layers = choose(judgements, folds, positions=positions, allowed=allowed)
    ways = {
        f"{key} {how.value}": (key, how)
        for key in dict.fromkeys([*layers.key_of, layers.key])
        for how in preprocessings
    }
    sizes = {way: data.codes[key] for way, (key, how) in ways.items() if how is not _PLAIN}
    done = _Shares(sizes, end, 1.0 - FITTING, report)
    of_ways = {}
    for way, (key, how) in ways.items():
        if how is _PLAIN:
            of_ways[way] = judgements[key]
            continue
        material = materials.take(key, how)
        on_fold = partial(done.add, way)
        of_ways[way] = judge(
            material, y, k, folds, kind=kind, Cs=Cs, on_fold=on_fold, weighting=weighting
        )
    choice = choose(of_ways, folds, allowed=_ways_of(layers, ways))
    chosen = of_ways[choice.key].outer_right[choice.C_of[choice.key], folds.outer >= 0]
    material = materials.take(*ways[choice.key])
    return Search(judgements, layers, choice, ways, float(chosen.mean()), material)


def _ways_of(layers: Choice, ways: Mapping[str, tuple[str, Preprocessing]]) -> Shortlists:
    """Each fold, and all images, may choose among the ways of the layer they chose."""

    def of(layer: str) -> tuple[str, ...]:
        return tuple(way for way, (key, _) in ways.items() if key == layer)

    return Shortlists(tuple(of(key) for key in layers.key_of), of(layers.key))


def _is_worth_a_shortlist(data: TrainingData) -> bool:
    """Also whether one can be made: of layers that are small enough to be rotated."""
    return (
        len(data.codes) > SHORTEST
        and len(data.y) >= FEWEST_IMAGES
        and all(min(codes.shape) <= ROTATED_UP_TO for codes in data.codes.values())
    )


def _shortlisted(
    data: TrainingData,
    folds: Folds,
    positions: Mapping[str, float] | None,
    materials: "Materials",
    report: Callable[[float], None],
) -> Shortlists | None:
    """None where guesses are no better than chance: then all layers are to be judged."""
    guesses = {}
    for place, key in enumerate(data.codes):
        material = materials.take(key)
        if not isinstance(material, Rotation):
            raise AssertionError("codes of this size are rotated")
        width = data.codes[key].shape[1]
        guesses[key] = guess(material.features, data.y, len(data.classes), folds, width=width)
        report(GUESSING * (place + 1) / len(data.codes))
    usual = np.bincount(data.y).max() / len(data.y)
    if max(each.accuracy for each in guesses.values()) <= usual:
        return None
    return shortlists(guesses, positions)


class Materials:
    """Layers made ready for fitting; as many as fit are kept for the fit at the end."""

    def __init__(self, codes: Mapping[str, CodeArray]) -> None:
        self._codes = codes
        self._kept: dict[tuple[str, Preprocessing], Material] = {}
        self._room = KEPT_BYTES

    def take(self, key: str, how: Preprocessing = Preprocessing.NONE) -> Material:
        if (key, how) in self._kept:
            return self._kept[key, how]
        codes = self._codes[key]
        material = material_of(preprocessed(codes, how))
        # In float64 and float32, the way back, and inner products in float32.
        n, r = len(codes), min(codes.shape)
        n_bytes = 12 * n * r + 8 * r * r + (4 * n * n if n <= MAX_GRAM_ROWS else 0)
        if n_bytes <= self._room:
            self._room -= n_bytes
            self._kept[key, how] = material
        return material


class _Shares:
    """Reports shares of the work, which a layer has by the size of its codes."""

    def __init__(
        self,
        codes: Mapping[str, CodeArray],
        begin: float,
        end: float,
        report: Callable[[float], None],
    ) -> None:
        sizes = {key: array.size * min(array.shape) for key, array in codes.items()}
        whole = sum(sizes.values()) * OUTER_FOLDS
        self._end = end
        self._share = {key: size / whole * (end - begin) for key, size in sizes.items()}
        self._done = begin
        self._report = report

    def add(self, key: str) -> None:
        self._done += self._share[key]
        self._report(min(self._done, self._end))

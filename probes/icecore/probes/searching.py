"""The way to a choice: a layer first, then how the codes of the chosen ones are read.

All layers are judged, or where that takes long those of a shortlist.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import Folds, Judgement, judge
from icecore.probes.materials import Materials, Way
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.question import Question
from icecore.probes.shares import OnShare, Shares, work
from icecore.probes.shortlisting import FEWEST_IMAGES, SHORTEST, Shortlists, guess, shortlists
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.material import ROTATED_UP_TO, Material, material_of
from icecore.probes.training_data import TrainingData

GUESSING: Final = 0.25
"""The share of the work that a shortlist is, where one is made."""

READING: Final = 0.2
"""The share that judging ways to read the chosen layers is."""

FITTING: Final = 0.05
"""The share that the fit on all images is."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What was judged, and what was chosen of it.

    `judgements` are of layers by name, in their order, which stand for `candidates`; `layers`
    is the choice among them. `choice` is among the ways to read the chosen layers, by names that
    stand for `ways`, where an outer fold's layer is its own. `alternatives` are the choices among
    the ways to read one key of the chosen layer each; none where no alternatives were asked for.
    `material` is of what was chosen, and `n_layers` counts layers that there were to choose from,
    whether judged or left out by a shortlist.
    """

    candidates: Mapping[str, Way]
    judgements: Mapping[str, Judgement]
    layers: Choice
    ways: Mapping[str, Way]
    choice: Choice
    alternatives: Mapping[str, Choice]
    naive: float
    material: Material
    n_layers: int


def search(data: TrainingData, folds: Folds, asked: Question, report: OnShare) -> Search:
    """Return what folds see and choose; `report` hears the share done, up to 1 - `FITTING`.

    Of more than `SHORTEST` layers and `FEWEST_IMAGES` images those on a shortlist are judged,
    if it may be made: each outer fold has its own, made without its images, and chooses from
    that alone.
    """
    materials = Materials()

    def material(way: Way) -> Material:
        key, how = way
        codes = data.codes[key]
        return materials.take(way, codes.shape, lambda: material_of(preprocessed(codes, how)))

    def judged(ways: Mapping[str, Way], begin: float, end: float) -> dict[str, Judgement]:
        done = Shares(
            {name: work(data.codes[key]) for name, (key, _) in ways.items()}, begin, end, report
        )
        return {
            name: judge(
                material(way),
                data.y,
                len(data.classes),
                folds,
                kind=asked.kind,
                Cs=asked.Cs,
                on_fold=partial(done.add, name),
                weighting=asked.weighting,
                threads=asked.threads,
            )
            for name, way in ways.items()
        }

    candidates = _candidates(data, asked)
    positions = _positions(candidates, asked)
    allowed: Shortlists | None = None
    begin = 0.0
    if asked.may_shortlist and _is_worth_a_shortlist(data, candidates):
        allowed = _shortlisted(data, folds, candidates, positions, material, report)
        begin = GUESSING
    firsts = {
        name: way for name, way in candidates.items() if allowed is None or name in allowed.union
    }
    of_layer = {name: _ways_to_read(way, asked) for name, way in firsts.items()}
    is_more = any(len(ways) > 1 for ways in of_layer.values())
    end = 1.0 - FITTING - (READING if is_more else 0.0)
    judgements = judged(firsts, begin, end)
    layers = choose(judgements, folds, positions=positions, allowed=allowed)

    chosen = dict.fromkeys([*layers.key_of, layers.key])
    ways = {_name(way): way for name in chosen for way in of_layer[name]}
    known = {_name(candidates[name]): seen for name, seen in judgements.items()}
    fresh = judged({n: way for n, way in ways.items() if n not in known}, end, 1.0 - FITTING)
    of_ways = {name: known[name] if name in known else fresh[name] for name in ways}
    names_of = {name: tuple(map(_name, of_layer[name])) for name in chosen}
    choice = choose(
        of_ways,
        folds,
        allowed=Shortlists(tuple(names_of[name] for name in layers.key_of), names_of[layers.key]),
    )
    at_layer = of_layer[layers.key] if asked.alternatives else ()
    alternatives = {
        key: choose({_name(way): of_ways[_name(way)] for way in at_layer if way[0] == key}, folds)
        for key in dict.fromkeys(key for key, _ in at_layer)
    }
    seen = of_ways[choice.key].outer_right[choice.C_of[choice.key], folds.outer >= 0]
    return Search(
        {name: candidates[name] for name in judgements},
        judgements,
        layers,
        ways,
        choice,
        alternatives,
        float(seen.mean()),
        material(ways[choice.key]),
        len({key for key, _ in candidates.values()}),
    )


def _candidates(data: TrainingData, asked: Question) -> dict[str, Way]:
    """Layers by name, in order: by itself what is an alternative of another is none."""
    found: dict[str, Way] = {}
    for key in data.codes:
        if key in asked.others:
            continue
        found[key] = (key, Preprocessing.NONE)
        if key in asked.outputs:
            way = (key, Preprocessing.SOFTMAX)
            found[_name(way)] = way
    return found


def _positions(candidates: Mapping[str, Way], asked: Question) -> dict[str, float | None] | None:
    if asked.positions is None:
        return None
    return {
        name: asked.positions[key] if how is Preprocessing.NONE else None
        for name, (key, how) in candidates.items()
    }


def _ways_to_read(way: Way, asked: Question) -> tuple[Way, ...]:
    """The plainest first."""
    key, how = way
    if how is not Preprocessing.NONE:
        return (way,)
    keys = [key, *asked.alternatives.get(key, ())]
    return tuple((one, how) for one in keys for how in asked.preprocessings)


def _name(way: Way) -> str:
    key, how = way
    return f"{key} {how.value}"


def _is_worth_a_shortlist(data: TrainingData, candidates: Mapping[str, Way]) -> bool:
    """Also whether one can be made: of layers that are small enough to be rotated."""
    return (
        len(candidates) > SHORTEST
        and len(data.y) >= FEWEST_IMAGES
        and all(min(data.codes[key].shape) <= ROTATED_UP_TO for key, _ in candidates.values())
    )


def _shortlisted(
    data: TrainingData,
    folds: Folds,
    candidates: Mapping[str, Way],
    positions: Mapping[str, float | None] | None,
    material_for: Callable[[Way], Material],
    report: Callable[[float], None],
) -> Shortlists | None:
    """None where guesses are no better than chance: then all layers are to be judged."""
    guesses = {}
    for place, (name, way) in enumerate(candidates.items()):
        material = material_for(way)
        if not isinstance(material, Rotation):
            raise AssertionError("codes of this size are rotated")
        width = data.codes[way[0]].shape[1]
        guesses[name] = guess(material.features, data.y, len(data.classes), folds, width=width)
        report(GUESSING * (place + 1) / len(candidates))
    usual = np.bincount(data.y).max() / len(data.y)
    if max(each.accuracy for each in guesses.values()) <= usual:
        return None
    return shortlists(guesses, positions)

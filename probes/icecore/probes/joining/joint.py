"""All layers together: their codes side by side, and as few of the layers as do as well.

What one layer has lost another may still have. A probe over several is linear as any other, but
needs more of the network and more weights; most layers add little to the others, and folds
tell how many may go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from icecore.probes.choosing import Choice, choose
from icecore.probes.cross_validation import OUTER_FOLDS, Folds, judge
from icecore.probes.joining.halving import Layers, halvings
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.probes.materials import Materials
from icecore.probes.shares import OnShare, Shares
from icecore.probes.shortlisting import Shortlists
from icecore.probes.solving.material import ROTATED_UP_TO, Material, material_of
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.solving.weighting import ALIKE, Weighting
from icecore.probes.training_data import TrainingData

HALVING: Final = 0.1
"""The share of the work that finding out what layers add is."""


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Layers to be read together, and what folds see of reading some together.

    `material` is of their codes, side by side in the order of `layers`. `choice` is among sets of
    layers, by keys of no meaning outside; `C` was chosen with them, and `naive` is the accuracy of
    both in the very folds that chose them.
    """

    layers: Layers
    material: Material
    choice: Choice
    C: float
    naive: float


def join(
    data: TrainingData,
    folds: Folds,
    *,
    kind: ProbeKind,
    Cs: Sequence[float],
    report: OnShare,
    weighting: Weighting = ALIKE,
    threads: int = 1,
) -> Joint:
    """Return the layers to be read together; `report` hears the share done, up to 1.

    Of all layers, half of them, a quarter and so on (`halvings`), each outer fold's by its own
    training part, the folds inside choose the smallest set that is as good as the best
    (`preferring`). Sets too large to be rotated are left out if smaller ones are not.

    Source: to choose by the length of weights over all layers: Evci, Dumoulin, Larochelle and
    Mozer, "Head2Toe: utilizing intermediate representations for better transfer learning",
    2022, who choose single units, and once. Here a layer stays or goes as a whole, since one that
    is not read need not be kept; and weights are looked at anew after each halving, as in Guyon,
    Weston, Barnhill and Vapnik, "Gene selection for cancer classification using support
    vector machines", 2002.
    """
    standardisations = {key: Standardisation.of(codes) for key, codes in data.codes.items()}
    by_fold, by_all = halvings(data, folds, standardisations)
    by_fold = tuple(_handy(sets, data.codes) for sets in by_fold)
    by_all = _handy(by_all, data.codes)
    report(HALVING)
    # From the fewest layers on, so that of equals these are preferred.
    sets = sorted({*by_all, *(one for some in by_fold for one in some)}, key=lambda s: (len(s), s))
    name_of = {layers: str(place) for place, layers in enumerate(sets)}
    judged_in = {
        layers: [fold for fold in range(OUTER_FOLDS) if layers in {*by_all, *by_fold[fold]}]
        for layers in sets
    }
    sizes = {
        name: float(len(judged_in[layers]) * sum(data.codes[key].shape[1] for key in layers))
        for layers, name in name_of.items()
    }
    done = Shares(sizes, HALVING, 1.0, report)

    materials = Materials()

    def made(layers: Layers) -> Material:
        standardisation = Standardisation.joined([standardisations[key] for key in layers])
        return material_of(side_by_side(data.codes, layers), standardisation)

    def material(layers: Layers) -> Material:
        d = sum(data.codes[key].shape[1] for key in layers)
        return materials.take(layers, (len(data.y), d), partial(made, layers))

    judgements = {
        name: judge(
            material(layers),
            data.y,
            len(data.classes),
            folds,
            kind=kind,
            Cs=Cs,
            on_fold=partial(done.add, name),
            weighting=weighting,
            threads=threads,
            among=judged_in[layers],
        )
        for layers, name in name_of.items()
    }
    allowed = Shortlists(
        tuple(tuple(sorted(map(name_of.__getitem__, some), key=int)) for some in by_fold),
        tuple(sorted(map(name_of.__getitem__, by_all), key=int)),
    )
    choice = choose(judgements, folds, allowed=allowed)
    layers, place = sets[int(choice.key)], choice.C_of[choice.key]
    seen = judgements[choice.key].outer_right[place, folds.outer >= 0]
    return Joint(layers, material(layers), choice, Cs[place], float(seen.mean()))


def side_by_side(codes: Mapping[str, CodeArray], layers: Sequence[str]) -> CodeArray:
    """Return the codes of `layers`, (n, d of all) float, one after another.

    Of a single one the very array.
    """
    if len(layers) == 1:
        return codes[layers[0]]
    return np.concatenate([codes[key] for key in layers], axis=1)


def _handy(sets: Sequence[Layers], codes: Mapping[str, CodeArray]) -> tuple[Layers, ...]:
    """Those that can be rotated; if none can, the smallest."""
    n = len(next(iter(codes.values())))
    some = tuple(
        layers
        for layers in sets
        if min(n, sum(codes[key].shape[1] for key in layers)) <= ROTATED_UP_TO
    )
    return some or tuple(sets[-1:])

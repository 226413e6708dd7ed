"""Which recipes a recipe check tries, and how each differs from the stored one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from icecore.server.backbones.recipes.presets import PRESETS
from icecore.server.backbones.recipes.recipe import TO_UNIT, Recipe


@dataclass(frozen=True, slots=True)
class Candidate:
    """`change` is what is different from the stored recipe, in words; empty: nothing."""

    change: str
    recipe: Recipe


def candidates(stored: Recipe) -> tuple[Candidate, ...]:
    """Return the stored recipe, then likely others: only channels, scale, mean and std differ.

    One whose inputs nothing can tell from those of another before it is left out.
    """
    found = [Candidate("", stored)]
    for change, recipe in _others(stored):
        if not any(_are_alike(recipe, one.recipe) for one in found):
            found.append(Candidate(change, recipe))
    return tuple(found)


def spread(recipe: Recipe) -> float:
    """Return how far apart the inputs of black and of white lie, in the middle channel."""
    return 255 * recipe.scale / recipe.std[1]


def levels_apart(one: Recipe, other: Recipe) -> float:
    """Return the largest difference between the inputs of two recipes, in grey levels.

    Of the same pixels; a level is that of the recipe with the narrower inputs.
    """
    if one.channels != other.channels:
        return 255.0
    at = [
        (np.array([[0.0], [255.0]]) * each.scale - each.mean) / np.array(each.std)
        for each in (one, other)
    ]
    steps = [each.scale / np.array(each.std) for each in (one, other)]
    return float((np.abs(at[0] - at[1]) / np.minimum(*steps)).max())


def _others(stored: Recipe) -> Iterator[tuple[str, Recipe]]:
    yield f"{_turned(stored).channels} instead of {stored.channels}", _turned(stored)
    for preset in PRESETS.values():
        recipe = preset.of(stored)
        yield preset.words, recipe
        turned = _turned(recipe)
        yield f"{preset.words}, as {turned.channels}", turned
    if stored.scale == TO_UNIT:
        yield "scale 1 instead of 1/255", replace(stored, scale=1.0)
    else:
        yield "scale 1/255", replace(stored, scale=TO_UNIT)


def _turned(recipe: Recipe) -> Recipe:
    """The other order of channels; mean and std go with their colours."""
    return replace(
        recipe,
        channels="BGR" if recipe.channels == "RGB" else "RGB",
        mean=recipe.mean[::-1],
        std=recipe.std[::-1],
    )


def _are_alike(one: Recipe, other: Recipe) -> bool:
    return levels_apart(one, other) <= _ALIKE


_ALIKE = 1.5
"""Grey levels. (x - 127) / 128 and (x - 127.5) / 127.5 lie 1 apart: nothing can tell them."""

"""What is exported: a torch network, how it is fed, and where it comes from."""

from dataclasses import dataclass, replace
from typing import Any

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe

DEFAULT_SIDE = 224
"""Pixels, where neither the caller nor the network says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks for besides a name.

    `side` is the input's in pixels, None as the network wants it. `weights` is a
    tag of the library's, empty for its usual ones. With `is_random` nothing is fetched.
    """

    side: int | None = None
    weights: str = ""
    is_random: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """`network` is a torch.nn.Module; `recipe` None where nobody says how it is fed."""

    network: Any
    height: int
    width: int
    recipe: Recipe | None
    card: Card


def resized(recipe: Recipe, side: int | None) -> Recipe:
    """Return the recipe for inputs of another side, with the same share cut off."""
    if side is None or (recipe.height, recipe.width) == (side, side):
        return recipe
    return replace(
        recipe,
        height=side,
        width=side,
        resize=round(recipe.resize * side / recipe.height),
        resize_width=round(recipe.resize_width * side / recipe.width),
    )

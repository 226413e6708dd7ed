"""`torchvision:NAME`: its classifiers, their published weights and those weights' transforms."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from icecore.server.backbones.card import Card
from icecore.server.backbones.exporting import libraries
from icecore.server.backbones.exporting.mistakes import SpecMistake, WeightsUnavailable
from icecore.server.backbones.exporting.subject import DEFAULT_SIDE, Subject, Wish, resized
from icecore.server.backbones.recipes.recipe import Recipe

_LICENCE = "BSD-3-Clause"
"""Of torchvision and, where they name no other, of the weights it publishes."""


def subject(name: str, wish: Wish) -> Subject:
    """Return a classifier of torchvision's.

    Raises:
        SpecMistake: no such network or weights.
        WeightsUnavailable: its loader did not bring them.
        LibraryMissing: torchvision is not installed.
    """
    models = libraries.torchvision().models
    names = models.list_models(module=models)
    if name not in names:
        near = get_close_matches(name, names, n=3)
        hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
        raise SpecMistake(f"torchvision has no classifier {name!r}{hint}")
    published = models.get_model_weights(name)
    weights = None if wish.is_random else _chosen(name, published, wish.weights)
    usual = _recipe(weights or published.DEFAULT)
    recipe = resized(usual, wish.side)
    more = _arguments(name, weights, recipe.height)
    try:
        network = models.get_model(name, weights=weights, **more)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"torchvision did not bring the weights of {name!r}: {error}; "
            "--random exports it with random ones"
        ) from error
    return Subject(network, recipe.height, recipe.width, recipe, _card(name, weights))


def _chosen(name: str, published: Any, tag: str) -> Any:
    if not tag:
        return published.DEFAULT
    if tag not in published.__members__:
        raise SpecMistake(
            f"torchvision has no weights {tag!r} for {name!r}, but {list(published.__members__)!r}"
        )
    return published[tag]


def _arguments(name: str, weights: Any, side: int) -> dict[str, Any]:
    """What a network must be told to take another size, or not to draw its weights for minutes."""
    if weights is not None:
        return {}
    if name.startswith("vit_"):
        return {"image_size": side}
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def _recipe(weights: Any) -> Recipe:
    """The weights' own transforms."""
    given = weights.transforms()
    (side,), (resize,) = given.crop_size, given.resize_size
    return Recipe(
        height=side or DEFAULT_SIDE,
        width=side or DEFAULT_SIDE,
        resize=resize,
        interpolation=given.interpolation.value,
        mean=tuple(given.mean),
        std=tuple(given.std),
    )


def _card(name: str, weights: Any) -> Card:
    if weights is None:
        return Card(source=f"torchvision:{name}, random weights", trained_on="nothing")
    meta: Mapping[str, Any] = weights.meta
    measured: Mapping[str, Mapping[str, float]] = meta.get("_metrics", {})
    return Card(
        source=f"torchvision:{name} {weights.name}, {weights.url}",
        licence=str(meta.get("license", _LICENCE)),
        trained_on=" and ".join(measured) or "not stated",
        accuracy="; ".join(
            f"{set_name}: " + ", ".join(f"{metric} {value:g}" for metric, value in values.items())
            for set_name, values in measured.items()
        ),
        notes=str(meta.get("recipe", "")),
    )

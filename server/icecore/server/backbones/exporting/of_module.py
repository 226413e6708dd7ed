"""`MODULE:CALLABLE`: a network that a function of the caller's returns."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from icecore.server.backbones.card import Card
from icecore.server.backbones.exporting import libraries
from icecore.server.backbones.exporting.mistakes import SpecMistake, told_of
from icecore.server.backbones.exporting.subject import DEFAULT_SIDE, Subject, Wish, resized
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import RecipeInvalid


def subject(module: str, name: str, wish: Wish) -> Subject:
    """Return what the callable makes: a torch.nn.Module, alone or with its recipe.

    The recipe is a dict of the recipe's fields, second in a tuple or the
    module's attribute `recipe`; `card` may be a dict there too. The module is
    looked for in the working folder first.

    Raises:
        SpecMistake: no such callable, or it returns something else.
        LibraryMissing: torch is not installed.
    """
    torch = libraries.torch()
    if wish.weights:
        raise SpecMistake(f"--weights is of libraries, but {module}:{name} brings its own")
    build = _callable(module, name)
    try:
        made = build()
    except Exception as error:
        raise SpecMistake(f"{module}:{name} raised {told_of(error)}") from error
    network, told = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(network, torch.nn.Module):
        raise SpecMistake(
            f"{module}:{name} returns {type(made).__name__!r}, but must return a torch.nn.Module, "
            "or one and its recipe"
        )
    fields = told if told is not None else getattr(network, "recipe", None)
    recipe = None if fields is None else _recipe(fields, f"{module}:{name}")
    if recipe is not None:
        recipe = resized(recipe, wish.side)
    side = wish.side or DEFAULT_SIDE
    height, width = (recipe.height, recipe.width) if recipe else (side, side)
    return Subject(network, height, width, recipe, _card(network, module, name))


def _callable(module: str, name: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise SpecMistake(f"importing {module!r} raised {told_of(error)}") from error
        raise SpecMistake(f"there is no module {module!r} in {folder!r} or on the path") from error
    except AttributeError as error:
        raise SpecMistake(f"module {module!r} has no {name!r}") from error
    except Exception as error:
        raise SpecMistake(f"importing {module!r} raised {told_of(error)}") from error
    if not callable(found):
        raise SpecMistake(f"{module}:{name} is {type(found).__name__!r}, but must be a callable")
    return found


def _recipe(fields: Any, what: str) -> Recipe:
    if isinstance(fields, Recipe):
        return fields
    if not isinstance(fields, Mapping):
        raise SpecMistake(f"the recipe of {what} is {fields!r}, but must be a dict of its fields")
    try:
        return Recipe.from_json(fields)
    except RecipeInvalid as error:
        raise SpecMistake(f"the recipe of {what} is no recipe: {error}") from error


def _card(network: Any, module: str, name: str) -> Card:
    told = getattr(network, "card", None)
    card = Card.from_json(told) if isinstance(told, Mapping) else Card()
    return card if card.source else replace(card, source=f"{module}:{name}")

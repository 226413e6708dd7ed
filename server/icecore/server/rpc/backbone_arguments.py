"""What a request says about a backbone: its recipe and its card, as values."""

from typing import Final

from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import RecipeFile
from icecore.server.errors import NameInvalid, RecipeInvalid
from icecore.server.rpc import arguments
from icecore.v1 import backbone_pb2 as pb

MAX_CARD_TEXT: Final = 2000
MAX_RECIPE_FILE_BYTES: Final = 1 << 20
"""Labels of 1,000 classes stand in some; 60 KB."""

MAX_FILE_NAME: Final = 1024


def recipe(header: pb.AddBackboneRequest.Header) -> Recipe | None:
    """Return the recipe given as values; None where there is none.

    A field that is empty or 0 is as in `Recipe`; `resize` then is the larger side of the input.

    Raises:
        RecipeInvalid: as `Recipe`, or a recipe file is given too.
    """
    if not header.HasField("recipe"):
        return None
    if header.HasField("recipe_file"):
        raise RecipeInvalid("both a recipe and a recipe file are given, but one is the most")
    given = header.recipe
    told = {
        "interpolation": given.interpolation,
        "channels": given.channels,
        "mean": list(given.mean),
        "std": list(given.std),
        "scale": given.scale,
        "resize_rule": given.resize_rule,
        "resize_width": given.resize_width,
        "layout": given.layout,
    }
    return Recipe.from_json(
        {
            "height": given.height,
            "width": given.width,
            "resize": given.resize or max(given.height, given.width),
            **{name: value for name, value in told.items() if value},
        }
    )


def recipe_file(header: pb.AddBackboneRequest.Header) -> RecipeFile | None:
    """Return the recipe file as it came; None where there is none.

    Raises:
        RecipeInvalid: it is too large to be one.
        NameInvalid: its name is.
    """
    if not header.HasField("recipe_file"):
        return None
    sent = header.recipe_file
    if len(sent.content) > MAX_RECIPE_FILE_BYTES:
        raise RecipeInvalid(
            f"the recipe file has {len(sent.content):,} bytes, but {MAX_RECIPE_FILE_BYTES:,} are "
            "the most"
        )
    name = arguments.free_text(
        "recipe file's name", sent.name, max_length=MAX_FILE_NAME, may_be_empty=True
    )
    return RecipeFile(name, sent.content)


def card(header: pb.AddBackboneRequest.Header) -> Card:
    """Return the card as far as it is given; its texts may have several lines.

    Raises:
        NameInvalid: a text that is too long, or has control characters.
    """
    given = header.card
    return Card(
        source=_text("source", given.source),
        licence=_text("licence", given.licence),
        trained_on=_text("trained_on", given.trained_on),
        notes=_text("notes", given.notes),
        accuracy=_text("accuracy", given.accuracy),
    )


def filled(given: Card, found: Card) -> Card:
    """Return the card that was given, with what it leaves empty as it was found."""
    told = {name: text for name, text in given.to_json().items() if text}
    return Card.from_json({**found.to_json(), **told})


def _text(name: str, text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    if len(text) > MAX_CARD_TEXT:
        raise NameInvalid(
            f"the card's {name} has {len(text):,} characters, but {MAX_CARD_TEXT:,} are the most"
        )
    for line in lines:
        arguments.free_text(f"card's {name}", line, max_length=MAX_CARD_TEXT, may_be_empty=True)
    return "\n".join(lines)

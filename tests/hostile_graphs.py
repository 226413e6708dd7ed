"""Files that hurt whoever trusts them, made by code; each with what must be said of it.

`HOSTILE` holds them by name. They are made when asked for, since some are large.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

import hostile_bombs
import hostile_bytes
import hostile_labours
import hostile_lies
import hostile_references
import hostile_settings
import hostile_shapes
from hostile_parts import File
from icecore.server.errors import (
    GraphInvalid,
    GraphTooCostly,
    GraphTooLarge,
    IcecoreError,
    RecipeInvalid,
)

__all__ = ["HOSTILE", "SLOW", "Hostile"]


@dataclass(frozen=True)
class Hostile:
    """One file: how it is made, as which errors it may be refused, and a part of the sentence."""

    name: str
    make: Callable[[], bytes]
    errors: tuple[type[IcecoreError], ...]
    says: str


_WORDS: dict[str, tuple[type[IcecoreError], ...]] = {
    "invalid": (GraphInvalid,),
    "large": (GraphTooLarge,),
    "costly": (GraphTooCostly,),
    "recipe": (RecipeInvalid,),
    "any": (GraphInvalid, GraphTooLarge, GraphTooCostly),
}


def _hostile(name: str, file: File) -> Hostile:
    made, kind, says = file

    def make() -> bytes:
        value = made() if callable(made) else made
        return value.SerializeToString() if isinstance(value, onnx.ModelProto) else value

    return Hostile(name, make, _WORDS[kind], says)


_PARTS = (
    hostile_bytes.FILES,
    hostile_references.FILES,
    hostile_lies.FILES,
    hostile_settings.FILES,
    hostile_shapes.FILES,
    hostile_bombs.FILES,
    hostile_labours.FILES,
)

HOSTILE: dict[str, Hostile] = {
    name: _hostile(name, file) for part in _PARTS for name, file in part.items()
}
SLOW = HOSTILE["products by pixels"]
"""What no count finds beforehand: it would be looked at for minutes."""

assert len(HOSTILE) == sum(len(part) for part in _PARTS), "two files have one name"

"""Small JSON and TOML texts of others, read within bounds, and their fields one by one."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from icecore.server.backbones.recipes.recipe import is_number, shown
from icecore.server.errors import RecipeInvalid

MAX_BYTES: Final = 64 << 10
"""Of one file; what timm and Hugging Face write has about 1 KB."""

MAX_DEPTH: Final = 16
MAX_DOTS: Final = 200
"""In one line of TOML: a dotted key costs the square of its parts to read."""

_HUGE: Final = 1e9
"""Beyond all that a recipe may hold; integers of a text may pass what a float holds."""


def parse_json(content: bytes, what: str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        RecipeInvalid: too long, too deep, no JSON, or no object.
    """
    text = _text(content, what)
    if _depth(text) > MAX_DEPTH:
        raise RecipeInvalid(f"{what} is nested deeper than {MAX_DEPTH}")
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise RecipeInvalid(f"{what} is no JSON: {_sentence(error)}") from error
    if not isinstance(values, dict):
        raise RecipeInvalid(f"{what} holds a {type(values).__name__}, but must hold an object")
    return values


def parse_toml(content: bytes, what: str) -> dict[str, Any]:
    """Return the table that a TOML text holds.

    Raises:
        RecipeInvalid: too long, too deep, or no TOML.
    """
    text = _text(content, what)
    # Brackets in strings count too: nothing that describes a recipe comes near.
    too_dotted = any(line.count(".") > MAX_DOTS for line in text.splitlines())
    if too_dotted or text.count("[") + text.count("{") > 32 * MAX_DEPTH:
        raise RecipeInvalid(f"{what} is nested deeper than {MAX_DEPTH}")
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeInvalid(f"{what} is neither JSON nor TOML: {_sentence(error)}") from error
    return values


class Fields:
    """The fields of a mapping, typed; each getter gives `default` where it is absent or null.

    Raises:
        RecipeInvalid: from every getter, naming the field, where it is of another type.
    """

    def __init__(self, values: Mapping[str, Any], what: str) -> None:
        self._values = values
        self.what = what

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def any(self, name: str) -> Any:
        return self._values.get(name)

    def integer(self, name: str, default: int = 0) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _HUGE:
            self.refuse(name, "a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._values.get(name)
        if value is None:
            return default
        if not is_number(value) or not abs(value) < _HUGE:
            self.refuse(name, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def text(self, name: str, default: str) -> str:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(name, "a text")
        return value

    def triple(self, name: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        """Three numbers; one number stands for three that are the same."""
        value = self._values.get(name)
        if value is None:
            return default
        numbers = [value] if is_number(value) else value
        if (
            not isinstance(numbers, list)
            or len(numbers) not in {1, 3}
            or not all(is_number(number) and abs(number) < _HUGE for number in numbers)
        ):
            self.refuse(name, "three numbers")
        one, two, three = numbers * (3 // len(numbers))
        return float(one), float(two), float(three)

    def refuse(self, name: str, must: str) -> NoReturn:
        raise RecipeInvalid(
            f"{self.what} has {name!r} {shown(self._values.get(name))}, but it must be {must}"
        )


def _text(content: bytes, what: str) -> str:
    if len(content) > MAX_BYTES:
        raise RecipeInvalid(f"{what} has {len(content):,} bytes, but {MAX_BYTES:,} are the most")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeInvalid(f"{what} is no text: it is not UTF-8 at byte {error.start}") from error


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text go, strings left out."""
    deepest = depth = 0
    in_string = is_escaped = False
    for character in text:
        if in_string:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not a number of JSON")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text[:1].lower() + text[1:]

"""An advice on its way from the worker: what JSON says is the same value again."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

import pytest

from icecore.server.training.advising.values import from_json


class Colour(StrEnum):
    RED = "RED"


@dataclass(frozen=True)
class Inner:
    share: float
    name: str


@dataclass(frozen=True)
class Outer:
    colour: Colour
    some: tuple[Inner, ...]
    pairs: tuple[tuple[float, int], ...]
    more: int | None
    other: Inner | None
    is_so: bool


@pytest.mark.parametrize("more", [None, 3])
def test_a_value_comes_back_as_it_was(more: int | None) -> None:
    value = Outer(
        Colour.RED, (Inner(0.1, "a"), Inner(1e-300, "ü")), ((0.5, 2),), more, Inner(2.0, ""), True
    )
    assert from_json(Outer, json.loads(json.dumps(asdict(value)))) == value


def test_another_value_is_refused() -> None:
    with pytest.raises(TypeError, match="'x' is not"):
        from_json(Inner, {"share": "x", "name": "a"})
    with pytest.raises(KeyError, match="name"):
        from_json(Inner, {"share": 0.5})
    with pytest.raises(ValueError, match="BLUE"):
        from_json(Outer, {"colour": "BLUE"})

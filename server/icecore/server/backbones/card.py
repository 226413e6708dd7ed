"""The value Card: what is told of a backbone beside what it computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Card:
    """Where a backbone comes from; `accuracy` as published."""

    source: str = ""
    licence: str = ""
    trained_on: str = ""
    notes: str = ""
    accuracy: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "source": self.source,
            "licence": self.licence,
            "trained_on": self.trained_on,
            "notes": self.notes,
            "accuracy": self.accuracy,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(**{name: str(value) for name, value in fields.items()})


NO_CARD = Card()

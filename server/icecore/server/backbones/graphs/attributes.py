"""A node's attributes, by name and kind, with their defaults."""

from typing import Any

import onnx
from onnx import helper


class Attributes:
    """A node's attributes by name."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self._given = {attribute.name: attribute for attribute in node.attribute}

    def integer(self, name: str, default: int) -> int:
        """A whole number."""
        return int(self._given[name].i) if name in self._given else default

    def integers(self, name: str) -> list[int] | None:
        """Several whole numbers; None where the node has none of that name."""
        return [int(i) for i in self._given[name].ints] if name in self._given else None

    def text(self, name: str, default: str) -> str:
        """A word."""
        return self._given[name].s.decode("utf-8", "replace") if name in self._given else default

    def value(self, name: str) -> Any:
        """Whatever it is; None where the node has none of that name."""
        return helper.get_attribute_value(self._given[name]) if name in self._given else None

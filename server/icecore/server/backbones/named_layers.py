"""A backbone's layers, found by depth or name; where one is not there, what is."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from icecore.server.backbones.graphs.layers import Layer
from icecore.server.errors import LayerNotFound

_DEPTH = re.compile(r"-?[0-9]{1,9}")
_NAME_PREFIX = "name:"


@dataclass(frozen=True, eq=False)
class NamedLayers:
    """The layers of the backbone of this name; at least one has a depth."""

    backbone: str
    layers: tuple[Layer, ...]

    @cached_property
    def ranked(self) -> tuple[Layer, ...]:
        """The layers that have a depth, in its order: `ranked[0]` has depth 1."""
        return tuple(layer for layer in self.layers if layer.depth is not None)

    def asked(self, spec: str) -> Layer:
        """Return the layer that a spec asks for, as `Backbone.layer`. Raises LayerNotFound."""
        if _DEPTH.fullmatch(spec):
            depth = int(spec)
            n_depths = len(self.ranked)
            if depth == 0 or abs(depth) > n_depths:
                raise LayerNotFound(
                    f"depth {depth} is not in backbone {self.backbone!r}: {self._range()}; "
                    f"-1 is the last"
                )
            return self.ranked[depth - 1 if depth > 0 else depth]
        return self.named(spec.removeprefix(_NAME_PREFIX))

    def named(self, name: str) -> Layer:
        """Return the layer of exactly this name. Raises LayerNotFound."""
        if name not in self._by_name:
            raise self._absent(name)
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def _range(self) -> str:
        first, last = self.ranked[0], self.ranked[-1]
        return (
            f"it has {len(self.ranked)}, from {first.name!r} (depth 1) "
            f"to {last.name!r} (depth {last.depth})"
        )

    def _absent(self, name: str) -> LayerNotFound:
        shown = name if len(name) <= 80 else name[:80] + "…"
        near = get_close_matches(shown, self._by_name, n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
        return LayerNotFound(
            f"layer {shown!r} is not in backbone {self.backbone!r}: {self._range()}{hint}"
        )

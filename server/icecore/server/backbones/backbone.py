"""The value Backbone: a frozen network, how it is fed, and the names of its layers.

It finds layers and makes taps; it runs nothing and stores nothing.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

from icecore.server.backbones.card import NO_CARD, Card
from icecore.server.backbones.facts import NO_FACTS, Facts
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, layers_of
from icecore.server.backbones.graphs.roles import LOGITS, PROBABILITIES
from icecore.server.backbones.named_layers import NamedLayers
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.errors import GraphInvalid, RecipeInvalid, TapMismatch
from icecore.wire.taps import AVG, Activation, Pooling, TapId

DEFAULT_LAYERS = ("-1",)
"""What is read where nobody says: the last threshold, as transfer learning usually does."""

OUTPUT_ROLES = (LOGITS, PROBABILITIES)
"""Of layers that are the network's own answers; one of them is enough."""

_QUANTISER = "QuantizeLinear"


def digest(graph: bytes, recipe: Recipe) -> str:
    """Return the SHA-256 over graph and recipe, 64 hexadecimal digits.

    The recipe counts since other pixels make other codes.
    """
    fed = json.dumps(recipe.identity(), sort_keys=True, separators=(",", ":")).encode()
    whole = hashlib.sha256(b"icecore backbone 1\0")
    whole.update(len(graph).to_bytes(8, "big"))
    whole.update(graph)
    whole.update(fed)
    return whole.hexdigest()


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network. `digest` is that of the graph and `recipe`; `layers` that of the graph.

    The graph itself is large, and needed only where a session is made: `load` gives it,
    `graph_bytes` long. `precision` is "float32" or "int8". There is at least one
    layer that has a depth.
    """

    name: str
    digest: str
    load: Callable[[], bytes] = field(repr=False)
    graph_bytes: int
    precision: str
    recipe: Recipe
    card: Card
    layers: tuple[Layer, ...] = field(repr=False)
    create_time: datetime
    is_default: bool = False
    facts: Facts = NO_FACTS

    @classmethod
    def read(
        cls,
        name: str,
        graph: bytes,
        recipe: Recipe,
        card: Card = NO_CARD,
        *,
        create_time: datetime | None = None,
        is_default: bool = False,
        facts: Facts = NO_FACTS,
    ) -> Self:
        """Return the backbone of an ONNX file; its layers are read and its digest computed.

        It holds the graph. Takes half a second for one of 100 MB.

        Raises:
            GraphInvalid: as `Graph` and `layers_of`, or no layer has a depth.
            RecipeInvalid: the recipe makes inputs of another size than the graph takes.
        """
        network = Graph(graph)
        if (network.height, network.width) != (recipe.height, recipe.width):
            raise RecipeInvalid(
                f"the recipe makes images of {recipe.height} x {recipe.width}, but the graph's "
                f"input {network.input!r} takes {network.height} x {network.width}"
            )
        layers = layers_of(network)
        if all(layer.depth is None for layer in layers):
            raise GraphInvalid(
                "the graph has neither a threshold (Relu, Clip at 0) nor a block, so that no "
                "layer has a depth"
            )
        is_int8 = any(node.op_type == _QUANTISER for node in network.nodes)
        return cls(
            name=name,
            digest=digest(graph, recipe),
            load=lambda: graph,
            graph_bytes=len(graph),
            precision="int8" if is_int8 else "float32",
            recipe=recipe,
            card=card,
            layers=layers,
            create_time=create_time or datetime.now(UTC),
            is_default=is_default,
            facts=facts,
        )

    @property
    def graph(self) -> bytes:
        """The ONNX file.

        Raises:
            BackboneNotFound: it has been removed since.
            StorageCorrupt: it is not what was stored.
        """
        return self.load()

    @cached_property
    def ranked(self) -> tuple[Layer, ...]:
        """The layers that have a depth, in its order: `ranked[0]` has depth 1."""
        return self._named.ranked

    @cached_property
    def core(self) -> tuple[TapId, ...]:
        """Average-pooled taps, as trained, of all layers that have a depth."""
        return tuple(self.tap(layer) for layer in self.ranked)

    @cached_property
    def outputs(self) -> Layer | None:
        """The layer of the network's own answers; None if it has none, or some have a depth.

        Its logits where the graph tells them, else its probabilities.
        """
        answers = {layer.role: layer for layer in self.layers if layer.role in OUTPUT_ROLES}
        if any(layer.depth is not None for layer in answers.values()):
            return None
        return answers.get(LOGITS) or answers.get(PROBABILITIES)

    def layer(self, spec: str) -> Layer:
        """Return the layer of a depth (`17`; `-1` is the last) or of a name.

        `name:267` is the tensor of that name, where a bare `267` would be a depth.

        Raises:
            LayerNotFound: no such layer; the sentence has near names and the range.
        """
        return self._named.asked(spec)

    def select(self, specs: Sequence[str]) -> tuple[Layer, ...]:
        """Return the layers asked for, in that order; `*` is all that have a depth.

        No specs at all mean the last depth. Raises LayerNotFound.
        """
        chosen: list[Layer] = []
        for spec in specs or DEFAULT_LAYERS:
            chosen.extend(self.ranked if spec == "*" else [self.layer(spec)])
        return tuple(chosen)

    def spread(self, n: int) -> tuple[Layer, ...]:
        """Return `n` layers of evenly spread depths with the last, or all if there are fewer."""
        n_depths = len(self.ranked)
        depths = sorted({n_depths - (n_depths * i) // n for i in range(n)} - {0})
        return tuple(self.ranked[depth - 1] for depth in depths)

    def tap(
        self,
        layer: Layer,
        activation: Activation = Activation.AS_TRAINED,
        pooling: Pooling = AVG,
    ) -> TapId:
        """Return the identity of what is read at one of this backbone's layers.

        Raises:
            PoolingInvalid: the layer has not what the pooling reads.
        """
        codes_shape(layer, pooling)
        return TapId(
            digest=self.digest,
            layer=layer.name,
            activation=activation,
            pooling=pooling,
            backbone=self.name,
            depth=layer.depth or 0,
        )

    def layer_of(self, tap: TapId) -> Layer:
        """Return the layer that a tap reads.

        Raises:
            TapMismatch: the tap is another backbone's, or another digest's.
            LayerNotFound: it names no layer of this one.
        """
        if tap.digest != self.digest:
            raise TapMismatch(
                f"tap '{tap}' (digest {tap.digest}) is not of backbone {self.name!r} "
                f"(digest {self.digest})"
            )
        return self._named.named(tap.layer)

    @cached_property
    def _named(self) -> NamedLayers:
        return NamedLayers(self.name, self.layers)

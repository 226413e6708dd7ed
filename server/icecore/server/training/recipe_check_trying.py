"""Running photos through a network under one recipe after another."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Prepared
from icecore.server.training.recipe_check_classes import Matches
from icecore.server.training.recipe_check_scores import Learnable, Scores, score

_AT_ONCE: Final = 16
_LOGITS, _PROBABILITIES = "logits", "probabilities"


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """`crops` are (h, w, 3) uint8 as the stored recipe cuts them; `labels` may be empty."""

    crops: Sequence[npt.NDArray[np.uint8]]
    labels: Sequence[str]
    matches: Matches | None


class Trying:
    """Some photos under one recipe after another; what was run is not run again.

    `logits` is the layer of the network's classes, None where it has none.
    """

    def __init__(
        self,
        embedder: Embedder,
        backbone: Backbone,
        logits: Layer | None,
        photos: Photos,
        tenant_id: str,
    ) -> None:
        self._embedder = embedder
        self._backbone = backbone
        self._photos = photos
        self._tenant_id = tenant_id
        last = backbone.ranked[-1]
        self._are_probabilities = logits is not None and logits.role == _PROBABILITIES
        self._taps = [backbone.tap(last)] + ([backbone.tap(logits)] if logits else [])
        self._made: dict[Recipe, list[npt.NDArray[np.float32]]] = {}
        self.n = len(photos.crops)

    @property
    def recipe(self) -> Recipe:
        return self._backbone.recipe

    async def scores(self, recipe: Recipe, n: int) -> Scores:
        """Return the scores of the first `n` photos; those seen before are not run again.

        Raises:
            TensorInvalid: the recipe's inputs are too large for the network.
        """
        made = self._made.get(recipe, [])
        begun = len(made[0]) if made else 0
        for first in range(begun, n, _AT_ONCE):
            some = self._photos.crops[first : min(n, first + _AT_ONCE)]
            inputs = [Prepared(recipe.normalise(crop)) for crop in some]
            embedded = await self._embedder.embed(
                self._backbone,
                self._taps,
                inputs,
                tenant_id=self._tenant_id,
                is_background=True,
            )
            codes = [array.astype(np.float32, copy=False) for array in embedded.codes]
            made = [np.concatenate(two) for two in zip(made, codes, strict=True)] if made else codes
        self._made[recipe] = made
        return await asyncio.to_thread(self._score, made, n)

    def learnable(self, n: int) -> Learnable:
        return Learnable.of(self._photos.labels[:n])

    def _score(self, made: Sequence[npt.NDArray[np.float32]], n: int) -> Scores:
        logits = None if len(made) < 2 else made[1][:n]
        if logits is not None and self._are_probabilities:
            logits = np.log(np.maximum(logits, np.float32(1e-12)))
        matches = self._photos.matches
        matches = None if matches is None else Matches(matches.members[:n])
        return score(made[0][:n], logits, self.learnable(n), matches)


def logits_of(backbone: Backbone) -> Layer | None:
    """The layer of the network's classes, before the softmax where that can be read."""
    for role in (_LOGITS, _PROBABILITIES):
        for layer in reversed(backbone.layers):
            if layer.role == role:
                return layer
    return None

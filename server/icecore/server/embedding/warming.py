"""The first pass of a backbone, before anybody waits for it."""

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Prepared


async def warm(embedder: Embedder, backbone: Backbone) -> None:
    """Let the backbone answer once as a caller who names no layer would have it answer.

    Raises:
        Internal: it does not.
    """
    recipe = backbone.recipe
    blank = Prepared(np.zeros((3, recipe.height, recipe.width), np.float32))
    (layer,) = backbone.select(())
    await embedder.embed(backbone, (backbone.tap(layer),), [blank], is_background=True)

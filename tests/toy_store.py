"""The toy backbone in a store, as the catalog would have put it there."""

from icecore.server.backbones.backbone import Backbone
from icecore.server.storage.promise import Store
from icecore.server.storage.records import BackboneRecord
from toys import toy_backbone


def put_toy_backbone(store: Store, seed: int = 0, *, name: str = "toy") -> Backbone:
    """Return the toy after it was stored under its name."""
    backbone = toy_backbone(seed, name=name)
    store.put_backbone(
        BackboneRecord(
            backbone.name,
            backbone.digest,
            backbone.recipe.to_json(),
            backbone.card.to_json(),
            backbone.create_time,
        ),
        backbone.graph,
    )
    return backbone

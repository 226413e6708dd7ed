"""The toy backbone in a store, as the catalog would have put it there."""

from icecore.server.backbones.as_stored import to_record
from icecore.server.backbones.backbone import Backbone
from icecore.server.storage.promise import Store
from toys import toy_backbone


def put_toy_backbone(store: Store, seed: int = 0, *, name: str = "toy") -> Backbone:
    """Return the toy after it was stored under its name."""
    backbone = toy_backbone(seed, name=name)
    store.put_backbone(to_record(backbone), backbone.graph)
    return backbone

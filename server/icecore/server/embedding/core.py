"""What is read of every image of a collection in one pass, and stored: its core."""

from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.storage.records import CollectionRecord
from icecore.wire.taps import TapId

MOST_OUTPUTS: Final = 4096
"""Values of the network's own answers that are worth their room: those of ImageNet's 1,000
classes add a twentieth to a fifth to a core, those of 21,000 would more than double it."""


def core_of(backbone: Backbone, collection: CollectionRecord) -> tuple[TapId, ...]:
    """Return average-pooled taps, as trained, of all depths, then of the network's answers."""
    return (*backbone.core, *outputs_in(backbone, collection))


def outputs_in(backbone: Backbone, collection: CollectionRecord) -> tuple[TapId, ...]:
    """Return the tap of the network's answers, if the collection's core has it."""
    outputs = backbone.outputs
    if outputs is None or outputs.dims > MOST_OUTPUTS or not collection.has_outputs:
        return ()
    return (backbone.tap(outputs),)

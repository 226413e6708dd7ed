"""EfficientNet-Lite0, which every new data folder has, as a backbone."""

from pathlib import Path

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid
from icecore.server.errors import Internal


def build_default(path: Path | None) -> Backbone:
    """Return it as it was built into a file, or from its published weights.

    Raises:
        Internal: its weights are not installed, or not what was published.
    """
    try:
        if path is not None:
            graph = path.read_bytes()
        else:
            graph = efficientnet_lite0.build(efficientnet_lite0.read_weights())
    except (ArchiveInvalid, OSError) as error:
        raise Internal(
            f"the default backbone {efficientnet_lite0.NAME!r} cannot be built: {error}"
        ) from error
    return Backbone.read(
        efficientnet_lite0.NAME, graph, efficientnet_lite0.RECIPE, efficientnet_lite0.CARD
    )

"""The default backbone, built once for all tests here."""

import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0


@pytest.fixture(scope="session")
def lite0() -> Backbone:
    """EfficientNet-Lite0 from its published weights."""
    graph = efficientnet_lite0.build(efficientnet_lite0.read_weights())
    return Backbone.read(
        efficientnet_lite0.NAME, graph, efficientnet_lite0.RECIPE, efficientnet_lite0.CARD
    )

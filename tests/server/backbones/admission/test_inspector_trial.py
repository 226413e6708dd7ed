"""The first run of a network: what comes out is what was told, and images stay apart."""

from dataclasses import replace
from typing import Any

import pytest

from hostile_lies import PUT_RIGHT
from hostile_parts import SIDE, network
from icecore.server.backbones.admission.house_form.house import bring_home, input_size
from icecore.server.backbones.admission.inspecting.trial import try_out
from icecore.server.backbones.admission.limits import USUAL
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import assumed
from icecore.server.errors import GraphInvalid, GraphTooCostly
from networks import network as family
from toys import toy_backbone

RECIPE = Recipe(height=SIDE, width=SIDE, resize=SIDE)


def told(backbone: Backbone, name: str, **fields: Any) -> Backbone:
    """The backbone with another thing told of one layer."""
    layers = tuple(
        replace(layer, **fields) if layer.name == name else layer for layer in backbone.layers
    )
    return replace(backbone, layers=layers)


def test_an_honest_network_passes() -> None:
    try_out(toy_backbone(), USUAL)
    try_out(Backbone.read("", network().SerializeToString(), RECIPE), USUAL)


@pytest.mark.parametrize("name", ["vit", "convnext", "mobilenetv2-int8"])
def test_tokens_rows_and_int8_pass(name: str) -> None:
    """Layers of other layouts have the shapes they tell, too."""
    size = input_size(family(name)) or (64, 64)
    graph = bring_home(family(name), size).graph
    try_out(Backbone.read(name, graph, assumed(size)), USUAL)


@pytest.mark.parametrize("fields", [{"height": 9}, {"width": 4}, {"channels": 3}])
def test_a_layer_of_another_shape_than_told_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(GraphInvalid, match="layer 'one' has the shape"):
        try_out(told(toy_backbone(), "one", **fields), USUAL)


def test_codes_of_another_length_than_told_are_refused() -> None:
    with pytest.raises(GraphInvalid, match="layer 'two' has codes of shape"):
        try_out(told(toy_backbone(), "two", dims=7), USUAL)


def test_a_network_that_mixes_images_is_refused() -> None:
    """The house form runs such networks image by image; this is the door behind that."""
    data = PUT_RIGHT["images that see each other"]().SerializeToString()
    with pytest.raises(GraphInvalid, match="other codes for an image when another"):
        try_out(Backbone.read("", data, RECIPE), USUAL)


def test_a_run_beyond_the_limit_is_too_costly() -> None:
    with pytest.raises(GraphTooCostly, match="one image takes"):
        try_out(toy_backbone(), replace(USUAL, max_run_s=-1.0))

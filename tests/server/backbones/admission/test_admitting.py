"""Files of others that are let in: what comes back, and where their recipe comes from."""

import hashlib
import json
import lzma
from pathlib import Path

import numpy as np
import onnx
import pytest

import networks
from hostile_lies import PUT_RIGHT
from icecore.server.backbones.admission.admitting import admit
from icecore.server.backbones.admission.vetting.vetting import vet
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.graphs.layers import read_layers
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import RecipeFile, to_metadata
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.errors import RecipeInvalid
from toys import toy_graph, toy_recipe

SHARED = (
    "alexnet-pool5.onnx",
    "mobilenetv2.onnx",
    "resnet50.onnx.xz",
    "resnet56-cifar10.onnx",
    "squeezenet1.1.onnx",
)


def with_metadata(**properties: str) -> bytes:
    model = onnx.ModelProto.FromString(toy_graph())
    for key, value in properties.items():
        model.metadata_props.add(key=key.replace("_", "."), value=value)
    return model.SerializeToString()


def test_a_graph_in_house_form_comes_back_as_it_is() -> None:
    admitted = admit(toy_graph(), recipe=toy_recipe())
    assert admitted.graph == toy_graph()
    assert admitted.changes == ()
    assert admitted.file_sha256 == hashlib.sha256(toy_graph()).hexdigest()
    assert (admitted.recipe, admitted.recipe_source) == (toy_recipe(), "given")


def test_a_recipe_file_and_its_card_are_read() -> None:
    content = b'preset = "unit"\nresize = 9\n[card]\nlicence = "MIT"\n'
    data = with_metadata(icecore_card='{"source": "here", "licence": "?"}')
    admitted = admit(data, recipe_file=RecipeFile("toy.toml", content))
    assert (admitted.recipe.height, admitted.recipe.resize) == (8, 9)
    assert admitted.recipe.mean == (0.0, 0.0, 0.0)
    assert admitted.recipe_source == "recipe file toy.toml"
    assert admitted.card == Card(source="here", licence="MIT")


def test_a_recipe_in_the_metadata_is_read() -> None:
    recipe = Recipe(height=8, width=8, resize=11, channels="BGR")
    told = to_metadata(recipe, Card(source="here"))
    data = with_metadata(**{key.replace(".", "_"): value for key, value in told.items()})
    admitted = admit(data)
    assert (admitted.recipe, admitted.recipe_source) == (recipe, "metadata of the file")
    assert admitted.card == Card(source="here")


def test_without_any_recipe_the_usual_one_is_assumed_at_the_size_of_the_graph() -> None:
    admitted = admit(toy_graph())
    assert admitted.recipe_source == "assumed"
    assert (admitted.recipe.height, admitted.recipe.width) == (8, 8)


@pytest.mark.parametrize(
    ("recipe", "file", "says"),
    [
        (toy_recipe(), RecipeFile("r.json", b"{}"), "both"),
        (Recipe(height=16, width=16, resize=16), None, "16 x 16"),
        (None, RecipeFile("r.json", b"{"), "r.json"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    recipe: Recipe | None, file: RecipeFile | None, says: str
) -> None:
    with pytest.raises(RecipeInvalid, match=says):
        admit(toy_graph(), recipe=recipe, recipe_file=file)


def test_long_metadata_are_left_unread() -> None:
    """A card is no place for a megabyte."""
    long = json.dumps({"source": "x" * 200_000})
    assert admit(with_metadata(icecore_card=long)).card == Card()


@pytest.mark.parametrize("name", PUT_RIGHT)
def test_what_is_put_right_keeps_images_apart(name: str) -> None:
    """No image's codes tell of the image beside it, and each layer is of the shape it says."""
    admitted = admit(PUT_RIGHT[name]().SerializeToString())
    backbone = Backbone.read(name, admitted.graph, admitted.recipe)
    taps = [backbone.tap(layer) for layer in backbone.layers]
    images = np.random.default_rng(0).random((2, *admitted.recipe.shape), dtype=np.float32)
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    together = sessions.run(backbone, taps, images)
    alone = sessions.run(backbone, taps, images[1:])
    for layer, both, one in zip(backbone.layers, together, alone, strict=True):
        assert one.shape == (1, layer.dims)
        # float32 sums in another order, at another batch
        assert np.abs(both[1:] - one).max() <= 1e-5 * max(1.0, np.abs(one).max()), layer.name


@pytest.mark.parametrize("name", networks.NAMES)
def test_the_vetting_lets_every_usual_family_pass(name: str) -> None:
    vet(networks.network(name))


@pytest.mark.parametrize("name", SHARED)
def test_the_real_networks_are_let_in_with_the_layers_they_had(shared: Path, name: str) -> None:
    data = (shared / "models" / name).read_bytes()
    if name.endswith(".xz"):
        data = lzma.decompress(data)
    admitted = admit(data)
    assert read_layers(admitted.graph) == read_layers(data)

"""How layers are named, and what makes a backbone another one."""

from dataclasses import replace

import pytest

from icecore.server.backbones.backbone import Backbone, digest
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import LayerNotFound, RecipeInvalid, TapMismatch
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind, TapId
from toys import toy_backbone, toy_graph, toy_recipe


def test_graph_and_recipe_both_make_the_digest() -> None:
    graph, recipe = toy_graph(), toy_recipe()
    same = digest(graph, recipe)
    assert same == digest(graph, Recipe.from_json(recipe.to_json()))
    others = [
        digest(toy_graph(1), recipe),
        digest(graph, replace(recipe, interpolation="bilinear")),
        digest(graph, replace(recipe, std=(1.0, 1.0, 2.0))),
        digest(graph + b"\0", recipe),
    ]
    assert len({same, *others}) == 5


def test_a_layer_is_named_by_depth_from_both_ends_or_by_name() -> None:
    toy = toy_backbone()
    assert [toy.layer(spec).name for spec in ("1", "2", "3")] == ["one", "two", "three"]
    assert [toy.layer(spec).name for spec in ("-1", "-3")] == ["three", "one"]
    assert toy.layer("branch").depth is None
    assert toy.layer("name:two") == toy.layer("two")


def test_a_name_that_looks_like_a_number_needs_its_prefix() -> None:
    toy = toy_backbone()
    numbered = replace(
        toy, layers=tuple(replace(x, name="3") if x.name == "one" else x for x in toy.layers)
    )
    assert numbered.layer("3").name == "three"
    assert numbered.layer("name:3").depth == 1


@pytest.mark.parametrize("spec", ["0", "4", "-4", "999999999", "-0"])
def test_a_depth_out_of_range_names_the_range(spec: str) -> None:
    with pytest.raises(LayerNotFound, match=r"it has 3, from 'one' \(depth 1\) to 'three'"):
        toy_backbone().layer(spec)


@pytest.mark.parametrize(
    "spec", ["", "thre", "\uff19", "1" * 5000, "name:", "name:1", "x" * 100_000]
)
def test_an_unknown_name_is_refused_in_a_short_sentence(spec: str) -> None:
    with pytest.raises(LayerNotFound, match="is not in backbone 'toy'") as caught:
        toy_backbone().layer(spec)
    assert len(caught.value.message) < 400


def test_near_names_are_offered() -> None:
    with pytest.raises(LayerNotFound, match="near it: 'three'"):
        toy_backbone().layer("thre")


def test_select_keeps_the_order_asked_and_defaults_to_the_last() -> None:
    toy = toy_backbone()
    assert [layer.name for layer in toy.select(["-1", "one"])] == ["three", "one"]
    assert [layer.name for layer in toy.select(["*"])] == ["one", "two", "three"]
    assert toy.select([]) == (toy.layer("-1"),)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 33, 40])
def test_spread_is_even_and_ends_at_the_last(lite0: Backbone, n: int) -> None:
    depths = [layer.depth or 0 for layer in lite0.spread(n)]
    assert len(depths) == min(n, 33)
    assert depths[-1] == 33
    steps = [b - a for a, b in zip([0, *depths], depths, strict=False)]
    assert max(steps) - min(steps) <= 1


def test_the_core_is_every_threshold_averaged(lite0: Backbone) -> None:
    assert len(lite0.core) == 33
    assert [tap.depth for tap in lite0.core] == list(range(1, 34))
    assert {tap.activation for tap in lite0.core} == {Activation.AS_TRAINED}
    assert {tap.pooling for tap in lite0.core} == {AVG}
    assert sum(lite0.layer_of(tap).dims for tap in lite0.core) == 19_200


def test_a_tap_finds_its_layer_back_whatever_the_backbone_is_called() -> None:
    toy, renamed = toy_backbone(), toy_backbone(name="other")
    tap = toy.tap(toy.layer("2"), Activation.NONE, Pooling(PoolingKind.MAX))
    assert renamed.layer_of(tap).name == "two"
    assert str(tap).endswith("/2:two/none/max")


def test_a_tap_of_another_digest_is_refused_and_both_are_named() -> None:
    toy, other = toy_backbone(), toy_backbone(1)
    with pytest.raises(TapMismatch) as caught:
        other.layer_of(toy.tap(toy.layer("1")))
    assert toy.digest in caught.value.message
    assert other.digest in caught.value.message


def test_a_tap_of_an_absent_layer_is_refused() -> None:
    toy = toy_backbone()
    with pytest.raises(LayerNotFound, match="'four' is not in backbone"):
        toy.layer_of(TapId(digest=toy.digest, layer="four"))


def test_a_recipe_of_another_size_is_refused() -> None:
    with pytest.raises(RecipeInvalid, match="images of 9 x 8, but the graph's input 'image'"):
        Backbone.read("toy", toy_graph(), Recipe(height=9, width=8, resize=9))


def test_a_networks_own_answers_are_its_logits_else_its_probabilities() -> None:
    toy = toy_backbone()
    logits = toy.layer("logits")
    shares = replace(logits, name="shares", role="probabilities")
    assert toy.outputs == logits
    assert replace(toy, layers=(*toy.ranked, shares, logits)).outputs == logits
    assert replace(toy, layers=(*toy.ranked, shares)).outputs == shares
    assert replace(toy, layers=toy.ranked).outputs is None


def test_answers_that_have_a_depth_are_among_the_layers_already() -> None:
    toy = toy_backbone()
    logits = replace(toy.layer("logits"), depth=4)
    shares = replace(logits, name="shares", role="probabilities", depth=None)
    assert replace(toy, layers=(*toy.ranked, logits, shares)).outputs is None

"""A recipe check finds a wrong recipe on real photos, and leaves a right one alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Encoded, Pixels, Prepared
from icecore.server.errors import ImageInvalid, ImagesEmpty, InvalidArgument, TensorInvalid
from icecore.server.training import recipe_check
from icecore.server.training.recipe_check import RecipeChecker, RecipeReport
from icecore.server.training.recipe_check_trials import levels_apart
from toys import toy_backbone


@pytest_asyncio.fixture
async def checker() -> AsyncIterator[RecipeChecker]:
    embedder = Embedder(Sessions(max_bytes=1 << 28, threads=2), threads=2)
    yield RecipeChecker(embedder)
    embedder.close()


@pytest.fixture(scope="module")
def class_names(shared: Path) -> list[str]:
    return (shared / "models" / "imagenet_labels.txt").read_text().splitlines()


def photos(shared: Path, a_class: int) -> tuple[list[Encoded], list[str]]:
    found = [
        path
        for name in ("ants", "bees")
        for path in sorted((shared / "datasets" / "hymenoptera" / name).iterdir())[:a_class]
    ]
    return [Encoded(path.read_bytes()) for path in found], [path.parent.name for path in found]


def as_bgr(recipe: Recipe) -> Recipe:
    return replace(recipe, channels="BGR", mean=recipe.mean[::-1], std=recipe.std[::-1])


ASSUMED = assumed((224, 224))
TORCH, TENSORFLOW, RAW = (PRESETS[name].of(ASSUMED) for name in ("imagenet", "tensorflow", "raw"))


@pytest.mark.parametrize(
    ("network", "stored", "right", "is_named"),
    [
        ("squeezenet1.1", TORCH, TORCH, True),
        ("squeezenet1.1", RAW, TORCH, True),
        ("mobilenetv2", as_bgr(TENSORFLOW), TENSORFLOW, False),
    ],
)
async def test_the_right_recipe_is_found_and_left_alone(
    checker: RecipeChecker,
    shared: Path,
    class_names: list[str],
    network: str,
    stored: Recipe,
    right: Recipe,
    is_named: bool,
) -> None:
    """With the labels' classes and without; confidence alone would choose raw pixels."""
    graph = (shared / "models" / f"{network}.onnx").read_bytes()
    backbone = Backbone.read(network, graph, stored)
    images, labels = photos(shared, 18)
    report = await checker.check(backbone, images, labels, class_names if is_named else ())
    found = report.trials[report.suggested]
    assert report.n_images == 36
    assert (report.suggested == 0) == (stored == right), report.verdict
    assert levels_apart(found.recipe, right) <= 1.01, report.verdict
    assert (found.accuracy > 0.6) is is_named
    assert found.agreement > 0.8
    assert ("fits clearly better" in report.verdict) or ("nothing fits" in report.verdict)


async def test_lite0_is_told_from_the_usual_mean_and_std(
    checker: RecipeChecker, shared: Path, class_names: list[str]
) -> None:
    """As most would store it by habit, and as it is; which is the README's own example."""
    graph = efficientnet_lite0.build(efficientnet_lite0.read_weights())
    recipe = efficientnet_lite0.RECIPE
    backbone = Backbone.read("lite0", graph, PRESETS["imagenet"].of(recipe))
    images, labels = photos(shared, 20)
    report = await checker.check(backbone, images, labels, class_names)
    assert report.suggested == 1
    assert levels_apart(report.trials[1].recipe, recipe) <= 1.01, "it is one grey level from it"
    assert report.trials[1].recipe.resize == 256, "the rest of the recipe stays"
    assert report.trials[1].accuracy > report.trials[0].accuracy


@pytest.mark.parametrize("is_named", [True, False])
async def test_noise_suggests_nothing(
    checker: RecipeChecker, shared: Path, class_names: list[str], is_named: bool
) -> None:
    graph = (shared / "models" / "squeezenet1.1.onnx").read_bytes()
    backbone = Backbone.read("squeezenet", graph, PRESETS["unit"].of(ASSUMED))
    random = np.random.default_rng(3)
    images = [Pixels(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(20)]
    labels = ["ant", "bee"] * 10
    report = await checker.check(backbone, images, labels, class_names if is_named else ())
    assert report.suggested == 0, report.verdict


def noise(n: int, *, side: int = 9) -> list[Pixels]:
    random = np.random.default_rng(5)
    return [Pixels(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(n)]


async def test_a_report_is_as_stored_first_then_best_first(checker: RecipeChecker) -> None:
    names = [f"class {index}" for index in range(5)]
    report = await checker.check(toy_backbone(), noise(30), ["class 1", "class 2"] * 15, names)
    assert report.trials[0].change == ""
    assert report.trials[0].recipe == toy_backbone().recipe
    assert len({trial.recipe for trial in report.trials}) == len(report.trials) > 8
    n_seen = [trial.n_images for trial in report.trials]
    assert n_seen == sorted(n_seen, reverse=True), "those that saw all come first"
    assert n_seen.count(30) == 1 + recipe_check.FINALISTS
    for trial in report.trials:
        assert 0 <= trial.accuracy <= 1
        assert 0 < trial.confidence <= 1
        assert 0 <= trial.agreement <= 1


async def test_the_same_photos_give_the_same_report(checker: RecipeChecker) -> None:
    async def report() -> RecipeReport:
        return await checker.check(toy_backbone(), noise(12), ["a", "b", "c"] * 4)

    assert await report() == await report()


async def test_what_cannot_be_known_is_minus_one(checker: RecipeChecker) -> None:
    """Labels that are no classes have no accuracy; one label teaches no probe."""
    report = await checker.check(toy_backbone(), noise(4), ["a", "", "b", "c"])
    assert {(trial.accuracy, trial.agreement) for trial in report.trials} == {(-1.0, -1.0)}
    assert "4 photos are too few" in report.verdict


async def test_of_many_photos_some_of_each_label_are_taken(
    checker: RecipeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_check, "MAX_PHOTOS", 8)
    images = [*noise(30), *noise(4)]
    report = await checker.check(toy_backbone(), images, ["many"] * 30 + ["few"] * 4)
    assert report.n_images == 8
    assert report.trials[0].agreement >= 0, "both labels are among them"


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"images": [], "labels": []}, ImagesEmpty, "no photos"),
        ({"labels": ["a"]}, InvalidArgument, "1 labels for 3 images"),
        ({"class_names": ["a"] * 7}, InvalidArgument, "7 class names, but the network has 5"),
        (
            {"images": [*noise(2), Prepared(np.zeros((3, 8, 8), np.float32))]},
            TensorInvalid,
            "third is a float32 tensor that is past the recipe",
        ),
        ({"images": [*noise(2), Encoded(b"GIF89a")]}, ImageInvalid, "third is"),
    ],
)
async def test_a_mistake_is_named(
    checker: RecipeChecker, change: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    given: dict[str, Any] = {
        "images": noise(3),
        "labels": ["a", "b", "c"],
        "class_names": [],
        **change,
    }
    with pytest.raises(error, match=sentence):
        await checker.check(toy_backbone(), **given, names=["first", "second", "third"])

"""Advice about transfer over the wire: by both clients, by the command line, and refusals."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from callers import calling
from cli_runs import Icecore, two_classes
from driven import TWINS, opened
from icecore.client import (
    Advice,
    Advising,
    AsyncClient,
    Client,
    FailedPrecondition,
    InvalidArgument,
    NewExample,
    NotFound,
    Reason,
    VerdictKind,
)
from icecore.v1 import probe_pb2 as ppb
from servers import Server, serving
from toy_store import put_toy_backbone

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)

N = 12
"""Images of each class."""

_FOUND: dict[str, Advice] = {}
"""What was answered first."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The toy is the default backbone; another toy, of other weights, is beside it."""
    with serving(tmp_path_factory.mktemp("advise") / "data", listen="127.0.0.1:0") as server:
        assert server.app is not None
        put_toy_backbone(server.app._parts.store, 1, name="other")
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        fill(client, "lights")
        fill(client, "codes-only", keep_images=False)
        yield client


def picture(label: str, place: int) -> np.ndarray:
    """Dark or light by its label, hard to tell for some."""
    random = np.random.default_rng([place, label == "light"])
    return (random.integers(0, 120, (8, 8, 3)) + (90 if label == "light" else 0)).astype(np.uint8)


def fill(client: Client, collection_id: str, *, keep_images: bool = True) -> None:
    client.create_collection(collection_id, keep_images=keep_images)
    client.add_examples(
        collection_id,
        [
            NewExample(f"{label}/{place}", picture(label, place), label)
            for label in ("dark", "light")
            for place in range(N)
        ]
        + [NewExample("nameless", picture("light", 99))],
    )


@both
def test_a_collection_is_judged_at_every_depth(twin: Twin, server: Server, client: Client) -> None:
    told: list[Advising] = []
    with opened(twin, server.address) as caller:
        found = caller.advise_transfer("lights", kind="svm", seed=3, on_progress=told.append)
    assert (found.collection_id, found.kind, found.seed) == ("lights", "svm", 3)
    assert (found.n_labelled, found.n_images, found.n_different_images) == (24, 24, 24)
    assert [(one.label, one.n_images) for one in found.classes] == [("dark", 12), ("light", 12)]

    places = [(one.place.layer, one.place.depth) for one in found.layers]
    assert places == [("one", 1), ("two", 2), ("three", 3), ("logits", None)]
    layers = {layer.name: layer for layer in client.layers()}
    for one in found.layers:
        layer = layers[one.place.layer]
        assert one.dims == layer.dims
        assert one.n_bytes == 4 * (layer.params + layer.dims + 1), "weights, and a probe of a row"
        assert one.macs == layer.macs + layer.dims
        assert 0.0 <= one.accuracy.low <= one.accuracy.estimate <= one.accuracy.high <= 1.0
    assert found.last.layer == "three"
    assert {found.chosen, found.cheapest} <= {one.place for one in found.layers}

    names = [one.name for one in found.verdict.baselines]
    assert names == ["majority", "pixels", "hog", "random twin"]
    assert found.verdict.limiting in names
    assert isinstance(found.verdict.kind, VerdictKind)
    assert [one.n_images for one in found.sufficiency.forecasts] == [24, 36, 48, 72]
    assert found.scenario.familiarity is not None, "the toy has logits"

    confusion = found.confusion
    assert sum(map(sum, confusion.counts)) == 24
    for shown in confusion.examples:
        assert shown.example_id.startswith(shown.label)
        assert shown.thumbnail.startswith(b"\xff\xd8\xff")
    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages == ["waiting", "codes", "layers", "twins", "baselines", "curve", "done"]
    shares = [one.progress for one in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert told[-1].advice == found
    before = _FOUND.setdefault("lights", found)
    assert replace(found, seconds=0.0) == replace(before, seconds=0.0), "another answer than before"


def test_the_accuracy_is_that_of_a_training_in_the_same_folds(client: Client) -> None:
    """Both choose among the same layers by the same rule."""
    found = client.advise_transfer("lights", seed=5)
    version = client.train_probe("lights", "lights", layers=["1", "2", "3"], seed=5, wait=True)
    alone = {one.place.layer: one.accuracy for one in found.layers}
    assert {one.layer: one.accuracy for one in version.trials}.items() <= alone.items()


def test_several_backbones_are_judged_together(client: Client) -> None:
    digest = client.backbone("other").digest
    found = client.advise_transfer("lights", ["toy", digest, "other"], max_images=16)
    assert [(one.place.backbone, one.place.layer) for one in found.layers] == [
        *((name, layer) for name in ("toy", "other") for layer in ("one", "two", "three")),
        *((name, "logits") for name in ("toy", "other")),
    ]
    assert (found.n_labelled, found.n_images) == (24, 16)
    assert [one.n_images for one in found.classes] == [8, 8]
    assert found.last.backbone == found.chosen.backbone


def test_what_cannot_be_judged_is_refused_at_once(client: Client) -> None:
    with pytest.raises(FailedPrecondition, match="keeps no images") as caught:
        client.advise_transfer("codes-only")
    assert caught.value.reason == Reason.IMAGES_NOT_KEPT
    with pytest.raises(NotFound, match="'absent'"):
        client.advise_transfer("absent")
    with pytest.raises(NotFound, match="'resnet'"):
        client.advise_transfer("lights", ["resnet"])
    with pytest.raises(InvalidArgument, match="max_images is 30,000"):
        client.advise_transfer("lights", max_images=30_000)
    client.create_collection("single")
    client.add_examples("single", [NewExample("a", picture("dark", 1), "dark")])
    with pytest.raises(FailedPrecondition, match="has one class only"):
        client.advise_transfer("single")


def test_images_that_are_all_the_same_are_refused(client: Client) -> None:
    client.create_collection("same")
    client.add_examples(
        "same",
        [
            NewExample(f"{label}/{place}", np.full((8 + place, 8, 3), 77, np.uint8), label)
            for label in ("dark", "light")
            for place in range(4)
        ],
    )
    with pytest.raises(
        InvalidArgument, match="random twin is made of images that differ"
    ) as caught:
        client.advise_transfer("same")
    assert caught.value.reason == Reason.CALIBRATION_INVALID


def test_two_images_of_a_class_are_enough_to_ask(client: Client) -> None:
    client.create_collection("tiny")
    client.add_examples(
        "tiny",
        [
            NewExample(f"{label}/{place}", picture(label, place), label)
            for label in ("dark", "light")
            for place in range(2)
        ],
    )
    found = client.advise_transfer("tiny")
    assert found.verdict.kind is VerdictKind.UNDECIDED
    assert found.sufficiency.kind == "UNDECIDED"


def test_a_caller_who_leaves_ends_the_work(server: Server, client: Client) -> None:
    """The next one has its turn, which there is one of, and not after the first one's time."""
    with calling(server.address) as caller:
        for stage in ("codes", "layers", "twins"):
            answers = caller.probes.AdviseTransfer(
                ppb.AdviseTransferRequest(collection_id="lights"), timeout=60
            )
            assert stage in (answer.stage for answer in answers)
            answers.cancel()
    assert client.advise_transfer("lights", max_images=16).n_images == 16


@pytest.fixture
def icecore(server: Server, capsys: pytest.CaptureFixture[str]) -> Icecore:
    return Icecore(capsys, "--server", server.address)


def test_a_folder_is_judged_by_one_command(icecore: Icecore, tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "colours")
    report = tmp_path / "advice.html"
    said = icecore.done("advise", photos, "--json", "--report", report)
    found = said.json
    assert found["collection"] == "colours", "called as the folder is"
    assert set(found["chosen"]) == {"backbone", "layer", "depth"}
    keys = {"backbone", "layer", "depth", "accuracy", "low", "high", "bytes", "macs"}
    assert all(keys <= set(layer) for layer in found["layers"])
    assert found["verdict"] in {"POSITIVE", "NO_GAIN", "NEGATIVE", "UNDECIDED"}
    assert found["baselines"][0]["name"] == "majority"
    assert found["sufficiency"]["advice"] in {"COLLECT_MORE", "ENOUGH", "CEILING", "UNDECIDED"}
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert f"report: {report}" in said.err
    assert json.dumps(found)

    told = icecore.done("advise", "--collection", "colours", "--kind", "svm").out
    for words in ("of 3", "the same network before it learnt anything", "What to do:", "frozen"):
        assert words in told
    assert len(told.splitlines()) < 70
    assert "--server" in told, "commands are for the server that was asked"
    again = icecore.done("advise", photos, "--name", "palette", "--backbone", "other", "--json")
    assert again.json["chosen"]["backbone"] == "other"
    assert icecore.done("collections", "list", "--json").out.count('"palette"') >= 1


@pytest.mark.usefixtures("client")
def test_a_command_that_makes_no_sense_is_refused(icecore: Icecore, tmp_path: Path) -> None:
    assert "and not both" in icecore.refused("advise")
    assert "and not both" in icecore.refused("advise", tmp_path, "--collection", "lights")
    assert "go with DIR" in icecore.refused("advise", "--collection", "lights", "--name", "x")
    odd = two_classes(tmp_path / "of course")
    assert "another name with --name" in icecore.refused("advise", odd)
    for seed in (2**64, -1):
        assert "--seed" in icecore.refused("advise", odd, "--name", "new", "--seed", seed)
    many = icecore.refused("advise", odd, "--name", "new", "--max-images", 20_001)
    assert "--max-images" in many
    kept = icecore.refused("advise", odd, "--name", "codes-only")
    assert "keeps no images, and an advice looks at them" in kept
    assert "--no-keep-images" in icecore.refused("advise", "--collection", "codes-only")
    said = icecore.done("collections", "list", "--json").json
    sizes = {one["name"]: one["n_examples"] for one in said}
    assert sizes["codes-only"] == 2 * N + 1, "nothing is brought before it is refused"
    assert "new" not in sizes
    gone = tmp_path / "nowhere" / "advice.html"
    assert "no folder" in icecore.refused("advise", "--collection", "lights", "--report", gone)

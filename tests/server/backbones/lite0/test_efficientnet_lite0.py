"""The default backbone: its parts, its names, and what it sees on real photos."""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from icecore.server.backbones.backbone import Backbone, digest
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.efficientnet_lite0 import RECIPE, build, read_weights

ANT, BEE = 310, 309


def top1(backbone: Backbone, files: list[Path]) -> npt.NDArray[np.int64]:
    """The network's own answers."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(backbone.graph, options, providers=["CPUExecutionProvider"])
    answers = []
    for file in files:
        with Image.open(file) as image:
            inputs = backbone.recipe.apply(image.convert("RGB"))[None]
        (logits,) = session.run(None, {"image": inputs})
        answers.append(int(logits[0].argmax()))
    return np.array(answers)


def test_it_has_the_parts_that_the_network_has(lite0: Backbone) -> None:
    model = onnx.load_model_from_string(lite0.graph)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators == {
        "Conv": 49,
        "Clip": 33,
        "Add": 9,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }
    onnx.checker.check_model(lite0.graph, full_check=True)


def test_its_thresholds_are_named_by_block(lite0: Backbone) -> None:
    names = [layer.name for layer in lite0.ranked]
    assert names[:3] == ["stem", "blocks.0.depthwise", "blocks.1.expand"]
    assert names[-3:] == ["blocks.15.expand", "blocks.15.depthwise", "head"]
    assert lite0.layer("11").name == "blocks.5.expand"
    assert all(layer.thresholded for layer in lite0.ranked)
    assert len(names) == len(set(names)) == 33


def test_its_sizes_are_the_papers(lite0: Backbone) -> None:
    """407 million multiply-accumulates and 4.7 million parameters are published for it."""
    logits = lite0.layer("logits")
    assert logits.channels == 1000
    # Batch norms are folded: of scale, shift, mean and variance one bias stays.
    assert logits.params == 4_652_008 - 21_008
    assert logits.macs == 385_187_552
    head = lite0.layer("-1")
    assert (head.channels, head.height, head.width, head.stride) == (1280, 7, 7, 32)


def test_the_same_weights_build_the_same_bytes(lite0: Backbone) -> None:
    """Codes made here and elsewhere belong together only if the digests agree."""
    graph = build(read_weights())
    assert graph == lite0.graph
    assert digest(graph, RECIPE) == lite0.digest


def test_its_own_classes_are_right_on_ants_and_bees(lite0: Backbone, shared: Path) -> None:
    """0.885 when this was written; 0.745 with ImageNet's usual mean and std."""
    ants = sorted((shared / "datasets/hymenoptera/ants").iterdir())
    bees = sorted((shared / "datasets/hymenoptera/bees").iterdir())
    truth = np.array([ANT] * len(ants) + [BEE] * len(bees))
    accuracy = float((top1(lite0, [*ants, *bees]) == truth).mean())
    assert accuracy >= 0.85, f"top-1 is {accuracy}: is the recipe right?"


@pytest.mark.parametrize(
    ("photo", "label"),
    [("parrot.jpg", "macaw"), ("hot_dog.jpg", "hotdog"), ("cat_720p.jpg", "Egyptian cat")],
)
def test_the_three_photos_are_seen(lite0: Backbone, shared: Path, photo: str, label: str) -> None:
    labels = (shared / "models/imagenet_labels.txt").read_text().splitlines()
    (answer,) = top1(lite0, [shared / "photos" / photo])
    assert label in labels[answer].split(", "), f"{photo} is taken for {labels[answer]!r}"


def test_it_is_called_as_scripts_expect() -> None:
    assert efficientnet_lite0.NAME == "efficientnet-lite0"
    assert efficientnet_lite0.CARD.licence == "Apache-2.0"

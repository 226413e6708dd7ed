"""A folder with one large collection, filled without a forward pass; for benches and tests.

Its backbone has one layer, of as many channels as the codes are to have values.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones import as_stored
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import CodeArray, NewBatch, NewExample, OnDuplicate

BACKBONE = "wide"
_SIDE = 8
_BATCH = 1000


def wide_graph(n_values: int) -> bytes:
    """A network of one convolution of 1 x 1 and one Relu."""
    weights = np.random.default_rng(0).standard_normal((n_values, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["map"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["map"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["codes"]),
    ]
    shape: list[int | str] = ["n", 3, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["n", n_values])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def fill(data: Path, collection_id: str, n: int, n_values: int, *, n_classes: int = 10) -> None:
    """Put the backbone and a collection of `n` examples into the folder of a server that is not up.

    Classes differ by their means, so that there is something to learn.
    """
    backbone = Backbone.read(
        BACKBONE, wide_graph(n_values), Recipe(height=_SIDE, width=_SIDE, resize=_SIDE), Card()
    )
    store = open_sqlite(data)
    try:
        store.put_backbone(as_stored.to_record(backbone), backbone.graph)
        tenant = store.tenant("default")
        made = tenant.create_collection(
            collection_id, backbone=BACKBONE, digest=backbone.digest, keep_images=False
        )
        (tap,) = backbone.core
        for examples, codes in _batches(n, n_values, n_classes):
            tenant.add_examples(
                collection_id,
                NewBatch(examples=examples, core={tap.layer: codes}, n_unchanged=0),
                on_duplicate=OnDuplicate.REFUSE,
                number=made.number,
                mutation=None,
            )
    finally:
        store.close()


def _batches(
    n: int, n_values: int, n_classes: int
) -> Iterator[tuple[tuple[NewExample, ...], CodeArray]]:
    random = np.random.default_rng(1)
    means = random.standard_normal((n_classes, n_values)) * 0.3
    for start in range(0, n, _BATCH):
        rows = range(start, min(start + _BATCH, n))
        examples = tuple(
            NewExample(f"{row:07d}.jpg", str(row % n_classes), {"row": row}, f"{row:064x}", None)
            for row in rows
        )
        noise = random.standard_normal((len(rows), n_values))
        codes = noise + means[[row % n_classes for row in rows]]
        yield examples, np.maximum(codes, 0).astype(np.float16)

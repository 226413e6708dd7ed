"""A file run by onnxruntime alone, as it is, to compare what was made of it."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from icecore.server.backbones.admission.house_form.house import House, bring_home

EXACT = 1e-5
"""Of the peak: float32 sums in another order."""

_FATAL = 4
_DTYPES = {1: np.float32, 10: np.float16, 11: np.float64}


def answers(data: bytes, images: np.ndarray) -> list[np.ndarray]:
    """Outputs for images (n, 3, h, w), given as the file's own input wants them.

    Without optimisations: on some half precision graphs they end the process.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    image = image_of(onnx.load_model_from_string(data))
    kind = image.type.tensor_type
    channels_first, *_, channels_last = (d.dim_value for d in kind.shape.dim[1:])
    if channels_last == 3 and channels_first != 3:
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    made: list[np.ndarray] = session.run(None, {image.name: images.astype(_DTYPES[kind.elem_type])})
    return made


def image_of(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The input that is no weight."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in weights)


def batch_of(data: bytes) -> int | None:
    """How many images a file takes, None where it leaves that open."""
    dim: Any = image_of(onnx.load_model_from_string(data)).type.tensor_type.shape.dim[0]
    return int(dim.dim_value) or None


def photos(n: int, side: int, seed: int = 1) -> np.ndarray:
    """Noise of another brightness in each image, exact in half precision."""
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(n, 3, side, side)) + random.normal(size=(n, 3, 1, 1))
    return pixels.astype(np.float16).astype(np.float32)


def one_by_one(data: bytes, images: np.ndarray) -> list[np.ndarray]:
    """Outputs of images run alone, put together again."""
    each = [answers(data, images[at : at + 1]) for at in range(len(images))]
    return [np.concatenate(rows) for rows in zip(*each, strict=True)]


def apart(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    """The largest difference, as a share of the peak."""
    assert len(ones) == len(others)
    worst = 0.0
    for one, other in zip(ones, others, strict=True):
        assert one.shape == other.shape, f"{one.shape} against {other.shape}"
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
        worst = max(worst, float(difference / np.abs(other.astype(np.float64)).max()))
    return worst


def same_at_home(data: bytes) -> House:
    """Bring a file of 8 x 8 images home and return it, held to what the file says."""
    house = bring_home(data)
    images = photos(batch_of(data) or 3, 8)
    assert apart(one_by_one(house.graph, images), answers(data, images)) <= EXACT
    assert bring_home(house.graph) == House(house.graph, "NCHW", ())
    return house

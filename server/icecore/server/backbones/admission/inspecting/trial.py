"""The first run of a network: every layer, alone and in a batch, on noise.

What a file says of itself is compared with what comes out.
"""

from time import process_time
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import shown
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.running.cutting import Outline
from icecore.server.errors import GraphInvalid, GraphTooCostly

FloatArray: TypeAlias = npt.NDArray[np.float32]

TOLERANCE: Final = 1e-2
"""Of the largest code: other kernels serve other batches and round differently, in int8 by steps;
a network that mixes images is off by far more on noise."""

_FATAL: Final = 4
"""Log severity of ONNX Runtime: what goes wrong comes as an error, too."""


def try_out(backbone: Backbone, limits: AdmissionLimits) -> None:
    """Run all of a network's layers on two images, alone and together.

    Raises:
        GraphInvalid: a map of another shape than the graph tells, codes that
            are no finite numbers, or that depend on the image beside.
        GraphTooCostly: one image takes longer than allowed.
    """
    images = _noise(backbone)
    _compare_shapes(backbone, images[:1])
    outline = Outline(backbone.graph, backbone.layers)
    everywhere = _session(outline.cut(backbone.graph, list(map(backbone.tap, backbone.layers))))
    for layer, codes in zip(backbone.layers, _run(everywhere, images[:1]), strict=True):
        if codes.shape != (1, layer.dims):
            raise GraphInvalid(
                f"layer {shown(layer.name)} has codes of shape {codes.shape[1:]!r}, "
                f"but the graph tells {(layer.dims,)!r}"
            )
        _require_finite(codes, layer)
    del everywhere
    core = _session(outline.cut(backbone.graph, backbone.core))
    alone = []
    for image in images:
        start = process_time()
        alone.append(_run(core, image[None]))
        seconds = process_time() - start
        if seconds > limits.max_run_s:
            raise GraphTooCostly(
                f"one image takes {seconds:.0f} s, but {limits.max_run_s:.0f} are the most"
            )
    batch = core.get_inputs()[0].shape[0]
    if isinstance(batch, int):
        return  # images are never together
    for layer, both, *each in zip(backbone.ranked, _run(core, images), *alone, strict=True):
        apart = np.concatenate(each)
        _require_finite(apart, layer)
        if both.shape != apart.shape or not np.allclose(
            both, apart, rtol=0, atol=TOLERANCE * float(np.abs(apart).max() or 1.0)
        ):
            raise GraphInvalid(
                f"layer {shown(layer.name)} has other codes for an image when another image "
                "is in the same batch"
            )


def _run(session: ort.InferenceSession, images: FloatArray) -> list[FloatArray]:
    codes: list[FloatArray] = session.run(None, {session.get_inputs()[0].name: images})
    return codes


def _session(
    data: bytes, level: ort.GraphOptimizationLevel = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.graph_optimization_level = level
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _noise(backbone: Backbone) -> FloatArray:
    """Two images of even noise, as the recipe would make them of pixels; (2, 3, h, w)."""
    recipe = backbone.recipe
    pixels = np.random.default_rng(0).random((2, *recipe.shape), dtype=np.float32)
    mean, std = (np.array(of, np.float32)[:, None, None] for of in (recipe.mean, recipe.std))
    pixels *= np.float32(255 * recipe.scale)
    return np.ascontiguousarray((pixels - mean) / std)


def _compare_shapes(backbone: Backbone, images: FloatArray) -> None:
    """Ask the untouched graph for the shape of each layer's own tensor.

    Without optimisations, since those put what the file tells in the place of what comes out.
    """
    model = onnx.ModelProto.FromString(backbone.graph)
    told = {layer.name: layer for layer in backbone.layers}
    prefix = "icecore.shape."
    while any(name.startswith(prefix) for name in told):
        prefix += "."
    del model.graph.output[:]
    del model.graph.value_info[:]
    for name in told:
        model.graph.node.append(helper.make_node("Shape", [name], [prefix + name]))
        model.graph.output.append(
            helper.make_tensor_value_info(prefix + name, TensorProto.INT64, None)
        )
    session = _session(model.SerializeToString(), ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    shapes = session.run(None, {session.get_inputs()[0].name: images})
    for layer, shape in zip(told.values(), shapes, strict=True):
        found, told_shape = tuple(int(side) for side in shape), _shape(layer)
        if found != told_shape:
            raise GraphInvalid(
                f"layer {shown(layer.name)} has the shape {found!r}, "
                f"but the graph tells {told_shape!r}"
            )


def _shape(layer: Layer) -> tuple[int, ...]:
    """The shape of a layer's own tensor for one image."""
    match layer.layout:
        case Layout.MAP:
            return 1, layer.channels, layer.height, layer.width
        case Layout.ROWS:
            return 1, layer.height, layer.width, layer.channels
        case Layout.TOKENS:
            return 1, layer.prefix_tokens + layer.height * layer.width, layer.channels
        case Layout.VECTOR:
            return 1, layer.channels


def _require_finite(codes: FloatArray, layer: Layer) -> None:
    if not np.isfinite(codes).all():
        raise GraphInvalid(
            f"layer {shown(layer.name)} has codes that are no finite numbers on an ordinary image"
        )

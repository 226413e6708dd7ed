"""The random twin: a network's architecture with weights drawn anew, to judge transfer against.

Random convolutions are a strong baseline; what a trained network has beyond
its twin, training has brought. The twin is made of the images it will be
judged on, so it belongs to whoever owns them, and is not stored.

Source: He et al. (2015), arXiv:1502.01852, for the spread of the weights; Mishkin &
Matas (2016), arXiv:1511.06422, for setting scales from data layer by layer,
here for each channel, and its mean too (Krähenbühl et al. 2016, arXiv:1511.06856).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.graphs.parsing import parse
from icecore.server.backbones.redrawing import Redrawing
from icecore.server.backbones.running.sweeping import Sweep, chunks_of
from icecore.server.errors import BackboneNotFloat, CalibrationInvalid

FloatArray = npt.NDArray[np.float32]

_CHUNK: Final = 16
"""Images that run at once."""


def random_twin(graph: bytes, images: FloatArray, *, seed: int) -> bytes:
    """Return the same architecture with other weights, in house form.

    Weights are He-normal; then, from the front to the back, each channel of each
    convolution and matrix product is given mean 0 and standard deviation 1 over
    the images, where a bias can carry the mean. Batch norms get the statistics of
    the images; other norms and scales start at one and zero. The same graph,
    images and seed give the same bytes.

    Args:
        graph: float32, house form.
        images: (n, 3, h, w) float32, as the recipe makes them; two at least. All maps of
            one size are in memory at once: 64 images of 224 x 224 take about 1 GB.
        seed: not negative.

    Raises:
        GraphInvalid: as `parse`.
        BackboneNotFloat: a quantised graph, whose steps are of its own weights.
        CalibrationInvalid: fewer than two images, all the same, or not finite.
        ValueError: images of another dtype or shape.
    """
    draft = Draft(parse(graph))
    shape = tuple(dim.dim_value for dim in draft.inputs[0].type.tensor_type.shape.dim[1:])
    if images.dtype != np.float32 or images.shape[1:] != shape:
        raise ValueError(f"images are {images.dtype.name} of shape {images.shape!r}")
    if len(images) < 2 or not np.isfinite(images).all() or np.ptp(images, axis=0).max() == 0:
        raise CalibrationInvalid(
            f"a random twin is made of images that differ, but of {len(images)} none does"
        )
    if any(node.op_type == "DequantizeLinear" for node in draft.nodes):
        raise BackboneNotFloat("a random twin is made of a float32 backbone, but this is int8")
    dims = draft.inputs[0].type.tensor_type.shape.dim
    chunks = chunks_of(np.ascontiguousarray(images), 1 if dims[0].dim_value == 1 else _CHUNK)
    twin = Redrawing(draft)
    sweep = Sweep(draft.nodes, draft.initializers, draft.inputs[0].name, chunks, opset=draft.opset)
    piece: list[onnx.NodeProto] = []
    for place, node in enumerate(draft.nodes):
        product = twin.redraw(node, np.random.default_rng([seed, place]))
        if product is not None:
            sweep.run(piece)
            sweep.run([node], keep=node.output)
            twin.standardise(node, product, sweep[node.output[0]])
            piece = []
        elif node.op_type == "BatchNormalization":
            sweep.run(piece)
            twin.take_statistics(node, sweep[node.input[0]])
            piece = [node]
        else:
            piece.append(node)
    draft.prune()
    return draft.to_bytes()

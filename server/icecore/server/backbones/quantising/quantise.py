"""A float32 network as a static int8 one."""

from collections.abc import Iterable
from typing import Final

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.thresholds import SIGNED
from icecore.server.backbones.quantising.calibrating import calibrate
from icecore.server.backbones.quantising.folding import fold_batch_norms
from icecore.server.backbones.quantising.histograms import FloatArray
from icecore.server.backbones.quantising.plan import Plan, plan
from icecore.server.backbones.quantising.weights import Step
from icecore.server.backbones.quantising.writing import Writer
from icecore.server.errors import BackboneNotFloat, CalibrationInvalid, GraphInvalid

PERCENTILE: Final = 99.99

MIN_PERCENTILE: Final = 90.0
"""Below, a range cuts off what the network is about."""

_INTEGER_OPS: Final = frozenset(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"))


def is_quantised(graph: Graph) -> bool:
    """Whether it is an int8 graph already."""
    return any(node.op_type in _INTEGER_OPS for node in graph.nodes)


def quantise(
    graph: bytes,
    inputs: Iterable[FloatArray],
    *,
    percentile: float = PERCENTILE,
    threads: int = 1,
) -> bytes:
    """Return the network with uint8 activations and int8 weights, one scale a channel.

    It is written as QuantizeLinear/DequantizeLinear pairs around the float operators,
    which ONNX Runtime turns into int8 kernels; what has none stays in float32. Every
    tensor keeps its name. The same arguments give the same bytes, and the file does
    not depend on the processor: weights take all of int8, which is exact where
    sums are of 32 bits (VNNI), and elsewhere with ONNX Runtime's
    `session.x64quantprecision`.

    Args:
        graph: in house form, float32.
        inputs: batches (n, 3, h, w) float32 as the recipe makes them; read once, and
            eight images at least.
        percentile: of a tensor's values, 90 to 100: its range holds so many.
        threads: for the passes over the images.

    Raises:
        BackboneNotFloat: it is quantised already.
        CalibrationInvalid: too few images, values that are not finite, or another percentile.
        GraphInvalid: as `Graph`, or nothing in it can be quantised.
    """
    if not MIN_PERCENTILE <= percentile <= 100.0:
        raise CalibrationInvalid(
            f"the percentile is {percentile!r}, but must be from {MIN_PERCENTILE:g} to 100"
        )
    network = Graph(graph)
    if is_quantised(network):
        raise BackboneNotFloat("the graph is quantised already, but must be float32")
    folded = fold_batch_norms(network)
    plain = Graph(folded.model.SerializeToString())
    planned = plan(plain)
    if not planned.leaders:
        raise GraphInvalid("the graph has no Conv, Gemm or MatMul whose weights can be quantised")
    sources = sorted(set(planned.ranges.values()))
    axes = _channel_axes(plain, planned)
    seen = calibrate(plain, sources, axes, inputs, threads=threads)
    steps = {
        name: Step.of(*seen.histograms[name].range(percentile), is_signed=_is_signed(plain, name))
        for name in sources
    }
    return Writer(plain, folded.scaled, planned, steps, seen.means).to_bytes()


def _is_signed(graph: Graph, tensor: str) -> bool:
    """Whether values may be of both signs, whichever the images showed."""
    maker = graph.maker(tensor)
    return maker is not None and maker.op_type in SIGNED


def _channel_axes(graph: Graph, planned: Plan) -> dict[str, int]:
    """Where the channels are of what products with a bias read."""
    return {
        node.input[0]: 1 if node.op_type == "Conv" else -1
        for node in graph.nodes
        if node.op_type in ("Conv", "Gemm") and node.output[0] in planned.leaders
    }

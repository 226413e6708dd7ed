"""The int8 network, written: pairs behind tensors, integers in place of weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.quantising.plan import Plan
from icecore.server.backbones.quantising.weights import (
    FloatArray,
    Step,
    Weights,
    quantise_weights,
)


class Writer:
    """Writes what a plan says.

    Behind tensor X follow `X.uint8` and `X.dequantised`. Float operators read the
    latter too where an int8 kernel makes X, since X itself is then never there.

    Args:
        graph: without batch norms over maps.
        scaled: as `Folded.scaled`.
        steps: by the name of a range.
        means: (c,) of tensors that products read, where known.
    """

    def __init__(
        self,
        graph: Graph,
        scaled: Mapping[str, tuple[str, npt.NDArray[np.float64]]],
        plan: Plan,
        steps: Mapping[str, Step],
        means: Mapping[str, npt.NDArray[np.float64]],
    ) -> None:
        self._graph = graph
        self._scaled = scaled
        self._plan = plan
        self._steps = steps
        self._means = means
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._weights: dict[str, Weights] = {}
        self._leaders = {
            node.input[1]: node
            for node in graph.nodes
            if node.output and node.output[0] in plan.leaders
        }
        self._taken = {graph.input, *(t.name for t in graph.model.graph.initializer)}
        self._taken.update(name for node in graph.nodes for name in node.output)

    def to_bytes(self) -> bytes:
        """Return the ONNX file."""
        self._add_pair(self._graph.input)
        for node in self._graph.nodes:
            self._add(node)
        model = onnx.ModelProto()
        model.CopyFrom(self._graph.model)
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        model.graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in self._graph.reads(node)}
        for tensor in (*self._graph.model.graph.initializer, *self._constants.values()):
            if tensor.name in used:
                model.graph.initializer.append(tensor)
        model.producer_name = "icecore"
        return bytes(model.SerializeToString(deterministic=True))

    def _add(self, node: onnx.NodeProto) -> None:
        made = onnx.NodeProto()
        made.CopyFrom(node)
        is_kernel = bool(node.output) and node.output[0] in self._plan.kernels
        for place, name in enumerate(node.input):
            if name in self._plan.ranges and (is_kernel or name in self._plan.made):
                made.input[place] = self._free(f"{name}.dequantised")
        if is_kernel and node.output[0] in self._plan.leaders:
            self._add_weights(node, made)
        self._nodes.append(made)
        for name in node.output:
            self._add_pair(name)

    def _add_pair(self, tensor: str) -> None:
        if tensor not in self._plan.ranges:
            return
        source = self._plan.ranges[tensor]
        step = self._steps[source]
        whole, back = self._free(f"{tensor}.uint8"), self._free(f"{tensor}.dequantised")
        settings = [
            self._constant(f"{source}.scale", step.scale),
            self._constant(f"{source}.zero_point", step.zero_point),
        ]
        self._nodes += [
            helper.make_node("QuantizeLinear", [tensor, *settings], [whole], name=whole),
            helper.make_node("DequantizeLinear", [whole, *settings], [back], name=back),
        ]

    def _add_weights(self, node: onnx.NodeProto, made: onnx.NodeProto) -> None:
        """Let a product read integers in place of its weights and bias."""
        name, axis = node.output[0], channel_axis(node)
        if node.input[1] in self._scaled:
            # What came before a batch norm: the same integers, other scales.
            other, factor = self._scaled[node.input[1]]
            behind = self._leaders[other]
            whole = self._quantised(behind)
            scales = (whole.scales / factor).astype(np.float32)
            integers = self._constant(f"{behind.output[0]}.weight.integers", whole.values)
            made.input[1] = self._dequantised(f"{name}.weight", integers, scales, axis, np.int8)
            return
        whole = self._quantised(node)
        integers = self._constant(f"{name}.weight.integers", whole.values)
        made.input[1] = self._dequantised(f"{name}.weight", integers, whole.scales, axis, np.int8)
        if whole.bias is not None:
            scales = whole.scales * self._steps[self._plan.ranges[node.input[0]]].scale
            integers = self._constant(f"{name}.bias.integers", whole.bias)
            del made.input[2:]
            made.input.append(self._dequantised(f"{name}.bias", integers, scales, 0, np.int32))

    def _quantised(self, node: onnx.NodeProto) -> Weights:
        name = node.output[0]
        if name not in self._weights:
            source = self._plan.ranges[node.input[0]]
            weight, axis = self._float(node.input[1]), channel_axis(node)
            self._weights[name] = quantise_weights(
                weight,
                self._bias(node, weight.shape[axis]),
                self._steps[source],
                axis=axis,
                means=self._means.get(node.input[0]),
            )
        return self._weights[name]

    def _bias(self, node: onnx.NodeProto, n_channels: int) -> FloatArray | None:
        """(c,); zeros where a Conv or Gemm has none, None of a MatMul, which takes none."""
        if node.op_type == "MatMul":
            return None
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(n_channels, np.float32)
        return np.broadcast_to(self._float(node.input[2]).ravel(), (n_channels,))

    def _dequantised(
        self, name: str, integers: str, scales: FloatArray, axis: int, dtype: type[np.generic]
    ) -> str:
        """Add the pair's second half for a constant; return its output."""
        back = self._free(f"{name}.dequantised")
        # Zero is the default, but ONNX Runtime leaves a Gemm without it in float32.
        zeros = np.zeros(scales.shape, dtype)
        read = [
            integers,
            self._constant(f"{name}.scales", scales),
            self._constant(f"{name}.zero_points", zeros),
        ]
        self._nodes.append(helper.make_node("DequantizeLinear", read, [back], name=back, axis=axis))
        return back

    def _float(self, name: str) -> FloatArray:
        value = self._graph.constant(name)
        if value is None:
            raise AssertionError(f"the plan took {name!r} for a constant")
        return value.astype(np.float32)

    def _constant(self, name: str, value: Any) -> str:
        name = self._free(name)
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _free(self, name: str) -> str:
        """The name, longer where the network has it already."""
        while name in self._taken:
            name += "_"
        return name


def channel_axis(node: onnx.NodeProto) -> int:
    """Where a product's weights have their output channels."""
    if node.op_type == "Conv":
        return 0
    is_transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if is_transposed else 1

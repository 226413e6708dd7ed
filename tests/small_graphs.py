"""Small graphs for tests of reading: written node by node, random weights, house form.

net = SmallGraph(side=16)
net.node("Relu", [net.conv("image", 8)], "one")
data = net.to_bytes("one")
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper


class SmallGraph:
    """Nodes and constants over an image (n, 3, side, side), "image"; n is open, or 1.

    Weights are positive small integers, so that no path is lost to a threshold or
    to rounding.
    """

    def __init__(self, side: int = 16, *, opset: int = 17, batch: int | None = None) -> None:
        self._side, self._opset, self._batch = side, opset, batch
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._channels = {"image": 3}
        self._random = np.random.default_rng(11)

    def node(self, op: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node of one output; return its name, the operator's with a number if none given."""
        made = name or f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [made], name=made, **attributes))
        if inputs and inputs[0] in self._channels:
            self._channels[made] = self._channels[inputs[0]]
        return made

    def nodes(self, *nodes: onnx.NodeProto) -> None:
        """Add nodes as they are."""
        self._nodes.extend(nodes)

    def constant(self, value: npt.ArrayLike, name: str = "", dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        made = name or f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), made))
        return made

    def weights(self, *shape: int, name: str = "") -> str:
        """Add a constant of random whole numbers from 1 to 3."""
        return self.constant(self._random.integers(1, 4, size=shape), name)

    def conv(
        self,
        source: str,
        channels: int,
        name: str = "",
        *,
        kernel: int = 3,
        stride: int = 1,
        pads: Sequence[int] | None = None,
        group: int = 1,
        **attributes: Any,
    ) -> str:
        """Add a convolution, padded to keep the sides; return its name."""
        weight = self.weights(channels, self._channels[source] // group, kernel, kernel)
        around = [kernel // 2] * 4 if pads is None else list(pads)
        if "auto_pad" not in attributes:
            attributes["pads"] = around
        made = self.node(
            "Conv", [source, weight], name, strides=[stride] * 2, group=group, **attributes
        )
        self._channels[made] = channels
        return made

    def relu(self, source: str, name: str = "") -> str:
        """Add a Relu; return its name."""
        return self.node("Relu", [source], name)

    def silu(self, source: str, name: str = "") -> str:
        """Add x * sigmoid(x); return its name."""
        return self.node("Mul", [source, self.node("Sigmoid", [source])], name)

    def squeeze_gate(self, source: str, name: str = "", activation: str = "Relu") -> str:
        """Add a squeeze-and-excitation; return the name of the gated map."""
        channels = self._channels[source]
        squeezed = self.node("GlobalAveragePool", [source])
        inner = self.conv(squeezed, 2, kernel=1)
        active = self.silu(inner) if activation == "SiLU" else self.node(activation, [inner])
        gate = self.node("Sigmoid", [self.conv(active, channels, kernel=1)])
        return self.node("Mul", [source, gate], name)

    def layer_norm(self, source: str, channels: int, name: str = "") -> str:
        """Add a normalisation of the last axis, written out; return its name."""
        mean = self.node("ReduceMean", [source], axes=[-1])
        centred = self.node("Sub", [source, mean])
        square = self.node("Pow", [centred, self.constant(2.0)])
        variance = self.node("ReduceMean", [square], axes=[-1])
        deviation = self.node("Sqrt", [self.node("Add", [variance, self.constant(1e-5)])])
        scaled = self.node("Mul", [self.node("Div", [centred, deviation]), self.weights(channels)])
        return self.node("Add", [scaled, self.weights(channels)], name)

    def to_bytes(self, *outputs: str) -> bytes:
        """Return the ONNX file with these outputs."""
        graph = helper.make_graph(
            self._nodes,
            "small",
            [
                helper.make_tensor_value_info(
                    "image", TensorProto.FLOAT, [self._batch or "n", 3, self._side, self._side]
                )
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self._constants,
        )
        opsets = [helper.make_opsetid("", self._opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

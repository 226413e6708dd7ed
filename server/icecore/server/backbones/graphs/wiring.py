"""Who reads whom, with wrappings looked through: what an analysis of structure walks on.

A wrapping changes no values but for rounding: Identity, Dropout, Cast, and the
QuantizeLinear and DequantizeLinear of int8 graphs. A tensor's *core* is the
tensor that it wraps; all analyses speak of cores.
"""

import onnx

from icecore.server.backbones.graphs.graph import Graph

WRAPPINGS = ("Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear")

VIEWS = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")
"""They move values and change none."""

FUNCTIONS = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu"),
    *("Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Gelu", "HardSwish"),
    *("Mish", "Swish", "Shrink"),
)
"""Activation functions with an operator of their own."""

POINTWISE = (
    *FUNCTIONS,
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean", "Where"),
    *("Abs", "Erf", "Exp", "Log", "Neg", "Reciprocal", "Sqrt", "Tan", "Sin", "Cos"),
)

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What learned weights are multiplied in with."""


class Wiring:
    """The nodes of a graph that depend on the image, wrappings left out.

    `places` are their places in `graph.nodes`, in topological order.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.places: list[int] = []
        self._cores: dict[str, str] = {}
        self._inputs: dict[int, tuple[str, ...]] = {}
        self._readers: dict[str, list[int]] = {}
        for place, node in enumerate(graph.nodes):
            read = tuple(self.core(name) for name in node.input if graph.is_data(name))
            if not read or not node.output:
                continue
            if node.op_type in WRAPPINGS:
                self._cores[node.output[0]] = read[0]
                continue
            self.places.append(place)
            self._inputs[place] = read
            for name in dict.fromkeys(read):
                self._readers.setdefault(name, []).append(place)

    def core(self, tensor: str) -> str:
        """The tensor that this one wraps, itself where it wraps none."""
        return self._cores.get(tensor, tensor)

    def node(self, place: int) -> onnx.NodeProto:
        """The node at a place."""
        return self.graph.nodes[place]

    def inputs(self, place: int) -> tuple[str, ...]:
        """Cores of the tensors that a node reads and that depend on the image, in its order."""
        return self._inputs.get(place, ())

    def constants(self, place: int) -> list[str]:
        """The tensors that a node reads and that do not depend on the image."""
        read = self.graph.reads(self.node(place))
        return [name for name in read if not self.graph.is_data(name)]

    def readers(self, core: str) -> list[int]:
        """Places of the nodes that read a tensor or what wraps it."""
        return self._readers.get(core, [])

    def wrapped(self) -> dict[str, str]:
        """Graph outputs that wrap a tensor, by that tensor's name."""
        outputs = self.graph.outputs
        return {self.core(name): name for name in reversed(outputs) if name in self._cores}

    def n_values(self, tensor: str) -> int:
        """How many values a tensor has, open batches counted as `BATCH`; 0 where unknown."""
        sizes = self.graph.sizes(tensor)
        if sizes is None:
            return 0
        n = 1
        for size in sizes:
            n *= size
        return n

    def is_single(self, constant: str) -> bool:
        """Whether a constant is one number, or is not known to be more."""
        return self.n_values(constant) <= 1

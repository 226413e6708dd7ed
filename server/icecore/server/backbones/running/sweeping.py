"""A forward pass that can be stopped at any node, and whose values can be changed on the way.

Nodes are run in pieces of the graph, over images in chunks; values are let go
as soon as nothing ahead reads them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

Array = npt.NDArray[Any]

_ERROR: Final = 3
_IR_VERSION: Final = 8


class Sweep:
    """Values of a graph's tensors, one array a chunk of images, as far as it has been run.

    Args:
        nodes: all that will be run, in this order.
        constants: tensors by name; looked at when a node is run, so they may
            still change before.
        image_input: name of the graph's input.
        chunks: (n, 3, h, w) float32 each; a graph of fixed batch has n == 1.
    """

    def __init__(
        self,
        nodes: Sequence[onnx.NodeProto],
        constants: Mapping[str, onnx.TensorProto],
        image_input: str,
        chunks: Sequence[Array],
        *,
        opset: int,
    ) -> None:
        self._constants = constants
        self._opset = opset
        self._values: dict[str, list[Array]] = {image_input: list(chunks)}
        self._to_come = Counter(name for node in nodes for name in set(node.input))
        self._n_chunks = len(chunks)

    def __getitem__(self, tensor: str) -> list[Array]:
        """The values of a tensor that was run and is still to be read; may be changed in place."""
        return self._values[tensor]

    def __contains__(self, tensor: str) -> bool:
        return tensor in self._values

    def run(self, nodes: Sequence[onnx.NodeProto], keep: Iterable[str] = ()) -> None:
        """Run nodes that come next in the order; `keep` are held though nothing reads them."""
        if not nodes:
            return
        self._to_come.subtract(name for node in nodes for name in set(node.input))
        made = {name for node in nodes for name in node.output if name}
        read = {name for node in nodes for name in node.input if name}
        outputs = [name for name in sorted(made) if self._to_come[name] > 0 or name in keep]
        inputs = sorted(name for name in read - made if name in self._values)
        if outputs:
            session = self._session(nodes, inputs, outputs, read)
            results: list[list[Array]] = []
            for chunk in range(self._n_chunks):
                feed = {name: self._values[name][chunk] for name in inputs}
                results.append(session.run(outputs, feed))
            for place, name in enumerate(outputs):
                self._values[name] = [result[place] for result in results]
        for name in [name for name in self._values if self._to_come[name] <= 0]:
            if name not in keep:
                del self._values[name]

    def _session(
        self, nodes: Sequence[onnx.NodeProto], inputs: list[str], outputs: list[str], read: set[str]
    ) -> ort.InferenceSession:
        constants = [self._constants[name] for name in sorted(read) if name in self._constants]
        graph = helper.make_graph(
            nodes,
            "piece",
            [
                helper.make_tensor_value_info(
                    name,
                    helper.np_dtype_to_tensor_dtype(self._values[name][0].dtype),
                    [None] * self._values[name][0].ndim,
                )
                for name in inputs
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=_IR_VERSION
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERROR
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def chunks_of(images: npt.NDArray[np.float32], size: int) -> list[npt.NDArray[np.float32]]:
    """Return the images in runs of `size`, the last as long as what is left."""
    return [images[start : start + size] for start in range(0, len(images), size)]

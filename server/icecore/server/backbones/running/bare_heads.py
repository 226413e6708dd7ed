"""Heads without the nodes that only rename: two of four a layer, two microseconds each.

Of a graph that ONNX Runtime has optimised, whose pooled maps are put back from the
processor's layout and flattened before they come out.
"""

from collections import Counter

import onnx
from onnx import TensorProto, helper

_POOLED_TO_A_POINT = ("GlobalAveragePool", "GlobalMaxPool")

_BLOCK = 16
"""ONNX Runtime keeps channels in blocks of 16 or 8. A map of 1 x 1 that fills its blocks lies
there as it does outside."""


def bare(model: onnx.ModelProto) -> list[bool]:
    """Let pooled maps come out as they are made; return which outputs are (n, d, 1, 1) now.

    `model` is changed; an output that was (n, d) and is not bare stays so.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    n_readers = Counter(name for node in model.graph.node for name in node.input)
    dropped: set[str] = set()
    is_bare = []
    for output in model.graph.output:
        source = _source(output.name, makers, n_readers)
        is_bare.append(source is not None)
        if source is not None:
            dropped |= {output.name, makers[output.name].input[0]} - {source}
            output.CopyFrom(helper.make_tensor_value_info(source, TensorProto.FLOAT, None))
    kept = [node for node in model.graph.node if dropped.isdisjoint(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return is_bare


def _source(output: str, makers: dict[str, onnx.NodeProto], n_readers: Counter[str]) -> str | None:
    """The (n, d, 1, 1) that an output is flattened from, where nobody else reads what lies between.

    A network's own head may be one with ours.
    """
    flatten = makers.get(output)
    if flatten is None or flatten.op_type != "Flatten" or n_readers[output]:
        return None
    if n_readers[flatten.input[0]] > 1:
        return None
    tensor = str(flatten.input[0])
    before = makers.get(tensor)
    if before is not None and before.op_type == "ReorderOutput":
        laid_out = str(before.input[0])
        channels = next((a.i for a in before.attribute if a.name == "channels"), 1)
        if channels % _BLOCK == 0 and n_readers[laid_out] == 1:
            tensor = laid_out
        before = makers.get(laid_out)
    pooled = before is not None and before.op_type in _POOLED_TO_A_POINT
    return tensor if pooled else None

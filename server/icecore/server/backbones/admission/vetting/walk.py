"""Every graph, node and tensor of an ONNX file, however deep.

How deep was bounded before the file was parsed, so these may call themselves.
"""

from collections.abc import Iterable, Iterator, Sequence

import onnx


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph, those inside of its nodes, of functions and of training steps."""
    yield from _graphs_in(model.graph)
    for training in model.training_info:
        yield from _graphs_in(training.initialization)
        yield from _graphs_in(training.algorithm)
    for function in model.functions:
        for node in function.node:
            yield from graphs_within(node)


def graphs_within(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node holds, and those that their nodes hold."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _graphs_in(attribute.g)
        for graph in attribute.graphs:
            yield from _graphs_in(graph)


def nodes_within(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """These nodes, and those of the graphs that they hold."""
    for node in nodes:
        yield node
        for graph in graphs_within(node):
            yield from graph.node


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, functions' too, each once."""
    for graph in graphs_of(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def sparse_of(model: onnx.ModelProto) -> Iterator[onnx.SparseTensorProto]:
    """Every sparse tensor."""
    for graph in graphs_of(model):
        yield from graph.sparse_initializer
    for attribute in _attributes(model):
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor
        yield from attribute.sparse_tensors


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every dense tensor, and the values and places of the sparse ones."""
    for graph in graphs_of(model):
        yield from graph.initializer
    for attribute in _attributes(model):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
    for sparse in sparse_of(model):
        yield from (sparse.values, sparse.indices)


def is_ours(domain: str) -> bool:
    """Whether the domain is ONNX's own."""
    return domain in ("", "ai.onnx")


def shown(name: str, *, at_most: int = 60) -> str:
    """A name as sentences have it: quoted, of one line, not too long."""
    return repr(name if len(name) <= at_most else name[: at_most - 1] + "…")


def counted(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    first = ", ".join(shown(name, at_most=40) for name in names[:3])
    return first if len(names) <= 3 else f"{first} and {len(names) - 3:,} more"


def _graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        yield from graphs_within(node)


def _attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    for node in nodes_of(model):
        yield from node.attribute
    for function in model.functions:
        yield from function.attribute_proto

"""What a file's own functions may be: few when written out, and none that calls itself."""

from collections.abc import Iterator
from typing import TypeAlias

import onnx

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import counted, is_ours, nodes_within, shown
from icecore.server.errors import GraphInvalid, GraphTooLarge

_Key: TypeAlias = tuple[str, str, str]
_Functions: TypeAlias = dict[_Key, onnx.FunctionProto]


def vet_functions(model: onnx.ModelProto, limits: AdmissionLimits) -> None:
    """Raise for functions that cannot be written out, or only at great length.

    Raises:
        GraphInvalid: one that calls itself, by others too, is there twice or
            has an operator's name.
        GraphTooLarge: written out, the graph would have too many nodes.
    """
    functions = _functions(model)
    lengths: dict[_Key, int] = {}
    for key in functions:
        _measure(key, functions, lengths, limits)
    n_nodes = 0
    for node in nodes_within(model.graph.node):
        n_nodes += lengths.get(_key(node), 1)
        if n_nodes > limits.max_nodes:
            raise _too_many(limits)


def _functions(model: onnx.ModelProto) -> _Functions:
    functions: _Functions = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if is_ours(function.domain):
            raise GraphInvalid(
                f"the file defines the function {shown(function.name)} in ONNX's own domain, "
                "where it would hide an operator"
            )
        if key in functions:
            raise GraphInvalid(f"the file defines the function {shown(function.name)} twice")
        functions[key] = function
    return functions


def _measure(
    first: _Key, functions: _Functions, lengths: dict[_Key, int], limits: AdmissionLimits
) -> None:
    """Set how many nodes a function and all that it calls come to.

    On a stack of our own: a chain of calls may be longer than Python's.
    """
    open_calls: dict[_Key, Iterator[_Key]] = {}
    stack = [first]
    while stack:
        key = stack[-1]
        if key in lengths:
            stack.pop()
            continue
        if key not in open_calls:
            open_calls[key] = iter([_key(node) for node in nodes_within(functions[key].node)])
        called = next((k for k in open_calls[key] if k in functions and k not in lengths), None)
        if called is None:
            nodes = nodes_within(functions[key].node)
            lengths[key] = sum(lengths.get(_key(node), 1) for node in nodes)
            if lengths[key] > limits.max_nodes:
                raise _too_many(limits)
        elif called in open_calls:
            around = [name for _, name, _ in stack[stack.index(called) :]]
            raise GraphInvalid(f"functions of the file call themselves: {counted(around)}")
        else:
            stack.append(called)


def _key(node: onnx.NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload


def _too_many(limits: AdmissionLimits) -> GraphTooLarge:
    return GraphTooLarge(
        f"the graph has more than {limits.max_nodes:,} nodes when its functions are written out, "
        "which is the most"
    )

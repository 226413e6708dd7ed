"""Names for the tensors of a traced network: the modules' own.

A tensor is called for the innermost module whose output it is (`layer1.0.relu`,
`features.3`, `blocks.7`), and where it is no module's output for the operation
inside of one (`layer1.0.add`). What would have a name twice, as where one module
is called again, gets `_1`, `_2` in the order of the pass.

Source: the names of torchvision's feature extraction, but that the outputs of
modules other than torch's own have names too.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Stack: TypeAlias = list[tuple[str, str]]
"""From the network to the innermost: (key of the call, path of the module)."""


def names_of(nodes: Iterable[Any]) -> dict[str, str]:
    """Return names by torch's own node names, for the operations of a torch.fx graph."""
    wanted = {node.name: _wanted(node) for node in nodes if node.op == "call_function"}
    return unique(wanted)


def unique(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return names like the wanted ones, in that order, none twice."""
    plain = set(wanted.values())
    taken: set[str] = set()
    names = {}
    for key, name in wanted.items():
        free, n = name, 0
        while free in taken or (n and free in plain):
            n += 1
            free = f"{name}_{n}"
        taken.add(free)
        names[key] = free
    return names


def scoped(path: str, operation: str) -> str:
    """Return the name of an operation inside of a module; the network itself has no path."""
    return f"{path}.{operation}" if path else operation


def _wanted(node: Any) -> str:
    stack = _stack(node)
    path = stack[-1][1] if stack else ""
    if path and _leaves(node, stack[-1][0]):
        return path
    return scoped(path, _operation(node))


def _leaves(node: Any, call: str) -> bool:
    """Whether something outside of this call of a module reads the node."""
    return any(call not in {key for key, _ in _stack(user)} for user in node.users)


def _stack(node: Any) -> Stack:
    found = node.meta.get("nn_module_stack") or {}
    return [
        (key, path.replace("L['self'].", "").removeprefix("L['self']"))
        for key, (path, _) in found.items()
        if not key.startswith("_empty_nn_module_stack")
    ]


def _operation(node: Any) -> str:
    """`add` of aten.add.Tensor; of one of several results, what made them."""
    source = node
    while source.op == "call_function" and getattr(source.target, "__name__", "") == "getitem":
        source = source.args[0]
    target = str(source.target)
    return target.split(".")[1] if target.startswith("aten.") else source.name

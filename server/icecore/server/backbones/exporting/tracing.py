"""A torch network as an ONNX graph whose tensors have the modules' names.

torch's own exporter does the work: it folds batch norms and paddings into
convolutions. It takes the network as evaluated, with the batch left open where
the network can be traced so.
"""

import ast
import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from icecore.server.backbones.exporting import libraries
from icecore.server.backbones.exporting.mistakes import NotExportable, told_of
from icecore.server.backbones.exporting.naming import names_of, scoped, unique

OPSET = 20
"""The first with Gelu as one operator; newer ones gain nothing here."""

INPUT = "image"


@dataclass(frozen=True, slots=True)
class Traced:
    """`names` are the ONNX tensors' by the names of the nodes of `program`, torch's own record."""

    graph: bytes
    program: Any
    names: dict[str, str]
    is_batch_open: bool


def trace(network: Any, height: int, width: int) -> Traced:
    """Return the network as torch's exporter writes it, named.

    Raises:
        NotExportable: it cannot be traced.
    """
    torch = libraries.torch()
    with _quietly(), torch.no_grad():
        try:
            program, is_open = _open(torch, network, height, width), True
        except Exception as first:
            try:
                program, is_open = _fixed(torch, network, height, width), False
            except Exception as error:
                raise NotExportable(
                    f"torch cannot trace the network on images of {height} x {width}: "
                    f"{told_of(error)}"
                ) from first
        try:
            written = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=[INPUT], verbose=False
            )
        except Exception as error:
            raise NotExportable(
                f"torch's ONNX exporter refuses the network: {told_of(error)}"
            ) from error
    names = names_of(written.exported_program.graph.nodes)
    model = written.model_proto
    return Traced(_named(model, names), written.exported_program, names, is_open)


def _open(torch: Any, network: Any, height: int, width: int) -> Any:
    batch = torch.export.Dim("n")
    image = torch.zeros(2, 3, height, width)
    return torch.export.export(network, (image,), dynamic_shapes=({0: batch},), strict=False)


def _fixed(torch: Any, network: Any, height: int, width: int) -> Any:
    return torch.export.export(network, (torch.zeros(1, 3, height, width),), strict=False)


def _named(model: onnx.ModelProto, names: dict[str, str]) -> bytes:
    """The file with its tensors renamed and without the traces of the machine that made it."""
    graph = model.graph
    kept = {tensor.name: tensor.name for tensor in graph.initializer} | {INPUT: INPUT}
    wanted = dict(kept)
    for node in graph.node:
        for output in node.output:
            if output:
                wanted[output] = names.get(output) or scoped(_scope(node), node.op_type.lower())
    new = unique(wanted)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
        node.name = node.output[0]
        node.doc_string = ""
        del node.metadata_props[:]
    for values in (graph.input, graph.output, graph.value_info):
        for value in values:
            value.name = new.get(value.name, value.name)
            del value.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
    del model.metadata_props[:]
    del graph.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    for node_name, name in list(names.items()):
        names[node_name] = new.get(node_name, name)
    return model.SerializeToString(deterministic=True)


def _scope(node: onnx.NodeProto) -> str:
    """The path of the module that a node comes from; the exporter keeps it in the metadata."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = ast.literal_eval(entry.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch warns its own developers of."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

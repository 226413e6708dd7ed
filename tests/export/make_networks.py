"""Writes tests/data/networks: small ONNX files of the families people use, with random weights.

    .venv/bin/python tests/export/make_networks.py [NAME ...]

Needs the extra `export`. Each torch definition goes through one of torch's two exporters; some
files are then turned to float16 or int8 by ONNX Runtime's own tools, and some are written node by
node. The file networks.json beside them holds what is known of each from its definition.
"""

import contextlib
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from network_plans import PLANS, Plan, definition, facts, shape_of
from written_networks import written_network

FOLDER = Path(__file__).parents[1] / "data" / "networks"


def make(name: str) -> bytes:
    """Return the ONNX file of that name."""
    plan = PLANS[name]
    if plan.exporter == "written":
        return written_network(plan.definition)
    network = definition(plan)
    image = torch.randn(2 if plan.batch == "open" else 1, *shape_of(plan))
    if plan.form == "float16":
        network, image = network.half(), image.half()
    with _quietly():
        data = (_by_script if plan.exporter == "script" else _by_dynamo)(network, image, plan)
    if plan.form == "mixed":
        data = _mixed(data)
    if plan.form == "int8":
        data = _int8(data, shape_of(plan))
    return _without_traces(data)


def _by_script(network: nn.Module, image: torch.Tensor, plan: Plan) -> bytes:
    written = io.BytesIO()
    axes = {"input": {0: "batch"}, "output": {0: "batch"}} if plan.batch == "open" else None
    torch.onnx.export(
        network,
        (image,),
        written,
        dynamo=False,
        opset_version=plan.opset,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes=axes,
    )
    return written.getvalue()


def _by_dynamo(network: nn.Module, image: torch.Tensor, plan: Plan) -> bytes:
    shapes = ({0: torch.export.Dim("batch")},) if plan.batch == "open" else None
    program = torch.onnx.export(
        network,
        (image,),
        dynamo=True,
        opset_version=plan.opset,
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _mixed(data: bytes) -> bytes:
    model = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    return bytes(model.SerializeToString())


def _int8(data: bytes, shape: tuple[int, int, int]) -> bytes:
    random = np.random.default_rng(0)

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [random.standard_normal((4, *shape)).astype(np.float32) for _ in range(4)]

        def get_next(self) -> dict[str, Any] | None:
            return {"input": self.left.pop()} if self.left else None

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float32.onnx"
        path.write_bytes(data)
        quantization.quantize_static(
            path,
            path.with_name("int8.onnx"),
            Images(),
            per_channel=True,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return path.with_name("int8.onnx").read_bytes()


def _without_traces(data: bytes) -> bytes:
    """The same file without the paths of the machine that made it."""
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for values in (
        model.graph.input,
        model.graph.output,
        model.graph.value_info,
        model.graph.initializer,
    ):
        for value in values:
            del value.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = FOLDER / "networks.json"
    known = json.loads(table.read_text()) if table.exists() else {}
    for name in sys.argv[1:] or PLANS:
        data = make(name)
        (FOLDER / f"{name}.onnx").write_bytes(data)
        known[name] = facts(name)
        print(f"{name:26} {len(data):8,} bytes  {known[name]}", flush=True)
    table.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import nn

import torch_networks
from written_networks import written_network

FOLDER = Path(__file__).parents[1] / "data" / "networks"


@dataclass(frozen=True)
class Plan:
    """How a file is made.

    `exporter` is "script" (TorchScript-based), "dynamo" or "written"; `form` "float32",
    "float16" (throughout), "mixed" (float32 outside, float16 inside) or "int8" (QDQ).
    """

    definition: str
    family: str
    exporter: str = "script"
    opset: int = 17
    batch: str = "open"
    head: str = "logits"
    form: str = "float32"


PLANS = {
    "alexnet": Plan("alexnet", "AlexNet"),
    "caffenet": Plan("caffenet", "CaffeNet", "written", 7, "fixed", "probabilities"),
    "vgg11": Plan("vgg11", "VGG", opset=7, batch="fixed", head="probabilities"),
    "vgg11_bn": Plan("vgg11_bn", "VGG", opset=8),
    "googlenet": Plan("googlenet", "GoogLeNet", opset=11),
    "squeezenet1_1": Plan("squeezenet1_1", "SqueezeNet", opset=9, batch="fixed"),
    "resnet18": Plan("resnet18", "ResNet"),
    "resnet18-dynamo": Plan("resnet18", "ResNet", "dynamo", 20, head="probabilities"),
    "resnet18-float16": Plan("resnet18", "ResNet", form="float16"),
    "resnet18-int8": Plan("resnet18", "ResNet", form="int8"),
    "resnet50": Plan("resnet50", "ResNet", "dynamo", 23, "fixed"),
    "resnet_nhwc": Plan("resnet_nhwc", "ResNet", "written", 11),
    "resnetv2": Plan("resnetv2", "ResNetV2", opset=13),
    "resnetv2-dynamo": Plan("resnetv2", "ResNetV2", "dynamo", 18),
    "densenet": Plan("densenet", "DenseNet", opset=14),
    "densenet-dynamo": Plan("densenet", "DenseNet", "dynamo", 20),
    "mobilenetv1": Plan("mobilenetv1", "MobileNetV1", opset=12),
    "mobilenet_nhwc": Plan("mobilenet_nhwc", "MobileNetV1", "written", 13, head="probabilities"),
    "mobilenetv2": Plan("mobilenetv2", "MobileNetV2", opset=10),
    "mobilenetv2-dynamo": Plan("mobilenetv2", "MobileNetV2", "dynamo", 20),
    "mobilenetv2-mixed": Plan("mobilenetv2", "MobileNetV2", opset=13, form="mixed"),
    "mobilenetv2-int8": Plan("mobilenetv2", "MobileNetV2", opset=13, form="int8"),
    "mobilenetv3": Plan("mobilenetv3", "MobileNetV3", opset=13, head="probabilities"),
    "mobilenetv3-dynamo": Plan("mobilenetv3", "MobileNetV3", "dynamo", 20),
    "efficientnet": Plan("efficientnet", "EfficientNet"),
    "efficientnet-dynamo": Plan("efficientnet", "EfficientNet", "dynamo", 20, "fixed"),
    "efficientnet_lite": Plan("efficientnet_lite", "EfficientNet-Lite"),
    "efficientnet_lite-dynamo": Plan("efficientnet_lite", "EfficientNet-Lite", "dynamo", 20),
    "shufflenetv1": Plan("shufflenetv1", "ShuffleNetV1", opset=13),
    "shufflenetv2": Plan("shufflenetv2", "ShuffleNetV2"),
    "shufflenetv2-dynamo": Plan("shufflenetv2", "ShuffleNetV2", "dynamo", 20),
    "regnet_x": Plan("regnet_x", "RegNetX", opset=15),
    "regnet_y": Plan("regnet_y", "RegNetY", "dynamo", 20),
    "convnext": Plan("convnext", "ConvNeXt"),
    "convnext-dynamo": Plan("timm_convnext", "ConvNeXt", "dynamo", 20),
    "vit": Plan("vit", "ViT"),
    "vit-dynamo": Plan("timm_vit", "ViT", "dynamo", 18),
    "vit-attention": Plan("timm_vit", "ViT", "dynamo", 23, "fixed"),
    "vit_mean": Plan("vit_mean", "ViT", "dynamo", 20),
    "vit_registers": Plan("vit_registers", "ViT", opset=20),
    "deit": Plan("deit", "DeiT"),
}


def definition(plan: Plan) -> nn.Module:
    """The torch network that a file is made of."""
    network = torch_networks.torch_network(plan.definition)
    return torch_networks.with_softmax(network) if plan.head == "probabilities" else network


def make(name: str) -> bytes:
    """Return the ONNX file of that name."""
    plan = PLANS[name]
    if plan.exporter == "written":
        return written_network(plan.definition)
    network = definition(plan)
    image = torch.randn(2 if plan.batch == "open" else 1, *_shape(plan))
    if plan.form == "float16":
        network, image = network.half(), image.half()
    with _quietly():
        data = (_by_script if plan.exporter == "script" else _by_dynamo)(network, image, plan)
    if plan.form == "mixed":
        data = _mixed(data)
    if plan.form == "int8":
        data = _int8(data, _shape(plan))
    return _without_traces(data)


def facts(name: str) -> dict[str, Any]:
    """What is known of a file without reading it."""
    plan = PLANS[name]
    known = asdict(plan)
    del known["definition"]
    if plan.exporter == "written":
        side = 64 if name == "caffenet" else 32
        n_thresholds = {"caffenet": 7, "mobilenet_nhwc": 7, "resnet_nhwc": 7}[name]
        layout = "NHWC" if "nhwc" in name else "NCHW"
        return {
            **known,
            "size": side,
            "layout": layout,
            "n_thresholds": n_thresholds,
            "n_blocks": 0,
        }
    network = definition(plan)
    return {
        **known,
        "size": _shape(plan)[1],
        "layout": "NCHW",
        "n_thresholds": _thresholds(network, torch.randn(2, *_shape(plan))),
        "n_blocks": sum(type(module).__name__ in _BLOCKS for module in network.modules()),
    }


_BLOCKS = ("MBConv", "CNBlock", "ConvNeXtBlock", "EncoderBlock", "Block")


def _shape(plan: Plan) -> tuple[int, int, int]:
    side = torch_networks.SIZES[plan.definition]
    return 3, side, side


def _thresholds(network: nn.Module, image: torch.Tensor) -> int:
    """How often a forward pass calls ReLU or ReLU6, as a module or as a function."""
    calls = 0

    class Counting(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, call: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal calls
            calls += call.__name__ in ("relu", "relu_", "relu6")
            calls += call.__name__ in ("hardtanh", "hardtanh_")
            # ReLU6 is hardtanh inside; relu(inplace) is relu_.
            with torch._C.DisableTorchFunctionSubclass():
                return call(*args, **(kwargs or {}))

    with torch.no_grad(), Counting():
        network(image)
    return calls


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
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    return bytes(model.SerializeToString())


def _int8(data: bytes, shape: tuple[int, int, int]) -> bytes:
    from onnxruntime import quantization

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

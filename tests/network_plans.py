"""How each file of tests/data/networks is made, and what its definition says of it; needs torch."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

import torch_networks


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
        "size": shape_of(plan)[1],
        "layout": "NCHW",
        "n_thresholds": _thresholds(network, torch.randn(2, *shape_of(plan))),
        "n_blocks": sum(type(module).__name__ in _BLOCKS for module in network.modules()),
    }


_BLOCKS = ("MBConv", "CNBlock", "ConvNeXtBlock", "EncoderBlock", "Block")


def shape_of(plan: Plan) -> tuple[int, int, int]:
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

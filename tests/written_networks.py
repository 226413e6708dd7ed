"""Small networks as other tools than torch write them, node by node; seeded, float32.

`caffenet`: as caffe's converter did in opset 7: initializers among the inputs, LRN, groups,
Dropout, a fixed batch of 1, softmax at the end. `mobilenet_nhwc`: as tf2onnx writes a Keras
model: images (n, h, w, 3), one Transpose, names with slashes and colons. `resnet_nhwc`: the
same not optimised, with a Transpose around every convolution, so that maps are (n, h, w, c).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10


def written_network(name: str, seed: int = 0) -> bytes:
    """Return the ONNX file of that name, weights drawn from the seed."""
    writer = _Writer(seed)
    return _WRITERS[name](writer)


class _Writer:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=f"{output}__node", **attributes)
        )
        return output

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def drawn(self, name: str, *shape: int) -> str:
        """A weight that keeps the signal's size, or a bias where there is one dimension."""
        scale = 0.2 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[1:]))
        return self.constant(name, (scale * self.random.standard_normal(shape)).astype(np.float32))

    def model(
        self,
        image: Sequence[int | str],
        output: Sequence[int | str],
        names: tuple[str, str],
        opset: int,
        ir_version: int,
        *,
        weights_are_inputs: bool = False,
    ) -> bytes:
        inputs = [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, image)]
        if weights_are_inputs:
            inputs += [
                helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
                for t in self.constants
            ]
        outputs = [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, output)]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _caffenet(writer: _Writer) -> bytes:
    rows = [
        (8, 3, 5, 2, 2, 1),
        (16, 8, 5, 1, 2, 2),
        (24, 16, 3, 1, 1, 1),
        (24, 24, 3, 1, 1, 2),
        (16, 24, 3, 1, 1, 2),
    ]
    x = "data_0"
    for i, (after, before, kernel, stride, pad, groups) in enumerate(rows, 1):
        weight = writer.drawn(f"conv{i}_w_0", after, before // groups, kernel, kernel)
        bias = writer.drawn(f"conv{i}_b_0", after)
        x = writer.node(
            "Conv",
            [x, weight, bias],
            f"conv{i}_1",
            group=groups,
            kernel_shape=[kernel, kernel],
            pads=[pad] * 4,
            strides=[stride, stride],
        )
        x = writer.node("Relu", [x], f"conv{i}_2")
        if i in (1, 2):
            x = writer.node("LRN", [x], f"norm{i}_1", alpha=1e-4, beta=0.75, bias=1.0, size=5)
        if i in (1, 2, 5):
            x = writer.node(
                "MaxPool", [x], f"pool{i}_1", kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2]
            )
    shape = writer.constant("OC2_DUMMY_1", np.array([1, 256], np.int64))
    x = writer.node("Reshape", [x, shape], "OC2_DUMMY_0")
    for i, (after, before) in ((6, (32, 256)), (7, (24, 32)), (8, (CLASSES, 24))):
        weight = writer.drawn(f"fc{i}_w_0", after, before)
        bias = writer.drawn(f"fc{i}_b_0", after)
        x = writer.node("Gemm", [x, weight, bias], f"fc{i}_1", transB=1)
        if i != 8:
            x = writer.node("Relu", [x], f"fc{i}_2")
            x = writer.node("Dropout", [x], f"fc{i}_3", ratio=0.5)
    writer.node("Softmax", [x], "prob_1", axis=1)
    return writer.model(
        [1, 3, 64, 64], [1, CLASSES], ("data_0", "prob_1"), 7, 3, weights_are_inputs=True
    )


def _mobilenet_nhwc(writer: _Writer) -> bytes:
    x = writer.node("Transpose", ["input_1:0"], "model/conv1/Conv2D__6:0", perm=[0, 3, 1, 2])
    six = [
        writer.constant("const_zero", np.array(0, np.float32)),
        writer.constant("const_six", np.array(6, np.float32)),
    ]
    rows = [
        ("conv1", 3, 8, 2),
        ("conv_dw_1", 8, 8, 1),
        ("conv_pw_1", 8, 16, 1),
        ("conv_dw_2", 16, 16, 2),
        ("conv_pw_2", 16, 24, 1),
        ("conv_dw_3", 24, 24, 2),
        ("conv_pw_3", 24, 32, 1),
    ]
    for name, before, after, stride in rows:
        depthwise = "dw" in name
        kernel = 1 if "pw" in name else 3
        weight = writer.drawn(
            f"model/{name}/weights_fused_bn", after, 1 if depthwise else before, kernel, kernel
        )
        bias = writer.drawn(f"model/{name}_bn/FusedBatchNormV3/bias", after)
        if stride == 2:
            pads = writer.constant(f"{name}_paddings", np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
            x = writer.node("Pad", [x, pads], f"model/{name}_pad/Pad:0", mode="constant")
        padding = {"auto_pad": "SAME_UPPER"} if stride == 1 else {"pads": [0, 0, 0, 0]}
        x = writer.node(
            "Conv",
            [x, weight, bias],
            f"model/{name}_bn/FusedBatchNormV3:0",
            group=before if depthwise else 1,
            strides=[stride, stride],
            kernel_shape=[kernel, kernel],
            dilations=[1, 1],
            **padding,
        )
        x = writer.node("Clip", [x, *six], f"model/{name}_relu/Relu6:0")
    x = writer.node(
        "ReduceMean", [x], "model/global_average_pooling2d/Mean:0", axes=[2, 3], keepdims=0
    )
    x = writer.node(
        "MatMul",
        [
            x,
            writer.constant(
                "model/predictions/MatMul/ReadVariableOp:0",
                (0.3 * writer.random.standard_normal((32, CLASSES))).astype(np.float32),
            ),
        ],
        "model/predictions/MatMul:0",
    )
    x = writer.node(
        "Add",
        [x, writer.drawn("model/predictions/BiasAdd/ReadVariableOp:0", CLASSES)],
        "model/predictions/BiasAdd:0",
    )
    writer.node("Softmax", [x], "predictions", axis=-1)
    return writer.model(
        ["unk__6", 32, 32, 3], ["unk__7", CLASSES], ("input_1:0", "predictions"), 13, 7
    )


def _resnet_nhwc(writer: _Writer) -> bytes:
    def convolve(x: str, name: str, before: int, after: int, kernel: int, stride: int) -> str:
        x = writer.node("Transpose", [x], f"{name}/Conv2D_nchw:0", perm=[0, 3, 1, 2])
        weight = writer.drawn(f"{name}/kernel:0", after, before, kernel, kernel)
        x = writer.node(
            "Conv",
            [x, weight],
            f"{name}/Conv2D_conv:0",
            auto_pad="SAME_UPPER",
            strides=[stride, stride],
            kernel_shape=[kernel, kernel],
        )
        x = writer.node("Transpose", [x], f"{name}/Conv2D:0", perm=[0, 2, 3, 1])
        return writer.node(
            "Add", [x, writer.drawn(f"{name}/bias:0", 1, 1, 1, after)], f"{name}/BiasAdd:0"
        )

    x = convolve("image:0", "conv1", 3, 8, 3, 2)
    x = writer.node("Relu", [x], "conv1_relu/Relu:0")
    before = 8
    for name, after, stride in (
        ("conv2_block1", 8, 1),
        ("conv3_block1", 16, 2),
        ("conv4_block1", 24, 2),
    ):
        short = x if stride == 1 else convolve(x, f"{name}_0_conv", before, after, 1, stride)
        y = convolve(x, f"{name}_1_conv", before, after, 3, stride)
        y = writer.node("Relu", [y], f"{name}_1_relu/Relu:0")
        y = convolve(y, f"{name}_2_conv", after, after, 3, 1)
        x = writer.node("Add", [short, y], f"{name}_add/add:0")
        x = writer.node("Relu", [x], f"{name}_out/Relu:0")
        before = after
    x = writer.node("ReduceMean", [x], "avg_pool/Mean:0", axes=[1, 2], keepdims=0)
    x = writer.node(
        "MatMul",
        [
            x,
            writer.constant(
                "probs/kernel:0",
                (0.3 * writer.random.standard_normal((before, CLASSES))).astype(np.float32),
            ),
        ],
        "probs/MatMul:0",
    )
    writer.node("Add", [x, writer.drawn("probs/bias:0", CLASSES)], "probs/BiasAdd:0")
    return writer.model(["N", 32, 32, 3], ["N", CLASSES], ("image:0", "probs/BiasAdd:0"), 11, 6)


_WRITERS: dict[str, Callable[[_Writer], bytes]] = {
    "caffenet": _caffenet,
    "mobilenet_nhwc": _mobilenet_nhwc,
    "resnet_nhwc": _resnet_nhwc,
}

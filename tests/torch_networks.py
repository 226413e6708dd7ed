"""Small torch networks of the families people use, seeded, for tests that have torch.

The libraries' own classes with few and narrow layers, so that an export has the nodes and
names of the real network's. Where a class fixes its widths, `narrow` divides them. Every
weight, bias and running statistic is drawn at random: a wrong fold shows.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from icecore.server.backbones.exporting import libraries

libraries.timm()  # with torchvision, also beside a torch that it was not compiled for

import timm.layers as timm_layers  # noqa: E402
import timm.models as timm_models  # noqa: E402
import torch  # noqa: E402
import torchvision.models as vision  # noqa: E402
from timm.models._efficientnet_builder import decode_arch_def  # noqa: E402
from timm.models.deit import VisionTransformerDistilled  # noqa: E402
from timm.models.efficientnet import EfficientNet as TimmEfficientNet  # noqa: E402
from timm.models.resnetv2 import ResNetV2  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.models import convnext, efficientnet, mobilenetv3, regnet, resnet  # noqa: E402
from torchvision.ops import Conv2dNormActivation  # noqa: E402

from torch_weights import CLASSES, narrow, redraw  # noqa: E402


def torch_network(name: str, seed: int = 0) -> nn.Module:
    """Return the network of that name in evaluation mode, weights drawn from the seed."""
    random_state = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        network = _BUILDERS[name]()
        redraw(network, SIZES[name])
        return network.eval()
    finally:
        torch.random.set_rng_state(random_state)


def _alexnet() -> nn.Module:
    network = narrow(vision.AlexNet(CLASSES), 16)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[1] = nn.Linear(16, 48)
    network.classifier[4] = nn.Linear(48, 32)
    network.classifier[6] = nn.Linear(32, CLASSES)
    return network


def _vgg(make: Callable[..., nn.Module]) -> nn.Module:
    network = narrow(make(num_classes=CLASSES), 32)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[0] = nn.Linear(16, 48)
    network.classifier[3] = nn.Linear(48, 32)
    network.classifier[6] = nn.Linear(32, CLASSES)
    return network


def _resnet(block: Any, layers: list[int], by: int) -> nn.Module:
    return narrow(resnet.ResNet(block, layers, CLASSES), by)


def _mobilenet_v2() -> nn.Module:
    rows = [[1, 32, 1, 1], [4, 32, 2, 2], [4, 64, 2, 2], [4, 96, 2, 1]]
    network = vision.MobileNetV2(CLASSES, 0.25, rows)
    network.features[-1] = Conv2dNormActivation(24, 64, kernel_size=1, activation_layer=nn.ReLU6)
    network.classifier[1] = nn.Linear(64, CLASSES)
    return network


def _mobilenet_v3() -> nn.Module:
    row = mobilenetv3.InvertedResidualConfig
    rows = [
        row(8, 3, 8, 8, True, "RE", 2, 1, 1.0),
        row(8, 3, 24, 16, False, "RE", 2, 1, 1.0),
        row(16, 5, 40, 16, True, "HS", 1, 1, 1.0),
        row(16, 5, 32, 16, True, "HS", 2, 1, 1.0),
    ]
    return vision.MobileNetV3(rows, 32, CLASSES)


def _efficientnet() -> nn.Module:
    row = efficientnet.MBConvConfig
    rows = [row(1, 3, 1, 8, 8, 1), row(4, 3, 2, 8, 16, 2), row(4, 5, 2, 16, 24, 2)]
    return vision.EfficientNet(rows, dropout=0.2, num_classes=CLASSES, last_channel=32)


def _timm_mobile(rows: list[list[str]], **more: Any) -> nn.Module:
    return TimmEfficientNet(
        decode_arch_def(rows), num_classes=CLASSES, stem_size=8, act_layer=nn.ReLU6, **more
    )


def _lite() -> nn.Module:
    rows = [
        ["ds_r1_k3_s1_e1_c8"],
        ["ir_r2_k3_s2_e6_c8"],
        ["ir_r2_k5_s2_e6_c16"],
        ["ir_r1_k3_s1_e4_c16"],
    ]
    return _timm_mobile(
        rows, num_features=32, pad_type="same", norm_layer=partial(nn.BatchNorm2d, eps=1e-3)
    )


def _regnet(se_ratio: float | None) -> nn.Module:
    widths = regnet.BlockParams.from_init_params(
        depth=5, w_0=8, w_a=8.0, w_m=2.0, group_width=8, se_ratio=se_ratio
    )
    return vision.RegNet(widths, CLASSES, stem_width=8)


def _convnext() -> nn.Module:
    row = convnext.CNBlockConfig
    rows = [row(8, 16, 1), row(16, 24, 2), row(24, None, 1)]
    return vision.ConvNeXt(rows, num_classes=CLASSES)


def _timm_vit(**more: Any) -> dict[str, Any]:
    narrowed = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
    return {"num_classes": CLASSES, "mlp_ratio": 2.0, **narrowed, **more}


def _googlenet() -> nn.Module:
    return narrow(vision.GoogLeNet(CLASSES, aux_logits=False, init_weights=False), 16)


class ShuffleNetV1(nn.Module):  # type: ignore[misc]
    """The network of Zhang et al. (2018) in small: grouped 1 x 1 convolutions and a shuffle."""

    def __init__(self, groups: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.stage = nn.ModuleList(
            [_Shuffle(8, 24, 2, groups), _Shuffle(24, 24, 1, groups), _Shuffle(24, 48, 2, groups)]
        )
        self.classifier = nn.Linear(48, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.stage:
            x = block(x)
        answers: torch.Tensor = self.classifier(x.mean([2, 3]))
        return answers


class _Shuffle(nn.Module):  # type: ignore[misc]
    def __init__(self, before: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        added = after - before if stride == 2 else after
        middle = 8
        self.compress = nn.Conv2d(before, middle, 1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.expand = nn.Conv2d(middle, added, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(added)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.compress(x)))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.bn3(self.expand(self.bn2(self.depthwise(y))))
        if self.stride == 1:
            return self.relu(y + x)
        short = nn.functional.avg_pool2d(x, 3, 2, 1)
        return self.relu(torch.cat([short, y], 1))


def with_softmax(network: nn.Module) -> nn.Module:
    """Append a softmax, as files of classifiers often do."""
    return nn.Sequential(OrderedDict(network=network, prob=nn.Softmax(dim=1))).eval()


_BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "alexnet": _alexnet,
    "vgg11": lambda: _vgg(vision.vgg11),
    "vgg11_bn": lambda: _vgg(vision.vgg11_bn),
    "googlenet": _googlenet,
    "squeezenet1_1": lambda: narrow(vision.SqueezeNet("1_1", CLASSES), 8),
    "resnet18": lambda: _resnet(resnet.BasicBlock, [1, 1, 1, 1], 16),
    "resnet50": lambda: _resnet(resnet.Bottleneck, [1, 2, 1, 1], 32),
    "resnetv2": lambda: ResNetV2(
        [1, 2, 1],
        (16, 32, 64),
        CLASSES,
        stem_chs=8,
        conv_layer=timm_layers.create_conv2d,
        norm_layer=timm_layers.BatchNormAct2d,
    ),
    "densenet": lambda: vision.DenseNet(4, (2, 3, 2, 2), 8, bn_size=2, num_classes=CLASSES),
    "mobilenetv1": lambda: _timm_mobile(
        [["dsa_r1_k3_s1_c16"], ["dsa_r2_k3_s2_c24"], ["dsa_r2_k3_s2_c32"]], num_features=0
    ),
    "mobilenetv2": _mobilenet_v2,
    "mobilenetv3": _mobilenet_v3,
    "efficientnet": _efficientnet,
    "efficientnet_lite": _lite,
    "shufflenetv1": ShuffleNetV1,
    "shufflenetv2": lambda: vision.ShuffleNetV2([2, 3, 2], [8, 16, 32, 48, 64], CLASSES),
    "regnet_x": lambda: _regnet(None),
    "regnet_y": lambda: _regnet(0.25),
    "convnext": _convnext,
    "timm_convnext": lambda: timm_models.ConvNeXt(
        num_classes=CLASSES, depths=(1, 1, 2, 1), dims=(8, 8, 16, 16), conv_mlp=True
    ),
    "vit": lambda: vision.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=CLASSES),
    "timm_vit": lambda: timm_models.VisionTransformer(**_timm_vit()),
    "vit_registers": lambda: timm_models.VisionTransformer(
        **_timm_vit(reg_tokens=4, global_pool="avg", init_values=0.3, no_embed_class=True)
    ),
    "vit_mean": lambda: timm_models.VisionTransformer(
        **_timm_vit(class_token=False, global_pool="avg")
    ),
    "deit": lambda: VisionTransformerDistilled(**_timm_vit()),
}

_SIXTY_FOUR = (
    "alexnet",
    "googlenet",
    "squeezenet1_1",
    "densenet",
    "convnext",
    "timm_convnext",
    "shufflenetv2",
)
SIZES = {name: 64 if name in _SIXTY_FOUR else 32 for name in _BUILDERS}
"""Height and width of each network's input, pixels."""

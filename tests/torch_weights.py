"""Narrower channels and random weights for the small torch networks of the tests."""

import math

import torch
from torch import nn

CLASSES = 10


def narrow(network: nn.Module, by: int) -> nn.Module:
    """Divide the channels of all layers but the image's and the classes'."""
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    for parent in list(network.modules()):
        for key, module in list(parent.named_children()):
            new: nn.Module
            if isinstance(module, nn.Conv2d):
                new = _narrow_conv(module, by)
            elif isinstance(module, nn.BatchNorm2d):
                new = nn.BatchNorm2d(module.num_features // by, module.eps)
            elif isinstance(module, nn.Linear):
                out = module.out_features
                is_last = module is linears[-1]
                new = nn.Linear(module.in_features // by, out if is_last else out // by)
            else:
                continue
            setattr(parent, key, new)
    return network


def _narrow_conv(conv: nn.Conv2d, by: int) -> nn.Conv2d:
    def fewer(channels: int) -> int:
        return channels if channels in (3, CLASSES) else max(1, channels // by)

    groups = fewer(conv.in_channels) if conv.groups == conv.in_channels else conv.groups
    return nn.Conv2d(
        fewer(conv.in_channels),
        fewer(conv.out_channels),
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        groups,
        bias=conv.bias is not None,
    )


def redraw(network: nn.Module, size: int) -> None:
    """Random weights that keep the signal's size, then batch norms that are far from identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_in))
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.2)
    for name, parameter in network.named_parameters():
        if parameter.dim() < 2 and "norm" in name:
            nn.init.uniform_(parameter, 0.6, 1.4) if "weight" in name else nn.init.normal_(
                parameter, std=0.2
            )
        elif name.rpartition(".")[2] in ("layer_scale", "gamma"):
            nn.init.uniform_(parameter, 0.2, 0.6)
        elif name.endswith(
            ("cls_token", "dist_token", "reg_token", "pos_embed", "class_token", "pos_embedding")
        ):
            nn.init.normal_(parameter, std=0.3)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, std=0.3)
    if norms:
        _measure(network, norms, size)


def _measure(network: nn.Module, norms: list[nn.BatchNorm2d], size: int) -> None:
    """Fill the running statistics from noise, each then off by some tenths."""
    network.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        network(torch.randn(16, 3, size, size))
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
            norm.running_mean.add_(0.2 * torch.randn_like(norm.running_mean))

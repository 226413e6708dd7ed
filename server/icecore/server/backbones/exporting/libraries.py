"""torch, torchvision and timm, imported when an export needs them.

None is needed by a server: they come with the extra `export`.
"""

import importlib
from typing import Any

from icecore.server.backbones.exporting.mistakes import LibraryMissing

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What torchvision's modules speak of as they are imported."""

_declared: list[Any] = []
"""Declarations, which end with the object that made them."""


def torch() -> Any:
    """Return the module, or say how to get it. Raises LibraryMissing."""
    return _imported("torch")


def torchvision() -> Any:
    """Return the module, also where its compiled part does not fit torch.

    A torch for CPUs alone beside a torchvision for CUDA, which is what pip
    installs from two indexes, cannot load that part, and importing fails over
    box operators that no classifier has. Declared first, they are not missed.

    Raises:
        LibraryMissing: it or torch is not installed.
    """
    module = torch()
    try:
        return _imported("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    library = module.library.Library("torchvision", "FRAGMENT")
    _declared.append(library)
    for operator in _OPERATORS:
        library.define(operator)
    return _imported("torchvision")


def timm() -> Any:
    """Return the module; it needs torchvision. Raises LibraryMissing."""
    torchvision()
    return _imported("timm")


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise LibraryMissing(
            f"{name} is not installed, but an export needs it: pip install 'icecore[export]'"
        ) from error

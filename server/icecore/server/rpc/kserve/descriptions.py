"""Models to the protocol's metadata and configuration."""

import json
from collections.abc import Sequence
from typing import Final, TypeAlias

from icecore.kserve import open_inference as pb
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.rpc.kserve.asking import CODES, LABEL, PROBABILITY, SCORES
from icecore.server.rpc.kserve.models import Model
from icecore.server.rpc.kserve.tensors import INPUT, MAX_IMAGES
from icecore.wire.taps import AVG, TapId

BACKBONE_PLATFORM: Final = "onnxruntime_onnx"
PROBE_PLATFORM: Final = "icecore_probe"
BACKEND: Final = "icecore"

Tensor: TypeAlias = tuple[str, str, tuple[int, ...]]
"""Name, datatype, and the shape of one image's part."""

_TYPES: Final = {
    "UINT8": pb.TYPE_UINT8,
    "FP32": pb.TYPE_FP32,
    "FP64": pb.TYPE_FP64,
    "BYTES": pb.TYPE_STRING,
}


def metadata(model: Model) -> pb.ModelMetadataResponse:
    """Return the one input, as pixels, and what is answered where no output is named.

    Tools send every input and ask for every output that is told here. What they make up
    is random bytes: pixels are none the worse for it, while floats would hold NaN.
    """
    make = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[str(version) for version in model.versions],
        platform=_platform(model),
        inputs=[
            make(name=name, datatype=kind, shape=(-1, *dims)) for name, kind, dims in _in(model)
        ],
        outputs=[
            make(name=name, datatype=kind, shape=(-1, *dims)) for name, kind, dims in _out(model)
        ],
    )


def config(model: Model, *, is_caching: bool) -> pb.ModelConfig:
    """Return the configuration; `parameters` holds what the protocol has no field for."""
    return pb.ModelConfig(
        name=model.name,
        platform=_platform(model),
        backend=BACKEND,
        max_batch_size=MAX_IMAGES,
        input=[
            pb.ModelInput(
                name=name, data_type=_TYPES[kind], format=pb.ModelInput.FORMAT_NHWC, dims=dims
            )
            for name, kind, dims in _in(model)
        ],
        output=[
            pb.ModelOutput(name=name, data_type=_TYPES[kind], dims=dims)
            for name, kind, dims in _out(model)
        ],
        parameters={
            name: pb.ModelParameter(string_value=text) for name, text in _parameters(model).items()
        },
        response_cache=pb.ModelResponseCache(enable=is_caching),
    )


def _platform(model: Model) -> str:
    return BACKBONE_PLATFORM if model.probe is None else PROBE_PLATFORM


def _in(model: Model) -> list[Tensor]:
    recipe = model.backbone.recipe
    return [(INPUT, "UINT8", (recipe.height, recipe.width, 3))]


def _out(model: Model) -> list[Tensor]:
    if model.probe is None:
        return [(CODES, "FP32", codes_shape(model.backbone.ranked[-1], AVG))]
    k = len(model.probe.facts.classes)
    return [(LABEL, "BYTES", ()), (SCORES, "FP64", (k,)), (PROBABILITY, "FP64", ())]


def _parameters(model: Model) -> dict[str, str]:
    backbone = model.backbone
    shared = {
        "backbone": backbone.name,
        "digest": backbone.digest,
        "recipe": json.dumps(backbone.recipe.to_json()),
    }
    if model.probe is None:
        return {**shared, "layers": json.dumps([layer.name for layer in backbone.ranked])}
    facts = model.probe.facts
    return {
        **shared,
        "kind": model.probe.kind,
        "classes": json.dumps(facts.classes, ensure_ascii=False),
        **_read(facts.taps),
    }


def _read(taps: Sequence[TapId]) -> dict[str, str]:
    if len(taps) == 1:
        return {"tap": taps[0].to_json()}
    return {"taps": json.dumps([json.loads(tap.to_json()) for tap in taps])}

"""What a request asks for beside its input: which layers, how, until when, and where to.

An output's name is a layer's depth or name, unless the output says its layer by a
parameter of its own; the name `codes` stands for the layer that the request's
parameter names, by default the last one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icecore.kserve import open_inference as pb
from icecore.server.backbones.backbone import Backbone
from icecore.server.embedding.embedder import Priority
from icecore.server.errors import DTypeInvalid, InvalidArgument
from icecore.server.rpc import inputs
from icecore.server.rpc.kserve import parameters
from icecore.wire.taps import AVG, Activation, TapId

CODES: Final = "codes"
LABEL, SCORES, PROBABILITY = PROBE_OUTPUTS = ("label", "scores", "probability")

REGION, REGION_SIZE, REGION_OFFSET = PLACE_KEYS = (
    "shared_memory_region",
    "shared_memory_byte_size",
    "shared_memory_offset",
)
FINAL: Final = "triton_enable_empty_final_response"
"""Asks that a stream marks the last answer to a request, which here is the only one."""

_LAST: Final = "-1"
_TAP: Final = frozenset({"layer", "pooling", "gem_p", "activation", "dtype"})
_CALL: Final = frozenset({"priority", "timeout", FINAL})
_PLACE: Final = frozenset(PLACE_KEYS)


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a registered region; `byte_size` is at most what an output may take."""

    region: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class How:
    """What a request's parameters say of the whole call; `timeout_s` None: nothing."""

    priority: Priority
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Output:
    """An output asked for; `place` None: it travels in the answer. `tap` None: of a probe."""

    name: str
    place: Place | None
    tap: TapId | None = None


def how(request: pb.ModelInferRequest, *, is_probe: bool) -> How:
    """Raises InvalidArgument and its kin: a parameter unknown or out of range."""
    known = _CALL if is_probe else _CALL | _TAP
    values = parameters.read(request.parameters, known, "the request")
    parameters.flag(values, FINAL)
    return How(parameters.priority(values), parameters.timeout_s(values))


def place_of_input(tensor: pb.ModelInferRequest.InferInputTensor) -> Place | None:
    """Return where the input's values are, None where they came with the request."""
    values = parameters.read(tensor.parameters, _PLACE, f"input {tensor.name!r}")
    return _place(values)


def probe_outputs(request: pb.ModelInferRequest) -> list[Output]:
    """Return the outputs of a probe that are asked for, by default all.

    Raises:
        InvalidArgument: another name, one twice, or a parameter that is not known.
    """
    found = []
    for asked in request.outputs[: len(PROBE_OUTPUTS) + 1]:  # so many are one twice, or another
        if asked.name not in PROBE_OUTPUTS:
            raise InvalidArgument(
                f"output {asked.name[:80]!r} is not of a probe, which has "
                f"{', '.join(PROBE_OUTPUTS)}"
            )
        values = parameters.read(asked.parameters, _PLACE, f"output {asked.name!r}")
        found.append(Output(asked.name, _place(values)))
    return list(_once(found)) or [Output(name, None) for name in PROBE_OUTPUTS]


def codes_outputs(request: pb.ModelInferRequest, backbone: Backbone) -> tuple[list[Output], str]:
    """Return the outputs of a backbone that are asked for, and their dtype.

    `*` is all layers that have a depth, each under its name.

    Raises:
        LayerNotFound, PoolingInvalid, NameInvalid: as `Backbone` says.
        DTypeInvalid: unknown, or two in one request.
        InvalidArgument: an output twice, too many, or a parameter that is not known.
    """
    whole = parameters.read(request.parameters, _CALL | _TAP, "the request")
    if not request.outputs:
        found, dtype = _layers(CODES, whole, backbone, whole)
        return list(inputs.check_number_of_layers(found)), dtype
    outputs: list[Output] = []
    dtypes: set[str] = set()
    for asked in inputs.check_number_of_layers(request.outputs):
        own = parameters.read(asked.parameters, _PLACE | _TAP, f"output {asked.name[:80]!r}")
        found, dtype = _layers(asked.name, own, backbone, whole)
        outputs += found
        inputs.check_number_of_layers(outputs)  # before "*" was said a thousand times
        dtypes.add(dtype)
    if len(dtypes) > 1:
        raise DTypeInvalid("outputs of FP32 and of FP16 are asked for; a request has one dtype")
    return list(_once(outputs)), dtypes.pop()


def _layers(
    name: str,
    own: Mapping[str, parameters.Value],
    backbone: Backbone,
    whole: Mapping[str, parameters.Value],
) -> tuple[list[Output], str]:
    """What one output asks for: the layers, and the dtype. Its own parameters come first."""
    below = {key: value for key, value in whole.items() if key != "gem_p" or "pooling" not in own}
    values = {**below, **own}
    spec = parameters.layer(values if name == CODES else own) or (_LAST if name == CODES else name)
    place = _place(own)
    if spec == "*" and place is not None:
        raise InvalidArgument(
            f"output {name[:80]!r} is several layers: one region cannot take them"
        )
    activation = parameters.activation(values) or Activation.AS_TRAINED
    pooling = parameters.pooling(values) or AVG
    found = [
        Output(
            layer.name if spec == "*" else name,
            place,
            backbone.tap(layer, activation=activation, pooling=pooling),
        )
        for layer in backbone.select([inputs.layer(spec)])
    ]
    return found, parameters.dtype(values) or "float32"


def _place(values: Mapping[str, parameters.Value]) -> Place | None:
    if REGION not in values:
        return None
    return Place(
        str(values[REGION]),
        parameters.size(values, REGION_OFFSET),
        parameters.size(values, REGION_SIZE),
    )


def _once(outputs: Sequence[Output]) -> Sequence[Output]:
    seen: set[str] = set()
    for one in outputs:
        if one.name in seen:
            raise InvalidArgument(f"output {one.name[:80]!r} is asked for twice")
        seen.add(one.name)
    return outputs

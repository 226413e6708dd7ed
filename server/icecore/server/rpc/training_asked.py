"""What a TrainProbe asks, as a value."""

from typing import Final

from icecore.server.errors import InvalidArgument
from icecore.server.rpc import arguments, inputs
from icecore.server.training.request import TrainRequest
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as pb

_KINDS: Final = {
    pb.PROBE_KIND_UNSPECIFIED: "softmax",
    pb.PROBE_KIND_SVM: "svm",
    pb.PROBE_KIND_SOFTMAX: "softmax",
}


def train_request(request: pb.TrainProbeRequest) -> TrainRequest:
    """Return what is asked for.

    Raises:
        NameInvalid, PoolingInvalid, InvalidArgument: a field by itself, or two that do not go
            together.
    """
    base_version = arguments.version(request.base_version) if request.base_version else 0
    if base_version:
        _check_kept(request)
    if request.choose_pooling and request.HasField("pooling"):
        raise InvalidArgument("pooling is given and also to be chosen: leave one out")
    return TrainRequest(
        probe_id=arguments.named("probe", request.probe_id),
        collection_id=arguments.named("collection", request.collection_id),
        kind=kind(request.kind),
        layers=inputs.layers(request.layers) or ("auto",),
        activation=inputs.activation(request.activation),
        pooling=inputs.pooling(request.pooling),
        seed=request.seed,
        promote=not request.leave_unpromoted,
        not_worse_by=(
            request.promote_if_not_worse_by if request.HasField("promote_if_not_worse_by") else None
        ),
        base_version=base_version,
        choose_pooling=request.choose_pooling,
    )


def kind(number: pb.ProbeKind.ValueType) -> str:
    """Raises InvalidArgument."""
    if number not in _KINDS:
        known = ", ".join(f"{name} ({n})" for name, n in pb.ProbeKind.items() if n)
        raise InvalidArgument(f"kind {int(number)!r} is not known: {known}")
    return _KINDS[number]


def _check_kept(request: pb.TrainProbeRequest) -> None:
    """Raises InvalidArgument: something is given that the base version decides."""
    given = {
        "kind": request.kind != pb.PROBE_KIND_UNSPECIFIED,
        "layers": len(request.layers) > 0,
        "activation": request.activation != common_pb2.ACTIVATION_UNSPECIFIED,
        "pooling": request.HasField("pooling"),
        "choose_pooling": request.choose_pooling,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise InvalidArgument(
            f"base_version {request.base_version!r} is given, whose kind, layer, activation and "
            f"pooling are kept: leave out {', '.join(names)}, or base_version"
        )

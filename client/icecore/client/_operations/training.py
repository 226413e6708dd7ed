"""Operations of ProbeService on a version in training: begun, watched, cancelled, ended."""

from collections.abc import Sequence

from icecore.client._operations.operation import Operation, request_id_or_new
from icecore.client._operations.places import (
    activation_message,
    choice,
    layer_names,
    pooling_message,
)
from icecore.client._operations.probe import SERVICE, version_number
from icecore.client._operations.probe_answers import KINDS, version_value
from icecore.client.errors import InvalidArgument, TrainingFailed
from icecore.client.input_values import LayerSpec
from icecore.client.probe_values import ProbeKind, ProbeVersion, Progress, VersionState
from icecore.v1 import probe_pb2 as pb
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind

AUTO = "auto"
"""The pooling that is chosen."""


def train_probe(
    probe_id: str,
    collection_id: str,
    *,
    kind: ProbeKind | str | None,
    layers: LayerSpec | Sequence[LayerSpec],
    activation: Activation | str,
    pooling: Pooling | str,
    seed: int,
    promote: bool,
    not_worse_by: float | None,
    base_version: int | None = None,
    request_id: str | None,
) -> Operation[ProbeVersion]:
    if not 0 <= seed < 1 << 64:
        raise InvalidArgument(f"seed is {seed!r}, but must be in 0 .. 2**64 - 1")
    request = pb.TrainProbeRequest(
        request_id=request_id_or_new(request_id),
        probe_id=probe_id,
        collection_id=collection_id,
        layers=layer_names(layers),
        activation=activation_message(activation),
        pooling=None if pooling == AUTO else pooling_message(pooling),
        choose_pooling=pooling == AUTO,
        seed=seed,
        leave_unpromoted=not promote,
        promote_if_not_worse_by=not_worse_by,
    )
    if kind is not None:
        request.kind = KINDS[choice("kind", ProbeKind, kind)]
    if base_version is not None:
        if base_version == 0:
            raise InvalidArgument("base_version is 0, but versions count from 1")
        request.base_version = version_number(base_version)
        # The server refuses what is asked for beside a version that decides it; what stands
        # at its default here was not asked for.
        if list(request.layers) == ["auto"]:
            request.ClearField("layers")
        if activation == Activation.AS_TRAINED:
            request.ClearField("activation")
        if pooling == AVG or pooling == PoolingKind.AVG:
            request.ClearField("pooling")
    return Operation(
        SERVICE,
        "TrainProbe",
        request,
        pb.TrainProbeResponse,
        lambda answer: version_value(answer.version),
    )


def watch_probe(probe_id: str, version: int) -> Operation[Progress]:
    return Operation(
        SERVICE,
        "WatchProbe",
        pb.WatchProbeRequest(probe_id=probe_id, version=version_number(version)),
        pb.WatchProbeResponse,
        lambda answer: Progress(version_value(answer.version), answer.stage, answer.progress),
    )


def cancel_training(
    probe_id: str, version: int, *, request_id: str | None
) -> Operation[ProbeVersion]:
    return Operation(
        SERVICE,
        "CancelTraining",
        pb.CancelTrainingRequest(
            request_id=request_id_or_new(request_id),
            probe_id=probe_id,
            version=version_number(version),
        ),
        pb.CancelTrainingResponse,
        lambda answer: version_value(answer.version),
    )


def ready(version: ProbeVersion) -> ProbeVersion:
    """Return a version whose training was waited for.

    Raises:
        TrainingFailed: it did not become READY; the version is in the error.
    """
    if version.state is VersionState.READY:
        return version
    why = version.failure_message or f"it is {version.state.value!r}"
    error = TrainingFailed(
        f"version {version.version} of probe {version.probe_id!r} is not ready: {why}",
        reason=version.failure_reason
        or ("CANCELLED" if version.state is VersionState.CANCELLED else ""),
    )
    error.version = version
    raise error

"""Operations of ProbeService on probes and their versions."""

from collections.abc import Sequence

from icecore.client._operations.operation import (
    Operation,
    Page,
    nothing,
    request_id_or_new,
    time_of,
)
from icecore.client._operations.places import (
    activation_message,
    choice,
    layer_names,
    pooling_message,
)
from icecore.client.accuracy_values import Accuracy, Comparison, Difference
from icecore.client.errors import InvalidArgument, TrainingFailed
from icecore.client.input_values import LayerSpec
from icecore.client.probe_values import (
    JoinedGain,
    LayerTrial,
    PoolingTrial,
    Probe,
    ProbeKind,
    ProbeVersion,
    Progress,
    VersionState,
)
from icecore.v1 import probe_pb2 as pb
from icecore.wire import messages
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind

SERVICE = "ProbeService"

AUTO = "auto"
"""The pooling that is chosen."""

KINDS = {ProbeKind.SVM: pb.PROBE_KIND_SVM, ProbeKind.SOFTMAX: pb.PROBE_KIND_SOFTMAX}
KIND_VALUES = {number: kind for kind, number in KINDS.items()}
_STATES = {
    pb.VERSION_STATE_TRAINING: VersionState.TRAINING,
    pb.VERSION_STATE_READY: VersionState.READY,
    pb.VERSION_STATE_FAILED: VersionState.FAILED,
    pb.VERSION_STATE_CANCELLED: VersionState.CANCELLED,
}


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
        request.base_version = _number(base_version)
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
        pb.WatchProbeRequest(probe_id=probe_id, version=_number(version)),
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
            request_id=request_id_or_new(request_id), probe_id=probe_id, version=_number(version)
        ),
        pb.CancelTrainingResponse,
        lambda answer: version_value(answer.version),
    )


def probe(probe_id: str) -> Operation[Probe]:
    return Operation(
        SERVICE,
        "GetProbe",
        pb.GetProbeRequest(probe_id=probe_id),
        pb.GetProbeResponse,
        lambda answer: probe_value(answer.probe),
    )


def probes(page_token: str) -> Operation[Page[Probe]]:
    return Operation(
        SERVICE,
        "ListProbes",
        pb.ListProbesRequest(page_token=page_token),
        pb.ListProbesResponse,
        lambda answer: Page(
            [probe_value(message) for message in answer.probes], answer.next_page_token
        ),
    )


def promote_version(
    probe_id: str,
    version: int,
    *,
    expected_version: int | None,
    not_worse_by: float | None,
    request_id: str | None,
) -> Operation[Probe]:
    request = pb.PromoteVersionRequest(
        request_id=request_id_or_new(request_id),
        probe_id=probe_id,
        version=_number(version),
        not_worse_by=not_worse_by,
    )
    if expected_version is not None:
        request.expected_version = _number(expected_version)
    return Operation(
        SERVICE,
        "PromoteVersion",
        request,
        pb.PromoteVersionResponse,
        lambda answer: probe_value(answer.probe),
    )


def compare_versions(
    probe_id: str, version_a: int, version_b: int, *, collection_id: str
) -> Operation[Comparison]:
    return Operation(
        SERVICE,
        "CompareVersions",
        pb.CompareVersionsRequest(
            probe_id=probe_id,
            version_a=_number(version_a),
            version_b=_number(version_b),
            collection_id=collection_id,
        ),
        pb.CompareVersionsResponse,
        comparison_value,
    )


def delete_version(probe_id: str, version: int, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteVersion",
        pb.DeleteVersionRequest(
            request_id=request_id_or_new(request_id), probe_id=probe_id, version=_number(version)
        ),
        pb.DeleteVersionResponse,
        nothing,
    )


def delete_probe(probe_id: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteProbe",
        pb.DeleteProbeRequest(request_id=request_id_or_new(request_id), probe_id=probe_id),
        pb.DeleteProbeResponse,
        nothing,
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


def probe_value(message: pb.Probe) -> Probe:
    return Probe(
        probe_id=message.probe_id,
        probe_name=message.probe_name,
        promoted_version=message.promoted_version or None,
        versions=tuple(version_value(version) for version in message.versions),
        create_time=time_of(message.create_time),
    )


def comparison_value(message: pb.CompareVersionsResponse) -> Comparison:
    return Comparison(
        probe_id=message.probe_id,
        version_a=message.version_a,
        version_b=message.version_b,
        collection_id=message.collection_id,
        n_images=message.n_images,
        n_different_images=message.n_different_images,
        n_new_to_a=message.n_new_to_a,
        n_new_to_b=message.n_new_to_b,
        n_new_to_both=message.n_new_to_both,
        n_left_out=message.n_left_out,
        accuracy_a=accuracy_value(message.accuracy_a),
        accuracy_b=accuracy_value(message.accuracy_b),
        n_both_right=message.n_both_right,
        n_only_a_right=message.n_only_a_right,
        n_only_b_right=message.n_only_b_right,
        n_neither_right=message.n_neither_right,
        difference=difference_value(message.difference),
        classes_only_in_a=tuple(message.classes_only_in_a),
        classes_only_in_b=tuple(message.classes_only_in_b),
    )


def version_value(message: pb.ProbeVersion) -> ProbeVersion:
    is_ready = message.state == pb.VERSION_STATE_READY
    return ProbeVersion(
        probe_id=message.probe_id,
        version=message.version,
        version_name=message.version_name,
        state=_STATES[message.state],
        kind=KIND_VALUES[message.kind],
        collection_id=message.collection_id,
        create_time=time_of(message.create_time),
        is_promoted=message.is_promoted,
        seed=message.seed,
        failure_reason=message.failure_reason,
        failure_message=message.failure_message,
        tap=messages.tap_from_message(message.tap) if message.HasField("tap") else None,
        C=message.c if is_ready else None,
        classes=tuple(message.classes),
        n_images=message.n_images,
        accuracy=accuracy_value(message.accuracy) if message.HasField("accuracy") else None,
        trials=tuple(
            LayerTrial(
                layer=trial.layer,
                depth=trial.depth or None,
                accuracy=accuracy_value(trial.accuracy),
                C=trial.c,
                is_chosen=trial.is_chosen,
                preprocessing=trial.preprocessing or "none",
            )
            for trial in message.trials
        ),
        pooling_trials=tuple(map(_pooling_trial, message.pooling_trials)),
        n_layers=message.n_layers or None,
        objective=message.objective if is_ready else None,
        gap=message.gap if is_ready else None,
        data_digest=message.data_digest,
        file_digest=message.file_digest,
        seconds=message.seconds,
        not_promoted_reason=message.not_promoted_reason,
        not_promoted_message=message.not_promoted_message,
        base_version=message.base_version or None,
        is_choice_kept=message.is_choice_kept,
        n_judged=message.n_judged,
        preprocessing=message.preprocessing,
        joined_taps=tuple(map(messages.tap_from_message, message.joined_taps)),
        joined_gain=_gain(message.joined_gain) if message.HasField("joined_gain") else None,
    )


def _pooling_trial(message: pb.PoolingTrial) -> PoolingTrial:
    return PoolingTrial(
        pooling=messages.pooling_from_message(message.pooling),
        accuracy=accuracy_value(message.accuracy),
        C=message.c,
        is_chosen=message.is_chosen,
        preprocessing=message.preprocessing,
    )


def _gain(message: pb.JoinedGain) -> JoinedGain:
    return JoinedGain(accuracy_value(message.alone), difference_value(message.difference))


def difference_value(message: pb.Difference) -> Difference:
    return Difference(message.estimate, message.low, message.high)


def accuracy_value(message: pb.Accuracy) -> Accuracy:
    return Accuracy(message.estimate, message.low, message.high)


def _number(version: int) -> int:
    if not 0 <= version < 1 << 32:
        raise InvalidArgument(f"version is {version!r}, but versions count from 1")
    return version

"""What ProbeService answers about probes, as values."""

from icecore.client._operations.operation import time_of
from icecore.client.accuracy_values import Accuracy, Comparison, Difference, SharedClasses
from icecore.client.probe_values import (
    JoinedGain,
    LayerTrial,
    PoolingTrial,
    Probe,
    ProbeKind,
    ProbeVersion,
    VersionState,
)
from icecore.v1 import probe_pb2 as pb
from icecore.wire import messages

KINDS = {ProbeKind.SVM: pb.PROBE_KIND_SVM, ProbeKind.SOFTMAX: pb.PROBE_KIND_SOFTMAX}

KIND_VALUES = {number: kind for kind, number in KINDS.items()}

_STATES = {
    pb.VERSION_STATE_TRAINING: VersionState.TRAINING,
    pb.VERSION_STATE_READY: VersionState.READY,
    pb.VERSION_STATE_FAILED: VersionState.FAILED,
    pb.VERSION_STATE_CANCELLED: VersionState.CANCELLED,
}


def probe_value(message: pb.Probe) -> Probe:
    return Probe(
        probe_id=message.probe_id,
        probe_name=message.probe_name,
        promoted_version=message.promoted_version or None,
        versions=tuple(version_value(version) for version in message.versions),
        create_time=time_of(message.create_time),
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
        shared=shared_value(message.shared) if message.HasField("shared") else None,
    )


def shared_value(message: pb.SharedClasses) -> SharedClasses:
    return SharedClasses(
        n_images=message.n_images,
        accuracy_a=accuracy_value(message.accuracy_a),
        accuracy_b=accuracy_value(message.accuracy_b),
        difference=difference_value(message.difference),
    )


def accuracy_value(message: pb.Accuracy) -> Accuracy:
    return Accuracy(message.estimate, message.low, message.high)


def difference_value(message: pb.Difference) -> Difference:
    return Difference(message.estimate, message.low, message.high)


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

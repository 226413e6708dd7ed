"""Probes, versions and predictions to messages of the contract."""

from collections.abc import Sequence
from typing import TypedDict

from icecore.probes.comparing import Comparison
from icecore.probes.intervals import Accuracy as Share
from icecore.server.rpc.answers import time, timings
from icecore.server.storage.records import ProbeRecord, VersionRecord, VersionState
from icecore.server.training.comparing import Compared
from icecore.server.training.facts import VersionFacts
from icecore.server.training.predictor import Predicted
from icecore.server.training.progress import Progress
from icecore.server.training.trials import Accuracy, JoinedGain
from icecore.v1 import probe_pb2 as pb
from icecore.v1.common_pb2 import Tap
from icecore.wire import messages, names
from icecore.wire.taps import TapId

_STATES = {
    VersionState.TRAINING: pb.VERSION_STATE_TRAINING,
    VersionState.READY: pb.VERSION_STATE_READY,
    VersionState.FAILED: pb.VERSION_STATE_FAILED,
    VersionState.CANCELLED: pb.VERSION_STATE_CANCELLED,
}
_KINDS = {"svm": pb.PROBE_KIND_SVM, "softmax": pb.PROBE_KIND_SOFTMAX}


def probe(tenant_id: str, record: ProbeRecord) -> pb.Probe:
    return pb.Probe(
        probe_id=record.probe_id,
        probe_name=names.probe_name(tenant_id, record.probe_id),
        promoted_version=record.promoted_version,
        versions=[version(tenant_id, one) for one in record.versions],
        create_time=time(record.create_time),
    )


def version(tenant_id: str, record: VersionRecord) -> pb.ProbeVersion:
    base_version = _asked(record, "base_version")
    message = pb.ProbeVersion(
        probe_id=record.probe_id,
        version=record.version,
        version_name=names.version_name(tenant_id, record.probe_id, record.version),
        state=_STATES[record.state],
        failure_reason=record.failure_reason,
        failure_message=record.failure_message,
        kind=_KINDS[record.kind],
        collection_id=record.collection_id,
        create_time=time(record.create_time),
        file_digest=record.file_digest,
        seconds=record.seconds,
        is_promoted=record.is_promoted,
        seed=_asked(record, "seed"),
        base_version=base_version,
        is_choice_kept=base_version != 0,
    )
    facts = VersionFacts.of(record)
    if facts is not None:
        message.MergeFrom(_found(facts))
    return message


def progress(tenant_id: str, state: Progress) -> pb.WatchProbeResponse:
    return pb.WatchProbeResponse(
        version=version(tenant_id, state.version), stage=state.stage, progress=state.progress
    )


def predicted(found: Predicted) -> pb.PredictResponse:
    said = found.predictions
    chances = said.probability
    return pb.PredictResponse(
        predictions=[
            pb.Prediction(
                label=label,
                probability=None if chances is None else float(chances[row]),
                scores=said.scores[row].tolist(),
            )
            for row, label in enumerate(said.labels)
        ],
        classes=found.classes,
        probe_id=found.probe_id,
        version=found.version,
        **_taps(found.taps),
        timings=timings(found.timings),
    )


def compared(said: Compared) -> pb.CompareVersionsResponse:
    found = said.found
    return pb.CompareVersionsResponse(
        probe_id=said.probe_id,
        version_a=said.version_a,
        version_b=said.version_b,
        collection_id=said.collection_id,
        n_images=found.n_images,
        n_different_images=found.n_different,
        n_new_to_a=found.n_new_to_a,
        n_new_to_b=found.n_new_to_b,
        n_new_to_both=found.n_new_to_both,
        n_left_out=said.n_left_out,
        accuracy_a=_accuracy(found.accuracy_a),
        accuracy_b=_accuracy(found.accuracy_b),
        n_both_right=found.n_both_right,
        n_only_a_right=found.n_only_a_right,
        n_only_b_right=found.n_only_b_right,
        n_neither_right=found.n_neither_right,
        difference=_difference(found),
        classes_only_in_a=said.classes_only_in_a,
        classes_only_in_b=said.classes_only_in_b,
        shared=None if said.shared is None else _shared(said.shared),
    )


def _shared(found: Comparison) -> pb.SharedClasses:
    return pb.SharedClasses(
        n_images=found.n_images,
        accuracy_a=_accuracy(found.accuracy_a),
        accuracy_b=_accuracy(found.accuracy_b),
        difference=_difference(found),
    )


def _difference(found: Comparison) -> pb.Difference:
    return pb.Difference(estimate=found.difference, low=found.low, high=found.high)


def _found(facts: VersionFacts) -> pb.ProbeVersion:
    return pb.ProbeVersion(
        **_taps(facts.taps),
        c=facts.C,
        classes=facts.classes,
        n_images=facts.n_images,
        accuracy=_accuracy(facts.accuracy) if facts.n_judged else None,
        n_judged=facts.n_images if facts.n_judged < 0 else facts.n_judged,
        trials=[
            pb.LayerTrial(
                layer=trial.layer,
                depth=trial.depth,
                accuracy=_accuracy(trial.accuracy),
                c=trial.C,
                is_chosen=trial.is_chosen,
                preprocessing=trial.preprocessing,
            )
            for trial in (facts.trials if facts.n_judged else ())
        ],
        pooling_trials=[
            pb.PoolingTrial(
                pooling=messages.pooling_to_message(trial.pooling),
                accuracy=_accuracy(trial.accuracy),
                c=trial.C,
                is_chosen=trial.is_chosen,
                preprocessing=trial.preprocessing,
            )
            for trial in facts.pooling_trials
        ],
        n_layers=facts.n_layers,
        objective=facts.objective,
        gap=facts.gap,
        seed=facts.seed,
        data_digest=facts.data_digest,
        not_promoted_reason=facts.not_promoted_reason,
        not_promoted_message=facts.not_promoted_message,
        preprocessing=facts.preprocessing,
        joined_gain=_gain(facts.gain),
    )


class _Taps(TypedDict):
    tap: Tap | None
    joined_taps: list[Tap]


def _taps(taps: Sequence[TapId]) -> _Taps:
    """The fields of what is read: the one tap, or the joined ones."""
    shown = [messages.tap_to_message(tap) for tap in taps]
    return {
        "tap": shown[0] if len(shown) == 1 else None,
        "joined_taps": shown if len(shown) > 1 else [],
    }


def _gain(gain: JoinedGain | None) -> pb.JoinedGain | None:
    if gain is None:
        return None
    return pb.JoinedGain(
        alone=_accuracy(gain.alone),
        difference=pb.Difference(estimate=gain.difference, low=gain.low, high=gain.high),
    )


def _accuracy(accuracy: Accuracy | Share) -> pb.Accuracy:
    return pb.Accuracy(estimate=accuracy.estimate, low=accuracy.low, high=accuracy.high)


def _asked(record: VersionRecord, field: str) -> int:
    """What was asked for, which is known before anything is found; 0: nothing."""
    number = record.request.get(field, 0)
    return number if isinstance(number, int) else 0

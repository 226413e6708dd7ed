"""The operation of ProbeService that judges a collection, and its answer as values."""

from collections.abc import Sequence

from icecore.client._operations.operation import Operation
from icecore.client._operations.places import choice
from icecore.client._operations.probe import SERVICE
from icecore.client._operations.probe_answers import (
    KIND_VALUES,
    KINDS,
    accuracy_value,
    difference_value,
)
from icecore.client.advice_values import (
    Advice,
    Advising,
    Baseline,
    ClassSize,
    ConfusedImage,
    Confusion,
    CurvePoint,
    Forecast,
    JoinedAdvice,
    LayerAdvice,
    LayerPlace,
    Measured,
    Recommendation,
    Scenario,
    Similarity,
    Size,
    Sufficiency,
    SufficiencyKind,
    Verdict,
    VerdictKind,
    WeakClass,
)
from icecore.client.errors import Internal, InvalidArgument
from icecore.client.probe_values import ProbeKind
from icecore.v1 import probe_pb2 as pb


def advise_transfer(
    collection_id: str,
    *,
    backbones: Sequence[str],
    kind: ProbeKind | str,
    seed: int,
    max_images: int,
) -> Operation[Advising]:
    if not 0 <= seed < 1 << 64:
        raise InvalidArgument(f"seed is {seed!r}, but must be in 0 .. 2**64 - 1")
    if not 0 <= max_images < 1 << 32:
        raise InvalidArgument(f"max_images is {max_images!r}, but must be 1 or more, or 0")
    return Operation(
        SERVICE,
        "AdviseTransfer",
        pb.AdviseTransferRequest(
            collection_id=collection_id,
            backbones=[backbones] if isinstance(backbones, str) else backbones,
            kind=KINDS[choice("kind", ProbeKind, kind)],
            seed=seed,
            max_images=max_images,
        ),
        pb.AdviseTransferResponse,
        lambda answer: Advising(
            answer.stage,
            answer.progress,
            advice_value(answer.advice) if answer.HasField("advice") else None,
        ),
    )


def unanswered() -> Internal:
    """Return the error of a stream that ended well without the advice."""
    return Internal("the server's answer to AdviseTransfer breaks the contract: no advice came")


def advice_value(message: pb.Advice) -> Advice:
    """Raises ValueError: the message breaks the contract."""
    return Advice(
        collection_id=message.collection_id,
        n_labelled=message.n_labelled,
        n_images=message.n_images,
        n_different_images=message.n_different_images,
        classes=tuple(ClassSize(one.label, one.n_images) for one in message.classes),
        kind=KIND_VALUES[message.kind],
        seed=message.seed,
        layers=tuple(
            LayerAdvice(
                place=_place(one.place),
                accuracy=accuracy_value(one.accuracy),
                C=one.c,
                dims=one.dims,
                n_bytes=one.n_bytes,
                macs=one.macs,
            )
            for one in message.layers
        ),
        chosen=_place(message.chosen),
        cheapest=_place(message.cheapest),
        last=_place(message.last),
        accuracy=accuracy_value(message.accuracy),
        verdict=_verdict(message.verdict),
        sufficiency=_sufficiency(message.sufficiency),
        scenario=_scenario(message.scenario),
        confusion=_confusion(message.confusion),
        seconds=message.seconds,
        joined=_joined(message.joined) if message.HasField("joined") else None,
    )


def _joined(message: pb.JoinedAdvice) -> JoinedAdvice:
    return JoinedAdvice(
        tuple(map(_place, message.places)),
        accuracy_value(message.accuracy),
        difference_value(message.difference),
    )


def _place(message: pb.LayerPlace) -> LayerPlace:
    return LayerPlace(message.backbone, message.layer, message.depth or None)


def _verdict(message: pb.Verdict) -> Verdict:
    return Verdict(
        kind=VerdictKind(pb.VerdictKind.Name(message.kind).removeprefix("VERDICT_KIND_")),
        limiting=message.limiting,
        margin=message.margin,
        more_images=message.more_images if message.HasField("more_images") else None,
        baselines=tuple(
            Baseline(
                name=one.name,
                accuracy=accuracy_value(one.accuracy),
                difference=one.difference,
                low=one.low,
                high=one.high,
                p=one.p,
            )
            for one in message.baselines
        ),
    )


def _sufficiency(message: pb.Sufficiency) -> Sufficiency:
    name = pb.SufficiencyKind.Name(message.kind)
    return Sufficiency(
        kind=SufficiencyKind(name.removeprefix("SUFFICIENCY_KIND_")),
        n_more=message.n_more,
        points=tuple(CurvePoint(one.n_images, one.accuracy) for one in message.points),
        forecasts=tuple(
            Forecast(one.n_images, one.estimate, one.low, one.high) for one in message.forecasts
        ),
        gain=message.gain,
        gain_low=message.gain_low,
        gain_high=message.gain_high,
        probability=message.probability,
        weakest_classes=tuple(
            WeakClass(one.label, one.n_images, accuracy_value(one.recall))
            for one in message.weakest_classes
        ),
    )


def _scenario(message: pb.Scenario) -> Scenario:
    return Scenario(
        size=Size(message.size),
        similarity=Similarity(message.similarity),
        recommendation=Recommendation(message.recommendation),
        familiarity=_measured(message.familiarity) if message.HasField("familiarity") else None,
        earlier_gain=_measured(message.earlier_gain),
        is_contradicted=message.is_contradicted,
    )


def _confusion(message: pb.Confusion) -> Confusion:
    k, counts = len(message.classes), tuple(message.counts)
    if len(counts) != k * k:
        raise ValueError(f"{len(counts)} counts of {k} classes")
    return Confusion(
        classes=tuple(message.classes),
        counts=tuple(counts[first : first + k] for first in range(0, k * k, k)),
        examples=tuple(
            ConfusedImage(one.example_id, one.label, one.predicted, one.thumbnail)
            for one in message.examples
        ),
    )


def _measured(message: pb.Measured) -> Measured:
    return Measured(message.value, message.low, message.high)

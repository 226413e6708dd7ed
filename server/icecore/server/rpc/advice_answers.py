"""An advice about transfer to messages of the contract. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from icecore.server.training.advising.values import Advised
from icecore.v1 import probe_pb2 as pb

if TYPE_CHECKING:  # scipy comes with it, which no start of a server is to wait for
    from icecore.probes.advising.layer_contest import LayerAdvice
    from icecore.probes.advising.scenario import Scenario
    from icecore.probes.advising.similarity import Measured
    from icecore.probes.advising.sufficiency import Sufficiency
    from icecore.probes.advising.together import Together
    from icecore.probes.advising.verdict import Verdict
    from icecore.probes.intervals import Accuracy

_KINDS = {"svm": pb.PROBE_KIND_SVM, "softmax": pb.PROBE_KIND_SOFTMAX}


def advice(found: Advised) -> pb.Advice:
    said = found.advice
    classes = said.classes
    return pb.Advice(
        collection_id=found.collection_id,
        n_labelled=found.n_labelled,
        n_images=found.n_images,
        n_different_images=said.n_different_images,
        classes=[
            pb.ClassSize(label=label, n_images=size)
            for label, size in zip(classes, said.class_sizes, strict=True)
        ],
        kind=_KINDS[found.kind],
        seed=found.seed,
        layers=[_layer(one) for one in said.layers],
        chosen=_place(said.layers[said.chosen]),
        cheapest=_place(said.layers[said.cheapest]),
        last=_place(said.layers[said.last]),
        accuracy=_accuracy(said.accuracy),
        verdict=_verdict(said.verdict),
        sufficiency=_sufficiency(said.sufficiency, classes),
        scenario=_scenario(said.scenario),
        confusion=_confusion(found),
        seconds=found.seconds,
        joined=None if said.together is None else _joined(said.together, said.layers),
    )


def _joined(one: Together, layers: Sequence[LayerAdvice]) -> pb.JoinedAdvice:
    return pb.JoinedAdvice(
        places=[_place(layers[place]) for place in one.places],
        accuracy=_accuracy(one.accuracy),
        difference=pb.Difference(estimate=one.difference, low=one.low, high=one.high),
    )


def _layer(one: LayerAdvice) -> pb.LayerAdvice:
    return pb.LayerAdvice(
        place=_place(one),
        accuracy=_accuracy(one.accuracy),
        c=one.C,
        dims=one.dims,
        n_bytes=one.n_bytes,
        macs=one.macs,
    )


def _place(one: LayerAdvice) -> pb.LayerPlace:
    return pb.LayerPlace(backbone=one.backbone, layer=one.layer, depth=one.depth)


def _verdict(found: Verdict) -> pb.Verdict:
    return pb.Verdict(
        kind=pb.VerdictKind.Value(f"VERDICT_KIND_{found.kind}"),
        limiting=found.limiting,
        margin=found.margin,
        more_images=found.more_images,
        baselines=[
            pb.Baseline(
                name=one.baseline,
                accuracy=_accuracy(one.accuracy),
                difference=one.difference,
                low=one.low,
                high=one.high,
                p=one.p,
            )
            for one in found.comparisons
        ],
    )


def _sufficiency(found: Sufficiency, classes: tuple[str, ...]) -> pb.Sufficiency:
    return pb.Sufficiency(
        kind=pb.SufficiencyKind.Value(f"SUFFICIENCY_KIND_{found.advice}"),
        n_more=found.n_more,
        points=[pb.CurvePoint(n_images=n, accuracy=share) for n, share in found.points],
        forecasts=[
            pb.Forecast(n_images=one.n_images, estimate=one.estimate, low=one.low, high=one.high)
            for one in found.forecasts
        ],
        gain=found.gain.estimate,
        gain_low=found.gain.low,
        gain_high=found.gain.high,
        probability=found.gain.probability,
        weakest_classes=[
            pb.WeakClass(
                label=classes[one.label], n_images=one.n_images, recall=_accuracy(one.recall)
            )
            for one in found.weakest_classes
        ],
    )


def _scenario(found: Scenario) -> pb.Scenario:
    return pb.Scenario(
        size=found.size.value,
        similarity=found.similarity.value,
        recommendation=found.recommendation.value,
        familiarity=None if found.familiarity is None else _measured(found.familiarity),
        earlier_gain=_measured(found.earlier_gain),
        is_contradicted=found.is_contradicted,
    )


def _confusion(found: Advised) -> pb.Confusion:
    classes = found.advice.classes
    return pb.Confusion(
        classes=classes,
        counts=[count for row in found.advice.confusion.counts for count in row],
        examples=[
            pb.ConfusedImage(
                example_id=found.examples[one.row].example_id,
                label=found.examples[one.row].label,
                predicted=classes[one.predicted],
                thumbnail=found.thumbnails.get(one.row, b""),
            )
            for one in found.advice.confusion.shown
        ],
    )


def _accuracy(share: Accuracy) -> pb.Accuracy:
    return pb.Accuracy(estimate=share.estimate, low=share.low, high=share.high)


def _measured(one: Measured) -> pb.Measured:
    return pb.Measured(value=one.value, low=one.low, high=one.high)

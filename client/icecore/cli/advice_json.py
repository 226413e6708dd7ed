"""An advice as scripts read it; the keys are kept."""

from typing import Any

from icecore.cli.advice_report import places
from icecore.cli.jobs import accuracy_json
from icecore.client import (
    Accuracy,
    Advice,
    Baseline,
    JoinedAdvice,
    LayerPlace,
    Measured,
    Scenario,
    Sufficiency,
)


def advice_json(advice: Advice) -> dict[str, Any]:
    """Return all of an advice but its pictures. Accuracies and bounds are in 0..1."""
    verdict = advice.verdict
    return {
        "collection": advice.collection_id,
        "chosen": _place(advice.chosen),
        "highest": _place(places.highest(advice)),
        "cheapest": _place(advice.cheapest),
        "last": _place(advice.last),
        "accuracy": accuracy_json(advice.accuracy),
        "layers": [
            {
                **_place(one.place),
                **_spread(one.accuracy),
                "C": one.C,
                "dims": one.dims,
                "bytes": one.n_bytes,
                "macs": one.macs,
            }
            for one in advice.layers
        ],
        "verdict": verdict.kind.value,
        "limiting": verdict.limiting,
        "margin": verdict.margin,
        "more_images": verdict.more_images,
        "baselines": [_baseline(one) for one in verdict.baselines],
        "sufficiency": _sufficiency(advice.sufficiency),
        "scenario": _scenario(advice.scenario),
        "confusion": {
            "classes": list(advice.confusion.classes),
            "counts": [list(row) for row in advice.confusion.counts],
            "examples": [
                {"id": one.example_id, "label": one.label, "predicted": one.predicted}
                for one in advice.confusion.examples
            ],
        },
        "joined": _joined(advice.joined),
        "kind": advice.kind.value,
        "seed": advice.seed,
        "classes": {one.label: one.n_images for one in advice.classes},
        "n_labelled": advice.n_labelled,
        "n_images": advice.n_images,
        "n_different_images": advice.n_different_images,
        "seconds": round(advice.seconds, 3),
    }


def _place(place: LayerPlace) -> dict[str, Any]:
    return {"backbone": place.backbone, "layer": place.layer, "depth": place.depth}


def _spread(accuracy: Accuracy) -> dict[str, float]:
    return {"accuracy": accuracy.estimate, "low": accuracy.low, "high": accuracy.high}


def _baseline(one: Baseline) -> dict[str, Any]:
    return {
        "name": one.name,
        **_spread(one.accuracy),
        "difference": {"estimate": one.difference, "low": one.low, "high": one.high},
        "p": one.p,
    }


def _sufficiency(found: Sufficiency) -> dict[str, Any]:
    return {
        "advice": found.kind.value,
        "n_more": found.n_more,
        "points": [{"n_images": one.n_images, "accuracy": one.accuracy} for one in found.points],
        "forecasts": [
            {"n_images": one.n_images, "accuracy": one.estimate, "low": one.low, "high": one.high}
            for one in found.forecasts
        ],
        "gain": {
            "estimate": found.gain,
            "low": found.gain_low,
            "high": found.gain_high,
            "probability": found.probability,
        },
        "weakest_classes": [
            {"label": one.label, "n_images": one.n_images, "recall": accuracy_json(one.recall)}
            for one in found.weakest_classes
        ],
    }


def _scenario(found: Scenario) -> dict[str, Any]:
    return {
        "size": found.size.value,
        "similarity": found.similarity.value,
        "recommendation": found.recommendation.value,
        "familiarity": None if found.familiarity is None else _measured(found.familiarity),
        "earlier_gain": _measured(found.earlier_gain),
        "is_contradicted": found.is_contradicted,
    }


def _joined(found: JoinedAdvice | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "is_offered": found.is_offered,
        "places": [_place(place) for place in found.places],
        **_spread(found.accuracy),
        "difference": accuracy_json(found.difference),
    }


def _measured(one: Measured) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}

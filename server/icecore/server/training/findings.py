"""A worker's findings, with the taps put back: it knows its layers by key alone."""

from collections.abc import Iterable
from typing import Any

from icecore.server.training.facts import Accuracy, LayerTrial, VersionFacts
from icecore.wire.taps import TapId


def facts_of(
    found: dict[str, Any], taps: Iterable[TapId], *, seed: int, data_digest: str, n_images: int
) -> VersionFacts:
    """Return the facts of what a worker found among these taps."""
    by_key = {tap.layer: tap for tap in taps}
    return VersionFacts(
        tap=by_key[found["key"]],
        C=found["C"],
        classes=tuple(found["classes"]),
        accuracy=Accuracy(**found["accuracy"]),
        naive=found["naive"],
        trials=tuple(
            LayerTrial(
                layer=trial["key"],
                depth=by_key[trial["key"]].depth,
                accuracy=Accuracy(**trial["accuracy"]),
                C=trial["C"],
                is_chosen=trial["is_chosen"],
            )
            for trial in found["trials"]
        ),
        objective=found["objective"],
        gap=found["gap"],
        seed=seed,
        data_digest=data_digest,
        n_images=n_images,
        preprocessing=found["preprocessing"],
        n_judged=found["n_judged"],
    )

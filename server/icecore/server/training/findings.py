"""A worker's findings, with the taps put back: it knows its layers by key alone."""

from typing import Any

from icecore.server.training.candidates import Candidates
from icecore.server.training.facts import VersionFacts
from icecore.server.training.trials import Accuracy, JoinedGain, LayerTrial, PoolingTrial


def facts_of(
    found: dict[str, Any],
    candidates: Candidates,
    *,
    seed: int,
    data_digest: str,
    n_images: int,
) -> VersionFacts:
    """Return the facts of what a worker found among the candidates."""
    by_key = {candidates.key(tap): tap for tap in candidates.taps}
    gain = found["gain"]
    return VersionFacts(
        taps=tuple(by_key[key] for key in found["keys"]),
        C=found["C"],
        classes=tuple(found["classes"]),
        accuracy=Accuracy(**found["accuracy"]),
        naive=found["naive"],
        trials=tuple(
            LayerTrial(
                layer=by_key[trial["key"]].layer,
                depth=by_key[trial["key"]].depth,
                accuracy=Accuracy(**trial["accuracy"]),
                C=trial["C"],
                is_chosen=trial["is_chosen"],
                preprocessing=trial["preprocessing"],
            )
            for trial in found["trials"]
        ),
        pooling_trials=tuple(
            PoolingTrial(
                pooling=by_key[trial["key"]].pooling,
                accuracy=Accuracy(**trial["accuracy"]),
                C=trial["C"],
                is_chosen=trial["is_chosen"],
                preprocessing=trial["preprocessing"],
            )
            for trial in found["alternatives"]
        ),
        objective=found["objective"],
        gap=found["gap"],
        seed=seed,
        data_digest=data_digest,
        n_images=n_images,
        preprocessing=found["preprocessing"],
        n_judged=found["n_judged"],
        n_layers=found["n_layers"],
        gain=None if gain is None else JoinedGain(**{**gain, "alone": Accuracy(**gain["alone"])}),
    )

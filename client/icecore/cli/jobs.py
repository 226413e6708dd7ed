"""Training as commands show it: started, followed, and told of at the end."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from icecore.cli.mistakes import Interrupted, Mistake
from icecore.cli.output import Column, print_line, print_table
from icecore.cli.progress import working
from icecore.cli.version_words import fallen_out, mark_of
from icecore.client import (
    Accuracy,
    Client,
    Difference,
    LayerTrial,
    NotFound,
    PoolingTrial,
    ProbeVersion,
    Progress,
)

AUTO = "auto"
"""The layer, or pooling, that leaves the choice to the server."""

ALL = "all"
"""The layer that stands for as many, read together, as are of use."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What kind of probe is trained, and where; as in `Client.train_probe`."""

    kind: str | None = None
    layers: tuple[str, ...] = (AUTO,)
    activation: str = "as-trained"
    pooling: str = "avg"
    seed: int = 0
    promote: bool = True
    not_worse_by: float | None = None
    base_version: int | None = None


def require_taps(client: Client, collection_id: str, backbone: str, wanted: Wanted) -> None:
    """See that a backbone can be read as wanted, before images are brought for it.

    The server alone knows that, so it is asked for the codes of a black picture there. A
    collection that stays with the backbone of an earlier time is left to the training.

    Raises:
        NotFound: no such backbone or layer.
        InvalidArgument: the layer has not what the pooling reads.
        Mistake: "auto" or "all" among other layers, or a pooling to be chosen for "all".
    """
    for name in (AUTO, ALL):
        if name in wanted.layers and len(wanted.layers) > 1:
            raise Mistake(f"--layer {name} chooses layers itself: give it alone, or those to try")
    if wanted.layers == (ALL,) and wanted.pooling == AUTO:
        raise Mistake(f"--pool {AUTO} goes with one layer: --layer {ALL} joins them as pooled")
    try:
        collection = client.collection(collection_id)
    except NotFound:
        collection = None
    if collection is not None:
        backbone = collection.backbone
        if (backbone, collection.digest) not in {(b.name, b.digest) for b in client.backbones()}:
            return
    client.embed(
        [np.zeros((8, 8, 3), np.uint8)],
        backbone=backbone,
        layers=-1 if wanted.layers in ((AUTO,), (ALL,)) else wanted.layers,
        activation=wanted.activation,
        pooling="avg" if wanted.pooling == AUTO else wanted.pooling,
    )


def train(client: Client, probe_id: str, collection_id: str, wanted: Wanted) -> ProbeVersion:
    """Train and wait for the version to be READY.

    Raises:
        TrainingFailed: it ended otherwise than READY.
        Interrupted: Ctrl-C, which leaves the job to the server.
    """
    started: ProbeVersion | None = None
    with working(f"training probe {probe_id!r}", 1.0) as work:

        def show(progress: Progress) -> None:
            nonlocal started
            started = progress.version
            work.reach(progress.progress, progress.stage)

        try:
            return client.train_probe(
                probe_id,
                collection_id,
                kind=wanted.kind,
                layers=wanted.layers,
                activation=wanted.activation,
                pooling=wanted.pooling,
                seed=wanted.seed,
                promote=wanted.promote,
                not_worse_by=wanted.not_worse_by,
                base_version=wanted.base_version,
                wait=True,
                on_progress=show,
            )
        except KeyboardInterrupt:
            if started is None:
                raise
            raise Interrupted(
                f"interrupted; version {started.version} goes on training, and "
                f"'icecore probes show {probe_id}' tells when it is done"
            ) from None


def percent(accuracy: Accuracy) -> tuple[str, str]:
    """Return the estimate and its interval, such as "96.2 %" and "94.0 to 97.8 %"."""
    low, high = 100 * accuracy.low, 100 * accuracy.high
    return f"{100 * accuracy.estimate:.1f} %", f"{low:.1f} to {high:.1f} %"


def print_trials(version: ProbeVersion) -> None:
    """Print held-out accuracy a depth, the chosen one marked; "softmax": its probabilities."""
    trials, mark = version.trials, mark_of(version)
    rows = []
    for trial in trials:
        estimate, interval = percent(trial.accuracy)
        marked = mark if trial.is_chosen else ""
        layer = f"{trial.layer} (softmax)" if trial.preprocessing == "softmax" else trial.layer
        rows.append((trial.depth or "-", layer, estimate, interval, f"{trial.C:g}", marked))
    chosen = next((place for place, trial in enumerate(trials) if trial.is_chosen), None)
    columns = [
        Column("depth", is_number=True),
        Column("layer"),
        Column("held-out accuracy", is_number=True),
        Column("95 % interval", is_number=True),
        Column("C", is_number=True),
        Column(""),
    ]
    print_table(columns, rows, marked=chosen)
    if told := fallen_out(version):
        print_line(told)


def version_json(version: ProbeVersion) -> dict[str, Any]:
    """Return what `train-probe --json` and `probes show --json` say of a version."""
    tap, accuracy = version.tap, version.accuracy
    return {
        "probe": version.probe_id,
        "version": version.version,
        "state": version.state.value,
        "backbone": version.taps[0].backbone if version.taps else None,
        "layer": None if tap is None else tap.layer,
        "depth": None if tap is None else tap.depth or None,
        "pooling": str(version.taps[0].pooling) if version.taps else None,
        "n_layers": version.n_layers,
        "n_layers_judged": None if version.n_layers is None else version.n_layers_judged,
        "poolings": [_pooling_json(trial) for trial in version.pooling_trials] or None,
        "joined": _joined_json(version),
        "kind": version.kind.value,
        "C": version.C,
        "preprocessing": version.preprocessing or None,
        "classes": list(version.classes),
        "n_images": version.n_images,
        "accuracy": None if accuracy is None else accuracy_json(accuracy),
        "seconds": round(version.seconds, 3),
        "base_version": version.base_version,
        "not_promoted": (
            {"reason": version.not_promoted_reason, "message": version.not_promoted_message}
            if version.not_promoted_reason
            else None
        ),
    }


def _pooling_json(trial: PoolingTrial) -> dict[str, Any]:
    return {
        "pooling": str(trial.pooling),
        "C": trial.C,
        "is_chosen": trial.is_chosen,
        "preprocessing": trial.preprocessing,
        "accuracy": accuracy_json(trial.accuracy),
    }


def _joined_json(version: ProbeVersion) -> dict[str, Any] | None:
    if not version.joined_taps:
        return None
    gain = version.joined_gain
    return {
        "layers": [tap.layer for tap in version.joined_taps],
        "depths": [tap.depth or None for tap in version.joined_taps],
        "best_alone": None if gain is None else accuracy_json(gain.alone),
        "gain": None if gain is None else accuracy_json(gain.difference),
    }


def accuracy_json(accuracy: Accuracy | Difference) -> dict[str, float]:
    return {"estimate": accuracy.estimate, "low": accuracy.low, "high": accuracy.high}


def trial_json(trial: LayerTrial) -> dict[str, Any]:
    return {
        "layer": trial.layer,
        "depth": trial.depth,
        "C": trial.C,
        "is_chosen": trial.is_chosen,
        "preprocessing": trial.preprocessing,
        "accuracy": accuracy_json(trial.accuracy),
    }

"""What training found, typed: the reading of `VersionRecord.result`."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Self, cast

from icecore.server.errors import StorageCorrupt
from icecore.server.storage.records import Json, VersionRecord
from icecore.wire.taps import Pooling, PoolingKind, TapId

NONE: Final = "none"
"""How versions preprocess that were trained before there was a choice."""

ALL_JUDGED: Final = -1
"""Of versions trained before one could go on from another."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate and its 95 % interval, all in 0..1."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class JoinedGain:
    """What layers read together gain over the best one by itself, whose accuracy `alone` is."""

    alone: Accuracy
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LayerTrial:
    """What cross-validation saw at one candidate layer; `depth` 0: it has none."""

    layer: str
    depth: int
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str = NONE


@dataclass(frozen=True, slots=True)
class PoolingTrial:
    """What cross-validation saw of one pooling at the chosen layer."""

    pooling: Pooling
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """A READY version's own account.

    `taps` are what it reads: one, or several joined, over which `gain` is then told. `accuracy`
    comes from outer folds that chose nothing; `naive` is the winner's accuracy in the folds that
    chose it, kept to show the difference. `gap` is
    an upper bound of the relative distance to the optimum. `data_digest` is
    over ids, labels and codes (see `training_set`). `n_images` counts what was
    trained on; images without a label are not among them. `not_promoted_reason` and
    `not_promoted_message` say why READY did not promote it, where that hung on a
    comparison; else "". `pooling_trials` are those of the chosen layer, empty where its pooling was
    not to be chosen. `preprocessing` is what `icecore.probes.preprocessing` calls it.
    """

    taps: tuple[TapId, ...]
    C: float
    classes: tuple[str, ...]
    accuracy: Accuracy
    naive: float
    trials: tuple[LayerTrial, ...]
    objective: float
    gap: float
    seed: int
    data_digest: str
    n_images: int
    not_promoted_reason: str = ""
    not_promoted_message: str = ""
    preprocessing: str = NONE
    n_judged: int = ALL_JUDGED
    gain: JoinedGain | None = None
    pooling_trials: tuple[PoolingTrial, ...] = ()

    @property
    def digest(self) -> str:
        """Of the backbone that all taps are of."""
        return self.taps[0].digest

    def to_json(self) -> Json:
        return {
            "taps": [tap.to_json() for tap in self.taps],
            "C": self.C,
            "classes": list(self.classes),
            "accuracy": _accuracy_to_json(self.accuracy),
            "naive": self.naive,
            "trials": [
                {
                    "layer": trial.layer,
                    "depth": trial.depth,
                    "accuracy": _accuracy_to_json(trial.accuracy),
                    "C": trial.C,
                    "is_chosen": trial.is_chosen,
                    "preprocessing": trial.preprocessing,
                }
                for trial in self.trials
            ],
            "pooling_trials": [
                {
                    "pooling": trial.pooling.kind.value,
                    "gem_p": trial.pooling.gem_p,
                    "accuracy": _accuracy_to_json(trial.accuracy),
                    "C": trial.C,
                    "is_chosen": trial.is_chosen,
                    "preprocessing": trial.preprocessing,
                }
                for trial in self.pooling_trials
            ],
            "preprocessing": self.preprocessing,
            "n_judged": self.n_judged,
            "gain": None
            if self.gain is None
            else {**asdict(self.gain), "alone": _accuracy_to_json(self.gain.alone)},
            "objective": self.objective,
            "gap": self.gap,
            "seed": self.seed,
            "data_digest": self.data_digest,
            "n_images": self.n_images,
            "not_promoted_reason": self.not_promoted_reason,
            "not_promoted_message": self.not_promoted_message,
        }

    @classmethod
    def from_json(cls, fields: Json) -> Self:
        """Return the facts that `to_json` wrote.

        Raises:
            StorageCorrupt: a field is missing or of another type.
        """
        values = cast(dict[str, Any], fields)
        try:
            return cls(
                # Versions of before read one.
                taps=_taps([values["tap"]] if "tap" in values else values["taps"]),
                C=float(values["C"]),
                classes=tuple(str(label) for label in values["classes"]),
                accuracy=_accuracy(values["accuracy"]),
                naive=float(values["naive"]),
                trials=tuple(
                    LayerTrial(
                        layer=str(trial["layer"]),
                        depth=int(trial["depth"]),
                        accuracy=_accuracy(trial["accuracy"]),
                        C=float(trial["C"]),
                        is_chosen=bool(trial["is_chosen"]),
                        preprocessing=str(trial.get("preprocessing", NONE)),
                    )
                    for trial in values["trials"]
                ),
                objective=float(values["objective"]),
                gap=float(values["gap"]),
                seed=int(values["seed"]),
                data_digest=str(values["data_digest"]),
                n_images=int(values["n_images"]),
                preprocessing=str(values.get("preprocessing", NONE)),
                n_judged=int(values.get("n_judged", ALL_JUDGED)),
                gain=_gain(values.get("gain")),
                # Versions of before did not keep them.
                pooling_trials=tuple(map(_pooling_trial, values.get("pooling_trials", []))),
                # Versions of before were always promoted, or never.
                not_promoted_reason=str(values.get("not_promoted_reason", "")),
                not_promoted_message=str(values.get("not_promoted_message", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageCorrupt(f"the stored facts of a version are broken: {error!r}") from error

    @classmethod
    def of(cls, record: VersionRecord) -> Self | None:
        """Return the version's facts, None while it has none (it is not READY).

        Raises:
            StorageCorrupt: they cannot be read.
        """
        return None if record.result is None else cls.from_json(record.result)


def _accuracy_to_json(accuracy: Accuracy) -> dict[str, float]:
    return {"estimate": accuracy.estimate, "low": accuracy.low, "high": accuracy.high}


def _accuracy(fields: dict[str, Any]) -> Accuracy:
    return Accuracy(float(fields["estimate"]), float(fields["low"]), float(fields["high"]))


def _pooling_trial(fields: dict[str, Any]) -> PoolingTrial:
    return PoolingTrial(
        Pooling(PoolingKind(fields["pooling"]), float(fields["gem_p"])),
        _accuracy(fields["accuracy"]),
        float(fields["C"]),
        bool(fields["is_chosen"]),
        str(fields["preprocessing"]),
    )


def _gain(fields: dict[str, Any] | None) -> JoinedGain | None:
    if fields is None:
        return None
    return JoinedGain(
        _accuracy(fields["alone"]),
        float(fields["difference"]),
        float(fields["low"]),
        float(fields["high"]),
    )


def _taps(texts: list[str]) -> tuple[TapId, ...]:
    if not texts:
        raise ValueError("there are no taps")
    return tuple(map(TapId.from_json, texts))

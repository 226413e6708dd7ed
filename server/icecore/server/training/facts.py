"""What training found, typed: the reading of `VersionRecord.result`."""

from dataclasses import dataclass
from typing import Any, Final, Self, cast

from icecore.server.errors import StorageCorrupt
from icecore.server.storage.records import Json, VersionRecord
from icecore.server.training.trials import NONE, Accuracy, JoinedGain, LayerTrial, PoolingTrial
from icecore.wire.taps import TapId

ALL_JUDGED: Final = -1
"""Of versions trained before one could go on from another."""

NOT_COUNTED: Final = 0
"""Layers of versions where none was chosen, or trained before they were counted."""


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
    comparison; else "". `n_layers` there were to choose from, of which those without a trial fell
    out by a cheaper score. `pooling_trials` are those of the chosen layer, empty where its pooling
    was not to be chosen. `preprocessing` is what `icecore.probes.preprocessing` calls it.
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
    n_layers: int = NOT_COUNTED

    @property
    def digest(self) -> str:
        """Of the backbone that all taps are of."""
        return self.taps[0].digest

    def to_json(self) -> Json:
        return {
            "taps": [tap.to_json() for tap in self.taps],
            "C": self.C,
            "classes": list(self.classes),
            "accuracy": self.accuracy.to_json(),
            "naive": self.naive,
            "trials": [trial.to_json() for trial in self.trials],
            "pooling_trials": [trial.to_json() for trial in self.pooling_trials],
            "preprocessing": self.preprocessing,
            "n_judged": self.n_judged,
            "n_layers": self.n_layers,
            "gain": None if self.gain is None else self.gain.to_json(),
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
                accuracy=Accuracy.from_json(values["accuracy"]),
                naive=float(values["naive"]),
                trials=tuple(map(LayerTrial.from_json, values["trials"])),
                objective=float(values["objective"]),
                gap=float(values["gap"]),
                seed=int(values["seed"]),
                data_digest=str(values["data_digest"]),
                n_images=int(values["n_images"]),
                preprocessing=str(values.get("preprocessing", NONE)),
                n_judged=int(values.get("n_judged", ALL_JUDGED)),
                n_layers=int(values.get("n_layers", NOT_COUNTED)),
                gain=_gain(values.get("gain")),
                # Versions of before did not keep them.
                pooling_trials=tuple(map(PoolingTrial.from_json, values.get("pooling_trials", []))),
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


def _gain(fields: dict[str, Any] | None) -> JoinedGain | None:
    return None if fields is None else JoinedGain.from_json(fields)


def _taps(texts: list[str]) -> tuple[TapId, ...]:
    if not texts:
        raise ValueError("there are no taps")
    return tuple(map(TapId.from_json, texts))

"""The core of one backbone over one labelled set, and its file.

An .npz of `labels`, `ids` (path in the set's folder) and `sha` (SHA-256 of the file) as text,
`dNN` (n, d) float32, the average-pooled codes at depth NN; `nNN` the same before the
threshold, `logits` (n, k) where the network has them; and `meta`, JSON. No pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import platformdirs

FloatArray = npt.NDArray[np.float32]

CACHE = Path(platformdirs.user_cache_path("icecore")) / "bench-cores"
COMMAND = "python bench/science/cores.py"

LOGITS = "logits"
"""The name of their codes."""


class CoreMissing(Exception):
    """It has not been computed; the sentence says how it is."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer of a core; `params` and `macs` are of all that is needed up to it."""

    name: str
    depth: int
    channels: int
    height: int
    width: int
    stride: int
    params: int
    macs: int

    @property
    def key(self) -> str:
        """Return the name of its codes as trained."""
        return f"d{self.depth:02}"

    @property
    def linear_key(self) -> str:
        """Return the name of its codes before the threshold."""
        return f"n{self.depth:02}"


@dataclass(frozen=True, slots=True, eq=False)
class Core:
    """Codes of `n` images at every depth; `codes` reads an array when it is asked for one."""

    backbone: str
    digest: str
    set: str
    layers: tuple[LayerFacts, ...]
    labels: list[str]
    ids: list[str]
    sha: list[str]
    codes: Mapping[str, FloatArray]

    @classmethod
    def read(cls, cache: Path, backbone: str, set_name: str) -> Self:
        """Return what `write` wrote.

        Raises:
            CoreMissing: there is no such file.
        """
        path = path_of(cache, backbone, set_name)
        if not path.is_file():
            raise CoreMissing(
                f"the core of {backbone!r} over {set_name!r} is not in {str(cache)!r}; "
                f"'{COMMAND} --cache {cache} --network {backbone} --set {set_name}' computes it"
            )
        stored = np.load(path)
        meta = json.loads(str(stored["meta"]))
        return cls(
            backbone=meta["backbone"],
            digest=meta["digest"],
            set=meta["set"],
            layers=tuple(LayerFacts(**layer) for layer in meta["layers"]),
            labels=stored["labels"].tolist(),
            ids=stored["ids"].tolist(),
            sha=stored["sha"].tolist(),
            codes=stored,
        )

    def write(self, cache: Path) -> Path:
        """Write the file, whole or not at all, and return where it is."""
        path = path_of(cache, self.backbone, self.set)
        part = path.with_suffix(".part")
        cache.mkdir(parents=True, exist_ok=True)
        meta: dict[str, Any] = {
            "backbone": self.backbone,
            "digest": self.digest,
            "set": self.set,
            "layers": [asdict(layer) for layer in self.layers],
        }
        texts = {"labels": self.labels, "ids": self.ids, "sha": self.sha}
        with part.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                meta=np.array(json.dumps(meta)),
                **{name: np.array(values) for name, values in texts.items()},
                **self.codes,
            )
        part.replace(path)
        return path


def path_of(cache: Path, backbone: str, set_name: str) -> Path:
    """Return the file of a core."""
    return cache / f"{backbone}--{set_name}.npz"

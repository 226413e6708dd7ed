"""A version as it is compared: what it takes an image for, without having learned from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import ProbeFileInvalid
from icecore.probes.files import from_bytes
from icecore.probes.held_out import HeldOut
from icecore.probes.linear_probe import LinearProbe
from icecore.server.errors import StorageCorrupt, VersionNotComparable
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CodeArray, VersionRecord
from icecore.server.training.identities import identity_of
from icecore.server.training.opening import open_version
from icecore.server.training.predictor import side_by_side
from icecore.wire.taps import TapId

NO_ANSWER: Final = -1
UNKNOWN: Final = -2
"""Stands for a class that a version does not know: equal to none of its answers."""

_ROWS_AT_ONCE: Final = 4096
"""A probe works in float64: 40 MB of codes of 1,280 values."""


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A version, with the answers that its training kept."""

    version: int
    probe: LinearProbe
    taps: tuple[TapId, ...]
    held_out: HeldOut

    @classmethod
    def of(cls, version: int, taps: tuple[TapId, ...], file: bytes, held_out: bytes) -> Self:
        """Return what training just made."""
        return cls(version, from_bytes(file), taps, HeldOut.from_bytes(held_out))

    @classmethod
    def stored(cls, store: TenantStore, record: VersionRecord) -> Self:
        """Return a READY version.

        Raises:
            VersionNotComparable: it is of a time when held-out answers were not kept.
            StorageCorrupt: what is kept of it cannot be read.
        """
        probe, taps = open_version(store, record)
        kept = store.held_out_answers(record.probe_id, record.version)
        if kept is None:
            raise VersionNotComparable(
                f"version {record.version} of probe {record.probe_id!r} was trained by an icecore "
                "that did not keep what held-out images were taken for: train it again to compare"
            )
        try:
            held_out = HeldOut.from_bytes(kept)
        except ProbeFileInvalid as error:
            raise StorageCorrupt(str(error)) from error
        return cls(record.version, probe, taps, held_out)

    def answers(
        self,
        images: Sequence[str],
        rows: npt.NDArray[np.int64],
        codes: Mapping[TapId, CodeArray],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return (n,) the class each image is taken for, and where the version is new to it.

        A class is an index into its probe's, or NO_ANSWER. `images` are SHA-256s, and `rows`
        where they are in `codes`.
        """
        is_known, classes = self.held_out.answers(images)
        said = classes.astype(np.int64)
        new = np.flatnonzero(~is_known)
        if all(tap in codes for tap in self.taps):
            for start in range(0, len(new), _ROWS_AT_ONCE):
                some = new[start : start + _ROWS_AT_ONCE]
                values = side_by_side([codes[tap][rows[some]] for tap in self.taps])
                scores = self.probe.scores(values, tap=identity_of(self.taps))
                said[some] = scores.argmax(axis=1)
        return said, ~is_known

    def truth(self, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (n,) the class of each label, UNKNOWN where its probe has no such class."""
        index = {label: place for place, label in enumerate(self.probe.classes)}
        return np.array([index.get(label, UNKNOWN) for label in labels], np.int64)

"""The version that a training goes on from: what of it is kept, and where fitting starts."""

from dataclasses import dataclass

from icecore.probes.errors import ProbeFileInvalid
from icecore.probes.held_out import HeldOut
from icecore.server.backbones.backbone import Backbone
from icecore.server.errors import StorageCorrupt, TapMismatch, VersionNotFound
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CollectionRecord
from icecore.server.training.candidates import Candidates, candidates_of, check_bytes
from icecore.server.training.facts import VersionFacts
from icecore.server.training.opening import ready_version
from icecore.server.training.request import TrainRequest
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True)
class Base:
    """A READY version's choice, and its probe file."""

    probe_id: str
    version: int
    kind: str
    taps: tuple[TapId, ...]
    C: float
    file: bytes
    chosen_on: tuple[str, ...] | None
    """SHA-256 of the images that kind, layer and C were chosen on; None: it is not known."""

    @classmethod
    def of(cls, store: TenantStore, probe_id: str, version: int) -> "Base":
        """Return it as it is stored.

        Raises:
            ProbeNotFound, VersionNotFound, VersionNotReady.
            StorageCorrupt: it has no readable facts.
        """
        record = ready_version(store, probe_id, version)
        facts = VersionFacts.of(record)
        if facts is None:
            raise StorageCorrupt(f"version {version} of probe {probe_id!r} is READY without facts")
        file = store.probe_file(probe_id, version)
        kept = store.held_out_answers(probe_id, version)
        try:
            chosen_on = kept and HeldOut.from_bytes(kept).chosen_on(
                is_choice_kept=TrainRequest.from_json(record.request).base_version != 0
            )
        except ProbeFileInvalid as error:
            raise StorageCorrupt(str(error)) from error
        known = None if kept is None else tuple(chosen_on or ())
        return cls(probe_id, version, record.kind, facts.taps, facts.C, file, known)

    @classmethod
    def still(cls, store: TenantStore, probe_id: str, version: int) -> "Base":
        """As `of`, once a training has begun.

        Raises:
            VersionNotFound: it was deleted meanwhile.
            StorageCorrupt.
        """
        try:
            return cls.of(store, probe_id, version)
        except VersionNotFound as error:
            raise VersionNotFound(
                f"version {version} of probe {probe_id!r}, which this training goes on from, was "
                "deleted meanwhile"
            ) from error

    def candidates(self, backbone: Backbone, collection: CollectionRecord) -> Candidates:
        """Return what to read of a collection: this version's own tap, or its joined ones.

        Raises:
            TapMismatch: the collection is over another backbone.
            InvalidArgument: its codes would not fit in memory.
        """
        first = self.taps[0]
        if first.digest != backbone.digest:
            raise TapMismatch(
                f"version {self.version} of probe {self.probe_id!r} reads '{first}' (digest "
                f"{first.digest}), but collection {collection.collection_id!r} is over backbone "
                f"{backbone.name!r} (digest {backbone.digest}): train it without base_version"
            )
        taps = tuple(
            backbone.tap(backbone.layer_of(tap), activation=tap.activation, pooling=tap.pooling)
            for tap in self.taps
        )
        found = Candidates(taps, is_joined=len(taps) > 1)
        check_bytes(backbone, collection.n_examples, found)
        return found


def candidates_from(
    backbone: Backbone, collection: CollectionRecord, request: TrainRequest, base: Base | None
) -> Candidates:
    """Return what a training reads: what there is to choose from, or what its base reads.

    Raises: as `candidates_of`, or `Base.candidates`.
    """
    if base is not None:
        return base.candidates(backbone, collection)
    return candidates_of(backbone, collection, request)

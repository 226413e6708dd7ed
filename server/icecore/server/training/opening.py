"""Versions read from the store, with their probes."""

from icecore.probes.errors import ProbeFileInvalid
from icecore.probes.files import from_bytes
from icecore.probes.linear_probe import LinearProbe
from icecore.server.errors import ProbeNotPromoted, StorageCorrupt, VersionNotReady
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import VersionRecord, VersionState
from icecore.server.training.facts import VersionFacts
from icecore.server.training.identities import identity_of
from icecore.wire.taps import TapId

Opened = tuple[LinearProbe, tuple[TapId, ...]]
"""A probe, and the tap that it reads, or several joined."""


def ready_version(store: TenantStore, probe_id: str, version: int) -> VersionRecord:
    """Return a READY version; `version` 0 is the promoted one.

    Raises:
        ProbeNotFound, VersionNotFound, ProbeNotPromoted, VersionNotReady.
    """
    if not version:
        version = store.probe(probe_id).promoted_version
        if not version:
            raise ProbeNotPromoted(
                f"probe {probe_id!r} has no promoted version: promote one, or name a version"
            )
    record = store.probe_version(probe_id, version)
    if record.state is not VersionState.READY:
        raise VersionNotReady(
            f"version {version} of probe {probe_id!r} is {record.state.value!r}, not 'ready'"
        )
    return record


def open_version(store: TenantStore, record: VersionRecord) -> Opened:
    """Return a READY version's probe and the tap that it reads, or the joined ones.

    Raises:
        StorageCorrupt: its file cannot be read, or is another version's.
        ProbeNotFound, VersionNotFound: it was deleted meanwhile.
    """
    facts = VersionFacts.of(record)
    try:
        probe = from_bytes(store.probe_file(record.probe_id, record.version))
    except ProbeFileInvalid as error:
        raise StorageCorrupt(str(error)) from error
    if facts is None or probe.tap != identity_of(facts.taps):
        raise StorageCorrupt(
            f"version {record.version} of probe {record.probe_id!r} and its file are of "
            "different taps"
        )
    return probe, facts.taps

"""Which models a tenant has: every backbone, and each of its probes as `probe.NAME`.

A backbone has the one version 1; a probe's are those of its versions that are ready,
and the promoted one answers where none is named. A backbone whose name begins with
`probe.` cannot be reached here. Everything blocks: call it in a thread.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.errors import ProbeNotPromoted, StorageCorrupt, VersionNotFound, VersionNotReady
from icecore.server.rpc import arguments
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import ProbeRecord, VersionRecord, VersionState
from icecore.server.training.facts import VersionFacts

PROBE_PREFIX: Final = "probe."
BACKBONE_VERSION: Final = 1

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class ProbeVersion:
    """A version of a probe that is ready, with what training found."""

    kind: str
    facts: VersionFacts


@dataclass(frozen=True, slots=True)
class Model:
    """A model in one version, and which versions it has, in order.

    `backbone` is the network it runs: of a probe that of the digest it pins.
    """

    name: str
    version: int
    versions: tuple[int, ...]
    backbone: Backbone
    probe: ProbeVersion | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as the index and the statistics list it."""

    name: str
    version: int


class Models:
    """Finds the models of a tenant."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def find(self, tenant_id: str, name: str, version: str) -> Model:
        """Return the model; `version` "" is the one that answers where none is named.

        Raises:
            NameInvalid, BackboneNotFound, ProbeNotFound, ProbeNotPromoted: no such model.
            VersionNotFound, VersionNotReady: not in this version.
        """
        probe_id = probe_of(name)
        if probe_id is None:
            check_backbone_version(name, version)
            backbone = self._catalog.get(arguments.named("backbone", name))
            return Model(name, BACKBONE_VERSION, (BACKBONE_VERSION,), backbone)
        record = self._store.tenant(tenant_id).probe(probe_id)
        chosen = _chosen(record, probe_version(name, version))
        facts = VersionFacts.of(chosen)
        if facts is None:
            raise StorageCorrupt(f"version {chosen.version} of probe {probe_id!r} has no facts")
        return Model(
            name,
            chosen.version,
            tuple(sorted(one.version for one in record.versions if _is_ready(one))),
            self._catalog.by_digest(facts.digest),
            ProbeVersion(chosen.kind, facts),
        )

    def listed(self, tenant_id: str) -> list[Listed]:
        """Return all models of the tenant that answer: backbones, then promoted probes."""
        names = [one.name for one in self._catalog.backbones() if probe_of(one.name) is None]
        probes = [
            Listed(PROBE_PREFIX + one.probe_id, one.promoted_version)
            for one in _all_probes(self._store.tenant(tenant_id))
            if one.promoted_version
        ]
        return [*(Listed(name, BACKBONE_VERSION) for name in names), *probes]


def probe_of(name: str) -> str | None:
    """Return the id of the probe that a model of this name is, None if it is a backbone.

    Raises:
        NameInvalid: what follows the prefix cannot be an id.
    """
    if not name.startswith(PROBE_PREFIX):
        return None
    return arguments.named("probe", name.removeprefix(PROBE_PREFIX))


def check_backbone_version(name: str, version: str) -> None:
    """Raises VersionNotFound."""
    if version not in ("", str(BACKBONE_VERSION)):
        raise VersionNotFound(
            f"version {version[:40]!r} is not of model {name[:200]!r}: a backbone has only "
            f"{str(BACKBONE_VERSION)!r}"
        )


def probe_version(name: str, version: str) -> int:
    """Return the version's number, 0 where none is named.

    Raises:
        VersionNotFound: it is no number that a version can have.
    """
    if not version:
        return 0
    if not _NUMBER.fullmatch(version) or not int(version):
        raise VersionNotFound(
            f"version {version[:40]!r} is not of model {name[:200]!r}: versions of a probe are "
            "numbers from 1 on"
        )
    return int(version)


def _chosen(record: ProbeRecord, version: int) -> VersionRecord:
    wanted = version or record.promoted_version
    if not wanted:
        raise ProbeNotPromoted(
            f"probe {record.probe_id!r} has no promoted version: promote one, or name a version"
        )
    for one in record.versions:
        if one.version == wanted and _is_ready(one):
            return one
        if one.version == wanted:
            raise VersionNotReady(
                f"version {wanted} of probe {record.probe_id!r} is {one.state.value!r}, not 'ready'"
            )
    raise VersionNotFound(f"probe {record.probe_id!r} has no version {wanted}")


def _is_ready(version: VersionRecord) -> bool:
    return version.state is VersionState.READY


def _all_probes(store: TenantStore) -> Iterator[ProbeRecord]:
    after = ""
    while page := store.probes(after=after, limit=_PAGE):
        yield from page
        after = page[-1].probe_id

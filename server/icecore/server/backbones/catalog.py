"""The backbones of a store, read once and kept: shared by all tenants.

Blocking where it has to read or build; what was read is answered from memory.
"""

from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from threading import RLock

from icecore.server.backbones.backbone import Backbone, Card, digest
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import BackboneNotFound, Internal, StorageCorrupt
from icecore.server.storage.promise import Store
from icecore.server.storage.records import BackboneRecord


class Catalog:
    """Backbones by name and by digest. Thread-safe.

    Names are read from the store when first asked for, when one is not known,
    and on `refresh`; so a name that another process moves is seen after that.
    A digest always means the same backbone. `default_graph` is where the default's
    graph was built beforehand; without it the published weights must be installed.
    """

    def __init__(
        self,
        store: Store,
        *,
        default: str = efficientnet_lite0.NAME,
        default_graph: Path | None = None,
    ) -> None:
        self._store = store
        self._default_graph = default_graph
        self._default = default
        self._lock = RLock()
        self._by_digest: dict[str, Backbone] = {}
        self._names: dict[str, str] = {}

    def ensure_default(self) -> Backbone:
        """Return the default backbone; build and store EfficientNet-Lite0 where it is missing.

        Raises:
            Internal: its weights are not installed, or not what was published.
            BackboneNotFound: another default was named, which cannot be built.
        """
        with self._lock:
            self.refresh()
            if self._default == efficientnet_lite0.NAME and self._default not in self._names:
                built = _built(self._default_graph)
                self._store.put_backbone(_record(built), built.graph)
                self.refresh()
            return self.get()

    def refresh(self) -> None:
        """Read again which names there are, and what they point to."""
        with self._lock:
            self._names = {record.name: record.digest for record in self._store.backbones()}

    def backbones(self) -> list[Backbone]:
        """Return all that a name points to now, by name."""
        with self._lock:
            self.refresh()
            return [self._named(name) for name in sorted(self._names)]

    def get(self, name: str = "") -> Backbone:
        """Return the backbone of a name; of no name, the default.

        Raises:
            BackboneNotFound: no such name; the sentence has the near ones.
            StorageCorrupt: what is stored does not have the digest it was stored under.
        """
        wanted = name or self._default
        with self._lock:
            if wanted not in self._names:
                self.refresh()
            if wanted not in self._names:
                raise self._absent(wanted)
            return self._named(wanted)

    def by_digest(self, wanted: str) -> Backbone:
        """Return the backbone that a digest pins, also one that no name points to any more.

        Raises:
            BackboneNotFound: no such digest.
            StorageCorrupt: as `get`.
        """
        with self._lock:
            if wanted not in self._by_digest:
                self._by_digest[wanted] = self._read(self._store.backbone(wanted))
            return self._by_digest[wanted]

    def _named(self, name: str) -> Backbone:
        return self.by_digest(self._names[name])

    def _read(self, record: BackboneRecord) -> Backbone:
        graph = self._store.backbone_graph(record.digest)
        recipe = Recipe.from_json(record.recipe)
        found = digest(graph, recipe)
        if found != record.digest:
            raise StorageCorrupt(
                f"backbone {record.name!r} was stored under digest {record.digest}, "
                f"but what is there has {found}"
            )
        return Backbone.read(
            record.name,
            graph,
            recipe,
            Card.from_json(record.card),
            create_time=record.create_time,
            is_default=record.name == self._default,
        )

    def _absent(self, name: str) -> BackboneNotFound:
        shown = name if len(name) <= 80 else name[:80] + "…"
        there = sorted(self._names)
        near = get_close_matches(shown, there, n=3, cutoff=0.5) or there[:3]
        hint = f"there is {', '.join(map(repr, near))}" if near else "there is none at all"
        return BackboneNotFound(f"backbone {shown!r} is not on this server: {hint}")


def _built(path: Path | None) -> Backbone:
    """EfficientNet-Lite0: as it was built into a file, or from its published weights."""
    try:
        if path is not None:
            graph = path.read_bytes()
        else:
            graph = efficientnet_lite0.build(efficientnet_lite0.read_weights())
    except (ArchiveInvalid, OSError) as error:
        raise Internal(
            f"the default backbone {efficientnet_lite0.NAME!r} cannot be built: {error}"
        ) from error
    return Backbone.read(
        efficientnet_lite0.NAME,
        graph,
        efficientnet_lite0.RECIPE,
        efficientnet_lite0.CARD,
        create_time=datetime.now(UTC),
    )


def _record(backbone: Backbone) -> BackboneRecord:
    return BackboneRecord(
        name=backbone.name,
        digest=backbone.digest,
        recipe=backbone.recipe.to_json(),
        card=backbone.card.to_json(),
        create_time=backbone.create_time,
    )

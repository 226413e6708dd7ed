"""The backbones of a store: their layers read once and kept, shared by all tenants.

Blocking where it has to read or build; what was read is answered from memory.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from threading import RLock

from icecore.server.backbones import as_stored
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.default import build_default
from icecore.server.backbones.facts import Facts
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import BackboneInUse, BackboneNotFound
from icecore.server.storage.promise import Store
from icecore.server.storage.records import BackboneRecord, Mutation


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
        self._kept: dict[str, Future[Backbone]] = {}
        self._views: dict[tuple[str, str], Backbone] = {}
        self._names: dict[str, str] = {}
        self._forget: Callable[[str], object] = lambda _: None

    def when_gone(self, forget: Callable[[str], object]) -> None:
        """Call this with each digest that was known and is not in the store any more."""
        self._forget = forget

    def ensure_default(self) -> Backbone:
        """Return the default backbone; build and store EfficientNet-Lite0 where it is missing.

        Raises:
            Internal: its weights are not installed, or not what was published.
            BackboneNotFound: another default was named, which cannot be built.
        """
        self.refresh()
        if self._default == efficientnet_lite0.NAME and self._default not in self._names:
            built = build_default(self._default_graph)
            self._store.put_backbone(as_stored.to_record(built), built.graph)
            self.refresh()
        return self.get()

    def refresh(self) -> None:
        """Read again which names there are and what they point to, and forget what is gone."""
        with self._lock:
            self._names = {record.name: record.digest for record in self._store.backbones()}
            there = set(self._store.backbone_digests())
            self._views.clear()
            gone = [one for one in self._kept if one not in there]
            for one in gone:
                del self._kept[one]
        for one in gone:
            self._forget(one)

    def backbones(self) -> list[Backbone]:
        """Return all that a name points to now, by name."""
        self.refresh()
        found = []
        for name, pointed in sorted(self._names.items()):
            try:
                found.append(self._view(pointed, name))
            except BackboneNotFound:  # removed since
                continue
        return found

    def get(self, name: str = "") -> Backbone:
        """Return the backbone of a name; of no name, the default.

        Raises:
            BackboneNotFound: no such name; the sentence has the near ones.
            StorageCorrupt: what is stored does not have the digest it was stored under.
        """
        wanted = name or self._default
        if wanted not in self._names:
            self.refresh()
        while (pointed := self._names.get(wanted)) is not None:
            try:
                return self._view(pointed, wanted)
            except BackboneNotFound:  # replaced since names were read
                self.refresh()
                if self._names.get(wanted) == pointed:
                    raise
        raise self._absent(wanted)

    def at_hand(self, name: str = "") -> Backbone | None:
        """Return what `get` would, if that takes no waiting; else None."""
        pointed = self._names.get(name or self._default)
        future = None if pointed is None else self._kept.get(pointed)
        if pointed is None or future is None or not future.done() or future.exception():
            return None
        return self._named(future.result(), name or self._default)

    def by_digest(self, wanted: str) -> Backbone:
        """Return the backbone that a digest pins, also one that no name points to any more.

        Raises:
            BackboneNotFound: no such digest.
            StorageCorrupt: as `get`.
        """
        first = self._once(wanted).name
        pointing = sorted(name for name, pointed in self._names.items() if pointed == wanted)
        return self._view(wanted, first if first in pointing or not pointing else pointing[0])

    def add(
        self,
        name: str,
        graph: bytes,
        recipe: Recipe,
        card: Card,
        facts: Facts,
        *,
        mutation: Mutation | None = None,
    ) -> Backbone:
        """Store a backbone and let the name point to it; return it once that is durable.

        A digest that is there already keeps its time and its facts, and takes the card.
        Anybody's calls by that name use the new one from then on; what pins an
        old digest goes on with that.

        Raises:
            GraphInvalid, RecipeInvalid: as `Backbone.read`.
            RequestIdReused, StorageFull: as the store.
        """
        read = Backbone.read(name, graph, recipe, card, facts=facts)
        record = self._store.put_backbone(as_stored.to_record(read), graph, mutation=mutation)
        if record.digest == read.digest:
            self._keep(as_stored.light(self._store, read, self._store.backbone(read.digest)))
        self.refresh()
        return self._told(record)

    def added_before(self, mutation: Mutation) -> Backbone | None:
        """Return what `add` returned under this mutation before; None if it did not.

        Raises:
            RequestIdReused: it was used for something else.
        """
        record = self._store.backbone_added_before(mutation)
        return None if record is None else self._told(record)

    def remove(self, name: str, *, mutation: Mutation | None = None) -> None:
        """Take the name away, and really delete the backbone if it was its last one.

        Raises:
            BackboneNotFound: as `get`.
            BackboneInUse: pinned, or the default one.
            RequestIdReused, StorageFull: as the store.
        """
        if name == self._default:
            raise BackboneInUse(
                f"backbone {name!r} is the default, which calls that name no backbone use: it can "
                "be replaced by adding another under its name, but not removed"
            )
        try:
            self._store.remove_backbone(name, mutation=mutation)
        except BackboneNotFound as error:
            self.refresh()
            raise self._absent(name) from error
        self.refresh()

    def _view(self, wanted: str, name: str) -> Backbone:
        """The backbone of a digest as it is under one of its names."""
        return self._named(self._once(wanted), name)

    def _named(self, found: Backbone, name: str) -> Backbone:
        is_default = name == self._default and self._names.get(name) == found.digest
        if (found.name, found.is_default) == (name, is_default):
            return found
        with self._lock:
            view = self._views.get((found.digest, name))
            if view is None or view.is_default != is_default:
                view = replace(found, name=name, is_default=is_default)
                self._views[found.digest, name] = view
            return view

    def _once(self, wanted: str) -> Backbone:
        """The backbone of a digest, read by one thread while others wait for it."""
        with self._lock:
            future = self._kept.get(wanted)
            if future is None:
                mine: Future[Backbone] = Future()
                self._kept[wanted] = mine
        if future is not None:
            return future.result()
        try:
            mine.set_result(as_stored.read(self._store, wanted))
        except BaseException as error:
            with self._lock:
                self._kept.pop(wanted, None)
            mine.set_exception(error)
            raise
        return mine.result()

    def _keep(self, backbone: Backbone) -> None:
        kept: Future[Backbone] = Future()
        kept.set_result(backbone)
        with self._lock:
            self._kept[backbone.digest] = kept

    def _told(self, record: BackboneRecord) -> Backbone:
        """The backbone as a record, an earlier answer perhaps, tells of it."""
        view = self._view(record.digest, record.name)
        return replace(view, card=Card.from_json(record.card))

    def _absent(self, name: str) -> BackboneNotFound:
        shown = name if len(name) <= 80 else name[:80] + "…"
        there = sorted(self._names)
        near = get_close_matches(shown, there, n=3, cutoff=0.5) or there[:3]
        more = f" and {len(there) - len(near)} more" if len(there) > len(near) else ""
        hint = f"there is {', '.join(map(repr, near))}{more}" if near else "there is none at all"
        return BackboneNotFound(f"backbone {shown!r} is not on this server: {hint}")

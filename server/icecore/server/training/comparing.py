"""Two versions judged on the same labelled images, by answers that learned from none.

Of a version that was trained on an image, the answer is that of the outer fold that held
it out, as the store kept it; of another, that of its weights on the collection's codes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from icecore.probes.comparing import Answers, Comparison, compare
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.errors import ImagesNotKept, VersionNotComparable
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CodeArray, CollectionRecord, ExampleRecord
from icecore.server.training.contender import NO_ANSWER, Contender
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True)
class Compared:
    """What a collection's images say of two versions of a probe.

    `n_left_out` labelled images were not judged, since a version has no answer for them:
    it was trained on them and they were in no fold, or it reads codes that the collection
    does not have. `shared` is of the judged images whose label is a class of both versions,
    and None where there are none or the classes are the same.
    """

    probe_id: str
    version_a: int
    version_b: int
    collection_id: str
    n_left_out: int
    found: Comparison
    classes_only_in_a: tuple[str, ...]
    classes_only_in_b: tuple[str, ...]
    shared: Comparison | None


class Comparer:
    """Compares versions, for each tenant one pair at a time: it holds a collection's codes."""

    def __init__(self, catalog: Catalog, collection_codes: CollectionCodes) -> None:
        self._catalog = catalog
        self._collection_codes = collection_codes
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def compare(
        self,
        store: TenantStore,
        probe_id: str,
        a: Contender,
        b: Contender,
        collection_id: str,
    ) -> Compared:
        """Return how both do on the collection's labelled images, as they are now.

        Raises:
            CollectionNotFound, StorageCorrupt: as `CollectionCodes.read`.
            PoolingInvalid: codes that must be computed for it are too many.
            VersionNotComparable: no labelled image that both have an answer for.
        """
        turn = self._turns.setdefault(store.tenant_id, asyncio.Lock())
        async with turn:
            collection = await asyncio.to_thread(store.collection, collection_id)
            looked = await asyncio.to_thread(store.snapshot, collection_id)
            taps = [
                tap
                for one in (a, b)
                if _any_new(one, looked.examples) and await self._has_codes(collection, one.taps)
                for tap in one.taps
            ]
            snapshot = await self._collection_codes.read(
                store, collection_id, taps, number=collection.number
            )
            return await asyncio.to_thread(
                _judged, probe_id, a, b, collection_id, snapshot.examples, snapshot.codes
            )

    async def _has_codes(self, collection: CollectionRecord, taps: Sequence[TapId]) -> bool:
        if taps[0].digest != collection.digest:
            return False
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        try:
            self._collection_codes.check(collection, backbone, taps)
        except ImagesNotKept:
            return False
        return True


def _any_new(one: Contender, examples: Sequence[ExampleRecord]) -> bool:
    is_known, _ = one.held_out.answers([x.image_sha256 for x in examples if x.label])
    return not bool(is_known.all())


def _judged(
    probe_id: str,
    a: Contender,
    b: Contender,
    collection_id: str,
    examples: Sequence[ExampleRecord],
    codes: Mapping[TapId, CodeArray],
) -> Compared:
    rows = np.array([row for row, example in enumerate(examples) if example.label], np.int64)
    labelled = [examples[row] for row in rows]
    images = [example.image_sha256 for example in labelled]
    labels = [example.label for example in labelled]
    (said_a, new_a), (said_b, new_b) = (one.answers(images, rows, codes) for one in (a, b))
    judged = (said_a != NO_ANSWER) & (said_b != NO_ANSWER)
    if not judged.any():
        raise VersionNotComparable(
            f"collection {collection_id!r} has {len(rows):,} labelled images, but none that both "
            f"version {a.version} and version {b.version} of probe {probe_id!r} can be judged on: "
            "a version that was gone on from another is judged by images new to it only. Train "
            "without base_version, or add images"
        )
    groups = np.unique(np.array(images), return_inverse=True)[1]
    right_a, right_b = said_a == a.truth(labels), said_b == b.truth(labels)

    def compared_on(some: npt.NDArray[np.bool_]) -> Comparison:
        return compare(
            Answers(right_a[some], new_a[some], a.held_out.n_folds),
            Answers(right_b[some], new_b[some], b.held_out.n_folds),
            groups[some],
        )

    found = compared_on(judged)
    if a.probe == b.probe and np.array_equal(said_a, said_b):
        found = replace(found, low=0.0, high=0.0)  # one probe, trained twice, is as good as itself
    classes_a, classes_b = set(a.probe.classes), set(b.probe.classes)
    both = classes_a & classes_b
    of_both = judged & np.array([label in both for label in labels], np.bool_)
    return Compared(
        probe_id,
        a.version,
        b.version,
        collection_id,
        int(np.count_nonzero(~judged)),
        found,
        tuple(sorted(classes_a - classes_b)),
        tuple(sorted(classes_b - classes_a)),
        compared_on(of_both) if classes_a != classes_b and of_both.any() else None,
    )

"""Labels for images or codes, by a stored version's weights and numpy alone."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import cast

import numpy as np

from icecore.probes.linear_probe import LinearProbe, Predictions
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.embedder import Embedder, Priority, Timings
from icecore.server.embedding.images import ImageInput
from icecore.server.errors import CodesInvalid, TapMismatch
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import VersionRecord
from icecore.server.training.identities import identity_of
from icecore.server.training.opening import Opened, open_version, ready_version
from icecore.wire.codes import CodeArray, Codes
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What a version says of some images, in their order.

    `predictions` has labels (n), probability (n,) or None, and scores (n, k) with one
    column a class in the order of `classes`. `taps` are the version's own.
    """

    predictions: Predictions
    classes: tuple[str, ...]
    probe_id: str
    version: int
    taps: tuple[TapId, ...]
    timings: Timings


class Predictor:
    """Applies versions; keeps the `max_probes` used last.

    What is kept belongs to a tenant, and to the very file it was read from.
    """

    def __init__(self, catalog: Catalog, embedder: Embedder, *, max_probes: int = 256) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._max_probes = max_probes
        self._probes: OrderedDict[tuple[str, str, int, str], Opened] = OrderedDict()
        self._n_forgotten = 0

    async def predict(
        self,
        store: TenantStore,
        probe_id: str,
        version: int,
        given: Sequence[ImageInput] | Codes,
        *,
        priority: Priority = Priority.INTERACTIVE,
        deadline: float | None = None,
    ) -> Predicted:
        """Return what the version says; `version` 0 is the promoted one.

        Images go through the network of the digest that the version pins, with
        `priority` and `deadline` as in `Embedder.embed`.

        Raises:
            ProbeNotFound, VersionNotFound, ProbeNotPromoted, VersionNotReady.
            TapMismatch: codes of another tap; the sentence names both.
            CodesInvalid: no codes, or not as many values as the tap has.
            ImagesEmpty and the others of `Embedder.embed`.
        """
        began = perf_counter()
        record = await asyncio.to_thread(ready_version, store, probe_id, version)
        probe, taps = await self._opened(store, record)
        if isinstance(given, Codes):
            values, timings = _checked(given, probe, taps, record), Timings(0.0, 0.0, 0.0, 0.0)
        else:
            backbone = await asyncio.to_thread(self._catalog.by_digest, taps[0].digest)
            embedded = await self._embedder.embed(
                backbone,
                taps,
                given,
                tenant_id=store.tenant_id,
                priority=priority,
                deadline=deadline,
                is_cached=True,
            )
            values, timings = side_by_side(embedded.codes), embedded.timings
        applying = perf_counter()
        predictions = await asyncio.to_thread(probe.predict, values, tap=identity_of(taps))
        ended = perf_counter()
        return Predicted(
            predictions=predictions,
            classes=probe.classes,
            probe_id=record.probe_id,
            version=record.version,
            taps=taps,
            timings=replace(
                timings,
                compute_ms=timings.compute_ms + (ended - applying) * 1e3,
                total_ms=(ended - began) * 1e3,
            ),
        )

    def forget(self, tenant_id: str, probe_id: str | None = None) -> None:
        """Drop what is kept of a tenant, or of one of its probes, after it was deleted."""
        self._n_forgotten += 1
        for key in list(self._probes):
            if key[0] == tenant_id and probe_id in (None, key[1]):
                del self._probes[key]

    async def _opened(self, store: TenantStore, record: VersionRecord) -> Opened:
        key = (store.tenant_id, record.probe_id, record.version, record.file_digest)
        known = self._probes.get(key)
        if known is not None:
            self._probes.move_to_end(key)
            return known
        n_forgotten = self._n_forgotten
        known = await asyncio.to_thread(open_version, store, record)
        if n_forgotten == self._n_forgotten:  # nothing was deleted meanwhile
            self._probes[key] = known
            while len(self._probes) > self._max_probes:
                self._probes.popitem(last=False)
        return known


def side_by_side(codes: Sequence[CodeArray]) -> CodeArray:
    """Return the codes (n, d of all) of some images at one tap or more, whole maps flattened."""
    flat = [each.reshape(len(each), -1) for each in codes]
    if len(flat) == 1:
        return flat[0]
    return cast(CodeArray, np.concatenate(flat, axis=1))


def _checked(
    codes: Codes, probe: LinearProbe, taps: Sequence[TapId], record: VersionRecord
) -> CodeArray:
    if len(taps) > 1:
        raise TapMismatch(
            f"codes of tap '{codes.tap}' were given to version {record.version} of probe "
            f"{record.probe_id!r}, which reads {len(taps)} layers together: send images",
            given=str(codes.tap),
            wanted=" + ".join(map(str, taps)),
        )
    (tap,) = taps
    if codes.tap != tap:
        raise TapMismatch(
            f"codes of tap '{codes.tap}' were given to version {record.version} of probe "
            f"{record.probe_id!r}, which was trained on those of tap '{tap}'",
            given=str(codes.tap),
            wanted=str(tap),
        )
    if not len(codes):
        raise CodesInvalid("there are no codes; those of one image or more are needed")
    if codes.dims != probe.d:
        raise CodesInvalid(
            f"codes have {codes.dims} values an image, but tap '{tap}' has {probe.d}"
        )
    return codes.values.reshape(len(codes), -1)

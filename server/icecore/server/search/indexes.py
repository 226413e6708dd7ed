"""Indexes as searches want them: kept, or built once for all who wait for the same one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

from icecore.server.search.building import Building
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.index_cache import IndexCache, Place
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.tenant_pool import TenantPool
from icecore.server.storage.records import CodeArray, ExampleRecord

Load: TypeAlias = Callable[[], Awaitable[tuple[int, Sequence[ExampleRecord], CodeArray]]]


class Indexes:
    """Keeps up to `max_bytes` of them, and has at most one of a place built at a time.

    An index that is being made outlives the callers who wait for it and is kept for the
    next. One that still waits for its turn, or for codes to be computed, is given up with
    the last of them: else callers who leave would have work done that nobody wants.
    """

    def __init__(self, pool: TenantPool, *, max_bytes: int, apart_bytes: int) -> None:
        self._pool = pool
        self._cache = IndexCache(max_bytes=max_bytes)
        self._building = Building()
        self._apart_bytes = apart_bytes
        self._builds: dict[Place, _Build] = {}

    async def get(
        self, place: Place, sequence: int, load: Load, stored: StoredCodes | None
    ) -> Indexed:
        """Return an index at least as new as `sequence`; of nothing deleted before the call.

        Raises: as `load` and `Building` do.
        """
        while True:
            kept = self._cache.get(place, sequence=sequence)
            if kept is not None:
                return kept
            build = self._builds.get(place)
            if build is None:
                return await self._waited_for(self._begin(place, load, stored))
            was_forgotten = build.is_forgotten
            indexed = await self._waited_for(build)
            if indexed.sequence >= sequence and not was_forgotten:
                return indexed
            # A task that has ended is waited for without a turn of the loop, in which alone
            # its end is told.
            self._drop(build)

    def forget(self, tenant_id: str, collection_id: str | None = None) -> None:
        """Drop what is kept of a tenant, or of one of its collections."""
        self._cache.forget(tenant_id, collection_id)
        for place, build in self._builds.items():
            if place.is_of(tenant_id, collection_id):
                build.is_forgotten = True

    def close(self) -> None:
        """End the process that builds. Idempotent."""
        self._building.close()

    def _begin(self, place: Place, load: Load, stored: StoredCodes | None) -> "_Build":
        build = self._builds[place] = _Build(place, load)
        build.task = asyncio.create_task(self._made(build, stored))
        build.task.add_done_callback(partial(self._ended, build))
        return build

    async def _waited_for(self, build: "_Build") -> Indexed:
        build.n_waiting += 1
        try:
            return await asyncio.shield(build.task)
        finally:
            build.n_waiting -= 1
            if not build.n_waiting and not build.has_begun and not build.task.done():
                build.task.cancel()
                self._drop(build)

    def _ended(self, build: "_Build", task: "asyncio.Task[Indexed]") -> None:
        self._drop(build)
        if task.cancelled() or task.exception() is not None:  # seen: those who wait raise it
            return
        if not build.is_forgotten:  # nothing of it was deleted meanwhile
            self._cache.put(build.place, task.result())

    def _drop(self, build: "_Build") -> None:
        if self._builds.get(build.place) is build:
            del self._builds[build.place]

    async def _made(self, build: "_Build", stored: StoredCodes | None) -> Indexed:
        tenant_id, is_cosine = build.place.tenant_id, build.place.is_cosine
        if stored is not None and stored.n_bytes >= self._apart_bytes:
            return await self._building.from_store(
                stored, is_cosine=is_cosine, tenant_id=tenant_id, when_begun=build.begin
            )
        sequence, examples, codes = await build.load()
        if codes.nbytes >= self._apart_bytes:
            index = await self._building.from_codes(
                codes, is_cosine=is_cosine, tenant_id=tenant_id, when_begun=build.begin
            )
        else:
            make = partial(ExactIndex, codes, is_cosine=is_cosine)
            index = await self._pool.run(tenant_id, make, when_begun=build.begin)
        return Indexed(sequence, examples, index)


class _Build:
    """`is_forgotten`: what is being made must not be kept."""

    task: "asyncio.Task[Indexed]"

    def __init__(self, place: Place, load: Load) -> None:
        self.place = place
        self.load = load
        self.n_waiting = 0
        self.has_begun = False
        self.is_forgotten = False

    def begin(self) -> None:
        self.has_begun = True

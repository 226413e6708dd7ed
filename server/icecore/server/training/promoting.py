"""Promotion of a version that must not be worse than the one promoted now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from icecore.server.errors import (
    IcecoreError,
    Internal,
    ProbeNotFound,
    PromotionConflict,
    ShuttingDown,
    TenantNotFound,
    VersionWorse,
)
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import Mutation, ProbeRecord, VersionRecord
from icecore.server.training.comparing import Compared, Comparer
from icecore.server.training.contender import Contender
from icecore.server.training.opening import ready_version
from icecore.server.training.request import check_margin

LOG = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often a new version is compared anew because another was promoted meanwhile."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version is promoted, and in place of which (0: of none; None: of any).

    `reason` and `message` say why not, where that hung on a comparison.
    """

    promote: bool
    in_place_of: int | None = None
    reason: str = ""
    message: str = ""


def check_not_worse(compared: Compared, margin: float) -> None:
    """Refuse b unless the interval of its accuracy minus a's begins at -margin or above.

    Raises:
        VersionWorse: as said; the sentence has the figures.
    """
    found = compared.found
    if found.low >= -margin:
        return
    few = "" if found.difference < -margin else "; more labelled images would make it narrower"
    raise VersionWorse(
        f"version {compared.version_b} of probe {compared.probe_id!r} may be worse than version "
        f"{compared.version_a}, which is promoted: its accuracy minus that one's is "
        f"{100 * found.difference:+.1f} points on {found.n_images:,} images (95 % interval "
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}), and the interval may not go below "
        f"{-100 * margin:g}{few}",
        promoted_version=str(compared.version_a),
    )


async def promote(
    store: TenantStore,
    comparer: Comparer,
    probe_id: str,
    version: int,
    *,
    not_worse_by: float | None,
    expected_version: int | None,
    mutation: Mutation | None,
) -> ProbeRecord:
    """Promote a version; with `not_worse_by` (0..1) only if `check_not_worse` lets it pass.

    It is compared on the images of its own collection, and takes the place of the very
    version that it was compared with.

    Raises:
        InvalidArgument: `not_worse_by` is no accuracy.
        ProbeNotFound, VersionNotFound, VersionNotReady, PromotionConflict, RequestIdReused.
        VersionWorse, VersionNotComparable, and others of `Comparer.compare`.
    """
    if not_worse_by is not None:
        check_margin("not_worse_by", not_worse_by)
        if mutation is not None:
            before = await asyncio.to_thread(store.promoted_before, mutation)
            if before is not None:
                return before
        record = await asyncio.to_thread(ready_version, store, probe_id, version)
        current = (await asyncio.to_thread(store.probe, probe_id)).promoted_version
        if expected_version in (None, current):
            if current not in (0, version):
                new = await asyncio.to_thread(Contender.stored, store, record)
                await _compared(
                    store, comparer, probe_id, current, new, record.collection_id, not_worse_by
                )
            expected_version = current
    return await asyncio.to_thread(
        store.promote_version,
        probe_id,
        version,
        expected_version=expected_version,
        mutation=mutation,
    )


async def finish(
    store: TenantStore,
    comparer: Comparer,
    probe_id: str,
    new: Contender,
    collection_id: str,
    not_worse_by: float,
    commit: Callable[[Decision], Awaitable[VersionRecord]],
) -> VersionRecord:
    """Let a version that was just trained be READY, and promoted if it is not worse.

    `commit` makes it READY as decided. What keeps it from being compared keeps it from
    being promoted, and is told with it.

    Raises:
        ShuttingDown, TenantNotFound, ProbeNotFound: and others of `commit`.
    """
    decision = Decision(promote=False)
    for _ in range(ATTEMPTS):
        decision = await _decided(store, comparer, probe_id, new, collection_id, not_worse_by)
        try:
            return await commit(decision)
        except PromotionConflict as error:  # compared with one that is not promoted any more
            decision = Decision(promote=False, reason=str(error.reason), message=error.message)
    return await commit(decision)


async def _decided(
    store: TenantStore,
    comparer: Comparer,
    probe_id: str,
    new: Contender,
    collection_id: str,
    not_worse_by: float,
) -> Decision:
    try:
        current = (await asyncio.to_thread(store.probe, probe_id)).promoted_version
        if current:
            await _compared(store, comparer, probe_id, current, new, collection_id, not_worse_by)
        return Decision(promote=True, in_place_of=current)
    except (ShuttingDown, TenantNotFound, ProbeNotFound):
        raise
    except Internal as error:
        LOG.exception("version %d of probe %r could not be compared", new.version, probe_id)
        message = "it could not be compared with the promoted one; the server's log says more"
        return Decision(promote=False, reason=str(error.reason), message=message)
    except IcecoreError as error:
        return Decision(promote=False, reason=str(error.reason), message=error.message)


async def _compared(
    store: TenantStore,
    comparer: Comparer,
    probe_id: str,
    current: int,
    new: Contender,
    collection_id: str,
    not_worse_by: float,
) -> None:
    record = await asyncio.to_thread(ready_version, store, probe_id, current)
    old = await asyncio.to_thread(Contender.stored, store, record)
    compared = await comparer.compare(store, probe_id, old, new, collection_id)
    check_not_worse(compared, not_worse_by)

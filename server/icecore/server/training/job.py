"""A version in training, and what those who train it work with."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.storage.promise import Store
from icecore.server.storage.records import VersionRecord
from icecore.server.training.comparing import Comparer
from icecore.server.training.progress import Feed, Progress
from icecore.server.training.workers import Workers

_SHARES: Final = {"codes": (0.0, 0.3), "choosing": (0.3, 0.67), "fitting": (0.3, 0.67)}
"""Where a stage begins and how much of the whole it is; the worker's two are one work."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every job uses."""

    store: Store
    catalog: Catalog
    collection_codes: CollectionCodes
    comparer: Comparer
    workers: Workers


@dataclass(slots=True, eq=False)
class Job:
    """A version in training: `record` as it was when it began."""

    tenant_id: str
    record: VersionRecord
    feed: Feed = field(init=False)
    task: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self.feed = Feed(Progress(self.record, "waiting", 0.0))

    @property
    def key(self) -> tuple[str, str, int]:
        return self.tenant_id, self.record.probe_id, self.record.version

    def is_of(self, record: VersionRecord) -> bool:
        """Whether the record is this very version, not a later probe's of the same name."""
        return (
            self.record.probe_id == record.probe_id
            and self.record.version == record.version
            and self.record.create_time == record.create_time
        )

    def tell(self, stage: str, fraction: float = 1.0) -> None:
        """Publish a stage; `fraction` is of the stage."""
        begin, share = _SHARES.get(stage, (0.97, 0.0))
        self.feed.publish(Progress(self.record, stage, begin + share * min(max(fraction, 0), 1)))

    def end(self, record: VersionRecord) -> None:
        self.feed.publish(Progress(record, "done", 1.0))

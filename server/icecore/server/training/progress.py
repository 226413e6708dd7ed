"""How far a training is, told to any number of watchers.

A feed keeps the latest state only: a slow watcher skips states and is never
owed any, so one that stops reading costs nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from icecore.server.storage.records import VersionRecord, VersionState

STAGES: Final = ("waiting", "codes", "choosing", "fitting", "storing", "done")


@dataclass(frozen=True, slots=True)
class Progress:
    """A version at one moment; `stage` is one of STAGES, `progress` 0..1 over the whole job."""

    version: VersionRecord
    stage: str
    progress: float

    @property
    def is_last(self) -> bool:
        return self.version.state is not VersionState.TRAINING


class Feed:
    """The latest progress of one job. Lives on one event loop."""

    def __init__(self, first: Progress) -> None:
        self._latest = first
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    @property
    def latest(self) -> Progress:
        return self._latest

    def publish(self, progress: Progress) -> None:
        """Tell all watchers; nothing after the last one is told."""
        if self._latest.is_last or self._error is not None or progress == self._latest:
            return
        self._latest = progress
        self._wake()

    def fail(self, error: Exception) -> None:
        """End all watches with this error."""
        if self._latest.is_last or self._error is not None:
            return
        self._error = error
        self._wake()

    async def follow(self) -> AsyncGenerator[Progress, None]:
        """Yield the progress now, then each change, the end state last.

        Raises:
            Exception: what `fail` was given.
        """
        while True:
            if self._error is not None:
                raise self._error
            latest, changed = self._latest, self._changed
            yield latest
            if latest.is_last:
                return
            if latest is self._latest and self._error is None:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

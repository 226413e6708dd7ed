"""Many things in order, in batches that one message can hold."""

from collections.abc import Callable
from typing import Generic, TypeVar

from icecore.client.errors import InvalidArgument

T = TypeVar("T")

MAX_BATCH_BYTES = 16 << 20
"""A quarter of the server's default message limit."""

MAX_IN_FLIGHT = 4
"""Batches sent and not answered: one computed, one decoded, one on the way, one being read."""


class Batcher(Generic[T]):
    """Fills one batch after another; both clients push into it."""

    def __init__(
        self,
        bytes_of: Callable[[T], int],
        *,
        batch_size: int,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        """Take `batch_size`, the most things a batch, and the most bytes.

        Raises:
            InvalidArgument: less than one.
        """
        if batch_size < 1:
            raise InvalidArgument(f"batch_size is {batch_size!r}, but must be at least 1")
        self._bytes_of = bytes_of
        self._batch_size = batch_size
        self._max_bytes = max_bytes
        self._batch: list[T] = []
        self._n_bytes = 0

    def push(self, thing: T) -> list[list[T]]:
        """Return the batches that are full with this thing, which may be none, one or two.

        One thing alone above `max_bytes` is a batch of its own.
        """
        full = []
        size = self._bytes_of(thing)
        if self._batch and self._n_bytes + size > self._max_bytes:
            full.append(self.rest())
        self._batch.append(thing)
        self._n_bytes += size
        if len(self._batch) == self._batch_size or self._n_bytes >= self._max_bytes:
            full.append(self.rest())
        return full

    def rest(self) -> list[T]:
        """Return what is left, and begin anew."""
        batch, self._batch, self._n_bytes = self._batch, [], 0
        return batch

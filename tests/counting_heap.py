"""Heap steps counted, since how long they take says nothing on a busy machine."""

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from icecore.server.embedding.scheduling import shares


class CountingHeap:
    """Counts what `shares` asks of its heaps, and how large they get."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_steps = 0
        self.largest = 0
        for name in ("heappush", "heappop"):
            monkeypatch.setattr(shares, name, self._counting(getattr(heapq, name)))

    def _counting(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def counted(heap: list[Any], *place: Any) -> Any:
            self.n_steps += 1
            self.largest = max(self.largest, len(heap))
            return act(heap, *place)

        return counted

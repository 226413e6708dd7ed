"""What is said while the client waits for its server, beside the work that is under way."""

import threading
from typing import Protocol

from icecore.cli.output import note
from icecore.client import Reason, Waiting
from icecore.client.errors import FOLDER_NEW


class Beside(Protocol):
    """Work that has something to say; each is called from any thread."""

    def pause(self, why: str) -> None:
        """Say once why nothing is done until the next step."""

    def remark(self, text: str) -> None:
        """Say something once."""


under_way: list[Beside] = []
"""What is being done, the innermost last."""

_noted: set[str] = set()


def waits(told: Waiting) -> None:
    """Say that the client waits for its server, beside the work that is under way.

    A server that is full for a moment is no news; one that holds a tenant to its rate is.
    """
    if told.reason == FOLDER_NEW:
        note(told.message)
        return
    work = under_way[-1] if under_way else None
    if told.reason == Reason.RATE_LIMITED:
        if work is not None:
            work.remark("slowed by the tenant's quota of images a second")
    elif told.most_s is not None:
        text = f"{told.message}; waiting up to {told.most_s:.0f} s for it"
        if work is not None:
            work.pause(text)
        elif told.message not in _noted:
            _noted.add(told.message)
            note(text)


class Said:
    """What was said beside the work, so that several threads do not say it twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remarks: set[str] = set()
        self._is_paused = False

    def is_new(self, remark: str) -> bool:
        with self._lock:
            is_new = remark not in self._remarks
            self._remarks.add(remark)
            return is_new

    def begins_pause(self) -> bool:
        with self._lock:
            begins, self._is_paused = not self._is_paused, True
            return begins

    def ends_pause(self) -> None:
        with self._lock:
            self._is_paused = False

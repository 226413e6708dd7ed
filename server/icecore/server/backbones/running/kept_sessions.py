"""The sessions that are kept: which there are, which go when there is no more room.

Thread-safe. How one is made, the caller says; it is made once, while others wait for it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Final, Protocol

from icecore.server.backbones.running.feeds import Feed
from icecore.server.backbones.running.freed_memory import give_back
from icecore.server.backbones.running.loaded import FloatArray, InputArray
from icecore.server.backbones.running.shared_weights import Weight
from icecore.wire.taps import TapId

MOST_WIDE: Final = 2
"""Sessions of more than one thread kept at once: each has a pool of its own, for good."""

_IN_USE_S: Final = 5.0
"""A wide session that was used since is not replaced by another."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a session was made for: its taps in their order, what it is fed, its threads."""

    taps: tuple[TapId, ...]
    feed: Feed
    threads: int


class Session(Protocol):
    """A loaded graph."""

    @property
    def weights(self) -> Mapping[str, Weight]: ...

    @property
    def own_bytes(self) -> int: ...

    def run(self, inputs: InputArray) -> list[FloatArray]: ...


class KeptSessions:
    """An LRU by bytes.

    Args:
        max_bytes: what all kept may hold together; the one used last is kept even if it
            alone is larger.
        clock: as `time.monotonic`.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[Form, Future[Session]] = OrderedDict()
        self._wide: OrderedDict[Form, float] = OrderedDict()  # when each was used last

    @property
    def n_kept(self) -> int:
        return len(self._kept)

    @property
    def held_bytes(self) -> int:
        with self._lock:
            return self._held()

    def is_ready(self, form: Form) -> bool:
        with self._lock:
            return _is_ready(self._kept.get(form))

    def get(self, form: Form, *, is_waiting: bool = True) -> Session | None:
        """Return the session of this form; None where there is none.

        One that is being made is waited for, or with `is_waiting` False is not there yet.
        """
        with self._lock:
            future = self._kept.get(form)
            if future is None or not (is_waiting or _is_ready(future)):
                return None
            self._used(form)
        return future.result()

    def has_room_for(self, form: Form, like: Session) -> bool:
        """Whether one more, as large as another of the same weights, would drive none out."""
        with self._lock:
            if form.threads > 1 and len(self._wide) >= MOST_WIDE:
                used = next(iter(self._wide.values()))
                if self._clock() - used < _IN_USE_S:
                    return False
            return self._held() + like.own_bytes <= self._max_bytes

    def make(self, form: Form, made: Callable[[], Session]) -> Session:
        """Return the session of this form, made by one caller while others wait."""
        with self._lock:
            future = self._kept.get(form)
            if future is None:
                mine: Future[Session] = Future()
                self._kept[form] = mine
            self._used(form)
        if future is not None:
            return future.result()
        try:
            session = made()
        except BaseException as error:
            with self._lock:
                if self._kept.get(form) is mine:
                    self._drop(form)
            mine.set_exception(error)
            raise
        mine.set_result(session)
        self._evict(form)
        give_back()
        return session

    def forget(self, digest: str) -> None:
        """Let all of a backbone go."""
        with self._lock:
            for form in [form for form in self._kept if form.taps[0].digest == digest]:
                self._drop(form)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._wide.clear()

    def _used(self, form: Form) -> None:
        self._kept.move_to_end(form)
        if form.threads > 1:
            self._wide[form] = self._clock()
            self._wide.move_to_end(form)

    def _drop(self, form: Form) -> None:
        del self._kept[form]
        self._wide.pop(form, None)

    def _evict(self, newest: Form) -> None:
        """Drop those used longest ago until the rest fits; threads running one keep it alive."""
        with self._lock:
            for form in list(self._wide)[:-MOST_WIDE]:
                if form != newest and self._kept[form].done():
                    self._drop(form)
            for form in list(self._kept)[:-1]:
                if self._held() <= self._max_bytes:
                    return
                if self._kept[form].done():
                    self._drop(form)

    def _held(self) -> int:
        """Bytes of what is kept; called with the lock held."""
        kept = [future.result() for future in self._kept.values() if _is_ready(future)]
        shared = {weight for session in kept for weight in session.weights.values()}
        return sum(s.own_bytes for s in kept) + sum(weight.n_bytes for weight in shared)


def _is_ready(future: "Future[Session] | None") -> bool:
    return future is not None and future.done() and future.exception() is None

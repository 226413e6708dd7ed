"""Calls under way in several threads, which one of them can give up."""

import threading
from collections.abc import Callable
from typing import Any

import grpc

from icecore.client.errors import Cancelled


class Held:
    """After `give_up` all calls end, those that begin then too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[Any] = set()
        self._given_up = threading.Event()

    def until_done(self, call: Any) -> Callable[..., Any]:
        """Return what makes a call like `call` itself, but can be given up.

        Raises (then):
            Cancelled: it was.
        """

        def begin(request: Any, **how: Any) -> Any:
            future = call.future(request, **how)
            with self._lock:
                self._calls.add(future)
            if self._given_up.is_set():
                future.cancel()
            try:
                return future.result()
            except grpc.FutureCancelledError:
                raise _given_up() from None
            finally:
                with self._lock:
                    self._calls.discard(future)

        return begin

    def wait(self, seconds: float) -> None:
        """Wait, unless given up.

        Raises:
            Cancelled: given up.
        """
        if self._given_up.wait(seconds):
            raise _given_up()

    def give_up(self) -> None:
        """End all calls. Idempotent."""
        self._given_up.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()


def _given_up() -> Cancelled:
    return Cancelled("the call was given up by its caller")

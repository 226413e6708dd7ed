"""Work that nobody waits for, done one thing after another in a thread of its own.

Not a niced one: the threads of a session are as nice as who made it, for good.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Condition, Thread

from icecore.server import telemetry


class Wishes:
    """Each key once at a time. The thread is there only while there is something to do."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._line: OrderedDict[Hashable, Callable[[], object]] = OrderedDict()
        self._is_working = False

    def add(self, key: Hashable, act: Callable[[], object]) -> None:
        """Have something done, unless it is in line already.

        Where no thread can be started it is left undone: whoever adds it does not need it now.
        """
        with self._changed:
            self._line.setdefault(key, act)
            if self._is_working:
                return
            self._is_working = True
        try:
            Thread(target=self._work, name="wishes", daemon=True).start()
        except Exception as error:
            with self._changed:
                self._is_working = False
                self._line.clear()
                self._changed.notify_all()
            telemetry.log_fault("not_prepared", error)

    def wait(self) -> None:
        """Forget what was not begun, and return when nothing is being done."""
        with self._changed:
            for key in list(self._line)[1:] if self._is_working else list(self._line):
                del self._line[key]
            while self._is_working:
                self._changed.wait()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._line:
                    self._is_working = False
                    self._changed.notify_all()
                    return
                key, act = next(iter(self._line.items()))
            try:
                act()
            except Exception as error:
                telemetry.log_fault("not_prepared", error)
            with self._changed:
                self._line.pop(key, None)

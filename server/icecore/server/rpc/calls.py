"""One call as the services see it: who is calling, under which id, until when."""

import os
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from icecore.server.tenants import Principal

_PRINTABLE: Final = re.compile(r"[!-~]{1,128}")
_CURRENT: ContextVar["Call"] = ContextVar("icecore_call")


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way.

    `principal` is None where no key is looked at. `deadline` is a value of
    `time.monotonic()` after which nobody waits for the answer; None: none was set.
    """

    request_id: str
    method: str
    principal: Principal | None
    deadline: float | None = None

    @property
    def tenant_id(self) -> str:
        """Whose data the call works on; the door let none in without."""
        if self.principal is None or self.principal.tenant_id is None:
            raise RuntimeError(f"{self.method} was let in without a tenant")
        return self.principal.tenant_id


def current_call() -> Call:
    """Return the call that this task serves."""
    return _CURRENT.get()


def begin(call: Call) -> None:
    """Make it this task's call. A task serves one call, so nothing is put back."""
    _CURRENT.set(call)


def request_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the caller's `x-request-id` if it is a plain word, else a new one."""
    for key, value in metadata:
        if key == "x-request-id" and isinstance(value, str) and _PRINTABLE.fullmatch(value):
            return value
    return os.urandom(16).hex()

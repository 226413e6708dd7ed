"""Calls turned away by their headers: the tenant's images have no room, whatever is in this one.

Under ten times the load nine of ten calls end here, and what each of them takes of the
processor is missing for the tenth. So nothing is read, begun or traced for them, and
their log lines are gathered: one a second and tenant, that says how many there were. The
last of a burst are told when their second is over, whether more come or not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil
from time import perf_counter
from typing import Any, Final, TypeAlias

import grpc

from icecore.server import telemetry
from icecore.server.errors import Overloaded
from icecore.server.rpc import calls
from icecore.server.rpc.access import always_embeds
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.status import REQUEST_ID_KEY, Trailers, failure_of
from icecore.server.telemetry.metrics import Metrics

_STATUS: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
_MESSAGE: Final = (
    "images of this tenant that came before take longer than a call may wait; try again later"
)
_A_LINE_EVERY_S: Final = 1.0

Later: TypeAlias = Callable[[float, Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class _Refused:
    """A call that was refused, as its line tells it."""

    request_id: str
    method: str
    ms: float


@dataclass(slots=True)
class _Untold:
    """A tenant's calls since its last line."""

    last: _Refused | None = None
    n: int = 0


class Refusing:
    """Looks at the headers of calls. Lives on one event loop.

    Args:
        away_s: when to come again, where no image of the tenant would be taken now.
        clock: seconds.
        later: calls something in so many seconds, on this loop.
    """

    def __init__(
        self,
        gate: Gate,
        activity: Activity,
        metrics: Metrics,
        away_s: Callable[[str], float | None] | None,
        *,
        clock: Callable[[], float] = perf_counter,
        later: Later | None = None,
    ) -> None:
        self._gate = gate
        self._activity = activity
        self._metrics = metrics
        self._away_s = away_s
        self._clock = clock
        self._later = later or _on_this_loop
        self._untold: dict[str, _Untold] = {}

    def handler(self, details: grpc.HandlerCallDetails) -> Any:
        """Return what refuses the call, None where it may come in and be looked at closer."""
        method = details.method
        if self._away_s is None or not always_embeds(method):
            return None
        began = self._clock()
        metadata: Any = details.invocation_metadata or ()
        tenant_id = self._gate.surely(metadata)
        if tenant_id is None:
            return None
        away_s = self._away_s(tenant_id)
        if away_s is None:
            return None
        request_id = calls.request_id_of(metadata)
        trailers = (*_trailers(_rounded_ms(away_s)), (REQUEST_ID_KEY, request_id))

        async def refuse(_requests: AsyncIterator[Any], context: Any) -> None:
            self._count(request_id, method, tenant_id, began)
            await context.abort(_STATUS, _MESSAGE, trailers)

        return grpc.stream_unary_rpc_method_handler(refuse)

    def _count(self, request_id: str, method: str, tenant_id: str, began: float) -> None:
        """Count the call, and write a line unless one was written within the second."""
        self._activity.begin()
        self._activity.end(method, _STATUS.name)
        seconds = self._clock() - began
        self._metrics.call_rejected(Overloaded.reason, tenant_id)
        self._metrics.call_ended(method, _STATUS.name, tenant_id, seconds)
        refused = _Refused(request_id, method, round(seconds * 1e3, 3))
        if (untold := self._untold.get(tenant_id)) is not None:
            untold.last, untold.n = refused, untold.n + 1
            return
        self._tell(tenant_id, refused, n_before=0)

    def _tell(self, tenant_id: str, refused: _Refused, *, n_before: int) -> None:
        """Write a line, and the next one of the tenant a second later, if there is a next."""
        telemetry.log(
            "refused",
            request_id=refused.request_id,
            method=refused.method,
            tenant=tenant_id,
            status=_STATUS.name,
            ms=refused.ms,
            n_before=n_before,
        )
        self._untold[tenant_id] = _Untold()
        self._later(_A_LINE_EVERY_S, partial(self._tell_rest, tenant_id))

    def _tell_rest(self, tenant_id: str) -> None:
        untold = self._untold.pop(tenant_id)
        if untold.last is not None:
            self._tell(tenant_id, untold.last, n_before=untold.n - 1)


def _on_this_loop(seconds: float, work: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, work)


def _rounded_ms(seconds: float) -> int:
    """Milliseconds, up to two digits that say something: so there are few different ones."""
    ms = max(1, ceil(seconds * 1e3))
    unit = int(10 ** max(0, len(str(ms)) - 2))
    return -(-ms // unit) * unit


@lru_cache(maxsize=1024)
def _trailers(away_ms: int) -> Trailers:
    """What tells the reason and when to come again, but for the id of the call."""
    error = Overloaded(_MESSAGE, retry_after_s=away_ms / 1e3)
    trailers = failure_of(error, request_id="").trailers("")
    return tuple((key, value) for key, value in trailers if key != REQUEST_ID_KEY)

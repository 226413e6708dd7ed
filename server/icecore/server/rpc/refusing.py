"""Calls turned away by their headers: the tenant's images have no room, whatever is in this one.

Under ten times the load nine of ten calls end here, and what each of them takes of the
processor is missing for the tenth. So nothing is read, begun or traced for them, and
their log lines are gathered: one a second and tenant, that says how many there were.
"""

from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from math import ceil
from time import perf_counter
from typing import Any, Final

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
_MOST_TENANTS: Final = 10_000


class Refusing:
    """Looks at the headers of calls.

    Args:
        away_s: when to come again, where no image of the tenant would be taken now.
        clock: seconds.
    """

    def __init__(
        self,
        gate: Gate,
        activity: Activity,
        metrics: Metrics,
        away_s: Callable[[str], float | None] | None,
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._gate = gate
        self._activity = activity
        self._metrics = metrics
        self._away_s = away_s
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

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
        now = self._clock()
        self._metrics.call_rejected(Overloaded.reason, tenant_id)
        self._metrics.call_ended(method, _STATUS.name, tenant_id, now - began)
        told_at, n_untold = self._told.get(tenant_id, (now - _A_LINE_EVERY_S, 0))
        if now - told_at < _A_LINE_EVERY_S:
            self._told[tenant_id] = (told_at, n_untold + 1)
            return
        if len(self._told) >= _MOST_TENANTS:
            self._told.clear()
        self._told[tenant_id] = (now, 0)
        telemetry.log(
            "refused",
            request_id=request_id,
            method=method,
            tenant=tenant_id,
            status=_STATUS.name,
            ms=round((now - began) * 1e3, 3),
            n_before=n_untold,
        )


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

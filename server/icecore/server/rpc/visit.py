"""One call from its admission to its log line: id, principal, errors, count.

It takes back what the services raise; no other place catches `Exception`. gRPC itself
cancels a handler whose deadline has passed.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import grpc

from icecore.server import telemetry
from icecore.server.errors import InvalidArgument, forget_frames
from icecore.server.rpc import calls, reading
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.status import REQUEST_ID_KEY, failure_of, is_told
from icecore.server.telemetry.watching import TIMING_KEY, Watch
from icecore.server.tenants import Principal

# The stubs' class takes parameters that the module's own does not.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Visit:
    """One call from its admission to its log line."""

    def __init__(
        self,
        gate: Gate,
        activity: Activity,
        watch: Watch,
        draining: Draining,
        method: str,
        context: Context,
    ) -> None:
        self._gate = gate
        self._draining = draining
        self._activity = activity
        self._method = method
        self._access = access_to(method)
        self._context = context
        self._metadata = tuple(context.invocation_metadata() or ())
        self._request_id = calls.request_id_of(self._metadata)
        self._watched = watch.begin(method, self._request_id, self._metadata)
        self._principal: Principal | None = None

    async def __aenter__(self) -> Self:
        self._activity.begin()
        try:
            if self._access is not Access.ANYONE:
                self._draining.let_in()
            self._principal = await self._admit()
        except BaseException as error:
            await self._leave(error)
            raise
        calls.begin(calls.Call(self._request_id, self._method, self._principal, self._deadline()))
        self._context.set_trailing_metadata(((REQUEST_ID_KEY, self._request_id),))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del traceback  # gRPC keeps this frame for a while
        await self._leave(error)

    async def one(self, requests: AsyncIterator[Any]) -> Any:
        """Return the one message of a call that takes one."""
        async for request in requests:
            return reading.opened(request)
        raise InvalidArgument("the call ended before its message came")

    async def each(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the messages; a key revoked meanwhile ends a stream at its next one."""
        async for request in requests:
            await self.check()
            yield reading.opened(request)

    async def check(self) -> None:
        """Raise if the caller, let in before, would not be now."""
        if self._access is not Access.ANYONE:
            await self._admit()

    async def _admit(self) -> Principal | None:
        return await self._gate.admit(self._access, self._metadata, peer=self._context.peer())

    def _deadline(self) -> float | None:
        """Return the caller's deadline by the clock of `time.monotonic`, None without one."""
        left = cast("float | None", self._context.time_remaining())
        return None if left is None else monotonic() + left

    async def _leave(self, error: BaseException | None) -> None:
        """Log the call and, where it failed, tell the caller; always raises then."""
        if error is None:
            self._context.set_trailing_metadata(
                ((REQUEST_ID_KEY, self._request_id), (TIMING_KEY, self._watched.timing()))
            )
            self._end("OK")
        elif isinstance(error, asyncio.CancelledError):
            left = cast("float | None", self._context.time_remaining())
            self._end("CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED")
        elif not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            self._end(_name(self._context.code()))
        else:
            failure = failure_of(error, request_id=self._request_id)
            if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self._watched.rejected(failure.reason.value, _tenant(self._principal))
            self._end(failure.code.name)
            if not is_told(error):
                telemetry.log_fault(
                    "fault", error, request_id=self._request_id, method=self._method
                )
            forget_frames(error)
            await self._context.abort(
                failure.code, failure.message, failure.trailers(self._request_id)
            )

    def _end(self, status: str) -> None:
        self._activity.end(self._method, status)
        self._watched.end(status, _tenant(self._principal))


def _tenant(principal: Principal | None) -> str:
    if principal is None:
        return ""
    return principal.tenant_id or "(administrator)"


def _name(code: Any) -> str:
    if isinstance(code, grpc.StatusCode):
        return code.name
    names = {status.value[0]: status.name for status in grpc.StatusCode}
    return names.get(code, "UNKNOWN")

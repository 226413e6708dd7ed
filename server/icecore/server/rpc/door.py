"""The interceptor that every call passes: id, principal, errors, count, log line.

It hands over to the services and takes back their exceptions; no other place
catches `Exception`. gRPC itself cancels a handler whose deadline has passed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import grpc
from icecore.server import telemetry
from icecore.server.rpc import calls, reading
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.status import REQUEST_ID_KEY, failure_of, is_told
from icecore.server.tenants import Principal

# The stubs' classes take parameters that the modules' own do not.
Handler: TypeAlias = Any
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


class Door(grpc.aio.ServerInterceptor):
    """Wraps each method once and keeps what it made."""

    def __init__(self, gate: Gate, activity: Activity, *, max_message_bytes: int) -> None:
        self._gate = gate
        self._activity = activity
        self._max_message_bytes = max_message_bytes
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return handler  # gRPC answers that there is no such method
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        act: Any
        if handler.request_streaming and handler.response_streaming:
            make, act = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        elif handler.request_streaming:
            make, act = grpc.stream_unary_rpc_method_handler, handler.stream_unary
        elif handler.response_streaming:
            make, act = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        else:
            make, act = grpc.unary_unary_rpc_method_handler, handler.unary_unary

        async def answer_one(request: Any, context: Context) -> Any:
            async with _Visit(self._gate, self._activity, method, context) as visit:
                return await act(visit.opened(request), context)

        async def answer_many(request: Any, context: Context) -> None:
            async with (
                _Visit(self._gate, self._activity, method, context) as visit,
                aclosing(act(visit.opened(request), context)) as answers,
            ):
                async for answer in answers:
                    await context.write(answer)

        return make(
            answer_many if handler.response_streaming else answer_one,
            request_deserializer=reading.limited(
                handler.request_deserializer or bytes, self._max_message_bytes
            ),
            response_serializer=handler.response_serializer,
        )


class _Visit:
    """One call from its admission to its log line."""

    def __init__(self, gate: Gate, activity: Activity, method: str, context: Context) -> None:
        self._gate = gate
        self._activity = activity
        self._method = method
        self._access = access_to(method)
        self._context = context
        self._metadata = tuple(context.invocation_metadata() or ())
        self._request_id = calls.request_id_of(self._metadata)
        self._began = perf_counter()
        self._principal: Principal | None = None

    async def __aenter__(self) -> Self:
        self._activity.begin()
        try:
            self._principal = await self._admit()
        except BaseException as error:
            await self._leave(error)
            raise
        calls.begin(calls.Call(self._request_id, self._method, self._principal))
        self._context.set_trailing_metadata(((REQUEST_ID_KEY, self._request_id),))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave(error)

    def opened(self, request: Any) -> Any:
        """Return the message, or the stream of messages."""
        if hasattr(request, "__aiter__"):
            return self._each(request)
        return reading.opened(request)

    async def _each(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the messages; a key revoked meanwhile ends a stream at its next one."""
        async for request in requests:
            if self._access is not Access.ANYONE:
                await self._admit()
            yield reading.opened(request)

    async def _admit(self) -> Principal | None:
        return await self._gate.admit(self._access, self._metadata, peer=self._context.peer())

    async def _leave(self, error: BaseException | None) -> None:
        """Log the call and, where it failed, tell the caller; always raises then."""
        if error is None:
            self._end("OK")
        elif isinstance(error, asyncio.CancelledError):
            left = cast("float | None", self._context.time_remaining())
            self._end("CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED")
        elif not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            self._end(_name(self._context.code()))
        else:
            failure = failure_of(error, request_id=self._request_id)
            self._end(failure.code.name)
            if not is_told(error):
                telemetry.log_fault(
                    "fault", error, request_id=self._request_id, method=self._method
                )
            await self._context.abort(
                failure.code, failure.message, failure.trailers(self._request_id)
            )

    def _end(self, status: str) -> None:
        self._activity.end(self._method, status)
        if telemetry.LOGGER.isEnabledFor(logging.INFO):
            telemetry.log_rpc(
                request_id=self._request_id,
                method=self._method,
                tenant=_tenant(self._principal),
                status=status,
                ms=(perf_counter() - self._began) * 1e3,
            )


def _tenant(principal: Principal | None) -> str:
    if principal is None:
        return ""
    return principal.tenant_id or "(administrator)"


def _name(code: Any) -> str:
    if isinstance(code, grpc.StatusCode):
        return code.name
    names = {status.value[0]: status.name for status in grpc.StatusCode}
    return names.get(code, "UNKNOWN")

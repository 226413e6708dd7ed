"""The interceptor that every call passes: id, principal, errors, count, log line.

It hands over to the services and takes back their exceptions; no other place
catches `Exception`. gRPC itself cancels a handler whose deadline has passed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

import grpc

from icecore.server import telemetry
from icecore.server.errors import InvalidArgument, forget_frames
from icecore.server.rpc import calls, reading
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.rpc.refusing import Refusing
from icecore.server.rpc.status import REQUEST_ID_KEY, failure_of, is_told
from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.watching import TIMING_KEY, Watch
from icecore.server.tenants import Principal

# The stubs' classes take parameters that the modules' own do not.
Handler: TypeAlias = Any
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MAX_UNKNOWN_BYTES: Final = 64 << 10
"""Of a message that needs no key: they name a service or a symbol, and a watch keeps its own."""

Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


class Door(grpc.aio.ServerInterceptor):
    """Wraps each method once and keeps what it made.

    Every method is served as one that takes a stream, which is the same on the wire:
    of a unary call gRPC reads the message before any code of ours runs, and somebody
    without a key could make the server hold as many large ones as they open calls.
    """

    def __init__(
        self,
        gate: Gate,
        activity: Activity,
        *,
        max_message_bytes: int,
        watch: Watch | None = None,
        draining: Draining | None = None,
        away_s: Callable[[str], float | None] | None = None,
        holding: Holding | None = None,
    ) -> None:
        """`away_s` says when a tenant may come again of which no image would be taken now."""
        self._gate = gate
        self._activity = activity
        self._draining = draining or Draining()
        self._watch = watch or Watch(Metrics())
        self._refusing = Refusing(gate, activity, self._watch.metrics, away_s)
        self._max_message_bytes = max_message_bytes
        self._holding = holding or Holding(8 * max_message_bytes)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        refusal = self._refusing.handler(handler_call_details)
        if refusal is not None:
            return refusal
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return handler  # gRPC answers that there is no such method
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        act: Any
        if handler.request_streaming:
            act = handler.stream_stream or handler.stream_unary
        else:
            act = handler.unary_stream or handler.unary_unary

        async def given(visit: _Visit, requests: AsyncIterator[Any]) -> Any:
            if handler.request_streaming:
                return visit.each(self._draining.each(requests))
            return await visit.one(requests)

        async def answer_one(requests: AsyncIterator[Any], context: Context) -> Any:
            async with self._visit(method, context) as visit, Hand(self._holding, method) as hand:
                answer = await act(await given(visit, hand.each(requests)), context)
                hand.sends(context)
                return answer

        async def answer_many(requests: AsyncIterator[Any], context: Context) -> None:
            async with (
                self._visit(method, context) as visit,
                Hand(self._holding, method) as hand,
                aclosing(act(await given(visit, hand.each(requests)), context)) as answers,
            ):
                async for answer in answers:
                    await visit.check()
                    await context.write(answer)
                    del answer  # the next one may come much later
                    hand.answered()

        max_bytes = self._max_message_bytes
        if access_to(method) is Access.ANYONE:
            max_bytes = min(max_bytes, MAX_UNKNOWN_BYTES)
        make, answer = (
            (grpc.stream_stream_rpc_method_handler, answer_many)
            if handler.response_streaming
            else (grpc.stream_unary_rpc_method_handler, answer_one)
        )
        return make(
            answer,
            request_deserializer=self._watch.metrics.counting_received(
                method,
                reading.limited(handler.request_deserializer or bytes, max_bytes),
            ),
            response_serializer=self._watch.metrics.counting_sent(
                method, handler.response_serializer or bytes
            ),
        )

    def _visit(self, method: str, context: Context) -> "_Visit":
        return _Visit(self._gate, self._activity, self._watch, self._draining, method, context)


class _Visit:
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

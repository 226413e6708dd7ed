"""The interceptor that every call passes, on its way to the services and back.

What it gives to the services is read when there is room, see `in_hand`; who calls, and
what is told and logged at the end, is the visit's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc

from icecore.server.rpc import reading
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.rpc.refusing import Refusing
from icecore.server.rpc.visit import Context, Visit
from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.watching import Watch

# The stubs' classes take parameters that the modules' own do not.
Handler: TypeAlias = Any
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
        if not self._draining.is_on:  # else all are told of the end, and it is seen that they come
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

        async def given(visit: Visit, requests: AsyncIterator[Any]) -> Any:
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

    def _visit(self, method: str, context: Context) -> Visit:
        return Visit(self._gate, self._activity, self._watch, self._draining, method, context)

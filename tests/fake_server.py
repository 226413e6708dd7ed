"""A server of the contract whose answers a test writes; for tests of clients.

It keeps gRPC's promises over a real socket and computes nothing.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from icecore.v1 import backbone_pb2, codes_pb2, collection_pb2, probe_pb2, tenant_pb2

FILES = (backbone_pb2, codes_pb2, collection_pb2, probe_pb2, tenant_pb2)
METHODS: Mapping[str, Any] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Descriptors of all methods of the contract, by path."""

Answer = Callable[..., Any]
"""From a request to a message, or to an iterable of messages."""

_CANCEL_S = 0.1


class Refusal(Exception):
    """An answer that is an error; with a reason as our servers send it."""

    def __init__(
        self,
        code: grpc.StatusCode,
        sentence: str,
        reason: str = "",
        *,
        retry_after_s: float | None = None,
        **details: str,
    ) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.reason, self.details = code, sentence, reason, details
        self.retry_after_s = retry_after_s


def details_of(refusal: Refusal, domain: str = "icecore") -> status_pb2.Status:
    told: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.reason, domain=domain, metadata=refusal.details)
    ]
    if refusal.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(refusal.retry_after_s * 1e3))
        told.append(retry)
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.sentence)
    for message in told:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.append(packed)
    return status


class FakeServer(grpc.GenericRpcHandler):
    """Answers on a Unix socket, or with TLS on a port; `calls` and `requests` tell what came.

    `answers` maps a method's name to a function of one request; for a streaming
    method the function is called for each request of the stream, and may answer
    None for none. "METHOD/end" is a function of nothing that gives the answers
    at the stream's end.
    """

    def __init__(
        self,
        folder: Path,
        answers: Mapping[str, Answer],
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self.address = f"unix:{folder / 'fake.sock'}"
        self.answers = dict(answers)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.requests: list[Message] = []
        self.n_finished = 0
        """Streams of requests that came to their end."""
        self.left = threading.Event()
        """Set when a client has left the call that `Watch` holds open."""
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool, handlers=[self])
        if tls is None:
            assert self._server.add_insecure_port(self.address)
        else:
            self.address = f"localhost:{self._server.add_secure_port('127.0.0.1:0', tls)}"
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None).wait()
        self._pool.shutdown()

    def requests_of(self, kind: type[Message]) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        if path == "/grpc.health.v1.Health/Watch":
            return grpc.unary_stream_rpc_method_handler(
                self._watch, None, lambda answer: answer.SerializeToString()
            )
        method = METHODS[path]
        self.calls.append(
            (
                method.name,
                {key: str(text) for key, text in handler_call_details.invocation_metadata},
            )
        )
        read = GetMessageClass(method.input_type).FromString
        answer = self.answers[method.name]

        def one(request: Message, context: grpc.ServicerContext) -> Any:
            self.requests.append(request)
            try:
                return answer(request)
            except Refusal as refusal:
                context.abort_with_status(_status(refusal))

        def each(requests: Iterator[Message], context: grpc.ServicerContext) -> Iterator[Any]:
            gone = threading.Event()
            if not context.add_callback(gone.set):
                gone.set()
            for request in requests:
                made = one(request, context)
                if made is not None:
                    yield made
            # That a client has cancelled may be told after that nothing more comes.
            if not gone.wait(_CANCEL_S):
                self.n_finished += 1
            yield from self.answers.get(f"{method.name}/end", tuple)()

        def many(request: Message, context: grpc.ServicerContext) -> Iterator[Any]:
            self.requests.append(request)
            try:
                yield from answer(request)
            except Refusal as refusal:
                context.abort_with_status(_status(refusal))

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(each, read, _bytes_of)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(many, read, _bytes_of)
        return grpc.unary_unary_rpc_method_handler(one, read, _bytes_of)

    def _watch(self, _: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(self.left.set)
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        self.left.wait()


def _status(refusal: Refusal) -> Any:
    if refusal.reason:
        return rpc_status.to_status(details_of(refusal))
    return rpc_status.to_status(
        status_pb2.Status(code=refusal.code.value[0], message=refusal.sentence)
    )


def _bytes_of(message: Message) -> bytes:
    return message.SerializeToString()

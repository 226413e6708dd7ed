"""A collector of OpenTelemetry as others run one: the OTLP service over real gRPC."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Received(trace_service_pb2_grpc.TraceServiceServicer):
    """What came, in the order it came."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.came = threading.Event()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        self.came.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    def resources(self) -> list[dict[str, str]]:
        return [
            {one.key: one.value.string_value for one in spans.resource.attributes}
            for request in self.requests
            for spans in request.resource_spans
        ]

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def everything(self) -> bytes:
        """All that came, as it came over the wire."""
        return b"".join(request.SerializeToString() for request in self.requests)


@contextmanager
def receiving() -> Iterator[Received]:
    """A collector on a free port of this machine."""
    received = Received()
    server = grpc.server(ThreadPoolExecutor(1))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # untyped
    add(received, server)
    received.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()

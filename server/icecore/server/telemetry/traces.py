"""Spans of calls for OpenTelemetry, made once a call has ended, from its times.

The only module that imports OpenTelemetry, and itself imported only where traces are
wanted. A span tells the method, status, tenant, request id, backbone, layer and how
many images; nothing of what the images, labels, keys or errors say.
"""

import asyncio
import threading
import time
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from icecore.server.telemetry.stages import Embedding, Stages
from icecore.server.telemetry.watching import Metadata

_LAST_SPANS_S: Final = 3.0
"""How long the server's end waits for a collector."""

_OUR_FAULT: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""What a server's span calls an error. Source: OpenTelemetry's conventions for gRPC spans."""


class Traces:
    """Makes spans and hands them on; sampling and batching follow the OTEL_... variables."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("icecore.server")
        self._propagator = TraceContextTextMapPropagator()

    def call_ended(
        self,
        *,
        method: str,
        request_id: str,
        tenant: str,
        status: str,
        metadata: Metadata,
        began: float,
        ended: float,
        stages: Stages,
    ) -> str:
        """Make the span of a call, under that of its caller if it sent one, and its stages'.

        Args:
            metadata: the call's; of it `traceparent` and `tracestate` are read.
            began, ended: values of `time.perf_counter()`.

        Returns:
            the trace's id in hexadecimal, "" where this call is not sampled.
        """
        clock = _Clock()
        service, _, name = method.strip("/").rpartition("/")
        span = self._tracer.start_span(
            method.strip("/"),
            context=self._caller(metadata),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "rpc.response.status_code": status,
                "icecore.request_id": request_id,
                "icecore.tenant": tenant,
                "icecore.embeddings": stages.n_embeddings,
            },
            start_time=clock.at(began),
        )
        if not span.is_recording():
            return ""
        if status in _OUR_FAULT:
            span.set_status(Status(StatusCode.ERROR, status))
        inside = set_span_in_context(span, Context())
        for embedding in stages.kept:
            self._tell(embedding, inside, clock, began)
        span.end(clock.at(ended))
        return f"{span.get_span_context().trace_id:032x}"

    async def close(self) -> None:
        """Send what there is, for a few seconds at most. Nothing is told afterwards."""
        loop = asyncio.get_running_loop()
        is_done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(is_done.set)

        # Not one of the loop's threads, which the process would wait for.
        threading.Thread(target=shut_down, name="last-spans", daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_SPANS_S):
                await is_done.wait()
        except TimeoutError:
            return

    def _caller(self, metadata: Metadata) -> Context:
        sent = {key: value for key, value in metadata if key in self._propagator.fields}
        texts = {key: value for key, value in sent.items() if isinstance(value, str)}
        return self._propagator.extract(texts, Context())

    def _tell(
        self, embedding: Embedding, inside: Context, clock: "_Clock", not_before: float
    ) -> None:
        """Lay its stages one after another, shortened where threads did them side by side."""
        attributes: dict[str, str | int] = {
            "icecore.backbone": embedding.backbone,
            "icecore.layer": embedding.layer,
            "icecore.n_images": embedding.n_images,
        }
        begin = max(embedding.ended - embedding.total_s, not_before)
        for name, seconds in (
            ("queue", embedding.queue_s),
            ("decode", embedding.decode_s),
            ("compute", embedding.compute_s),
        ):
            end = min(begin + seconds, embedding.ended)
            self._tracer.start_span(
                name,
                context=inside,
                attributes={**attributes, "icecore.summed_ms": seconds * 1e3},
                start_time=clock.at(begin),
            ).end(clock.at(end))
            begin = end


class _Clock:
    """What the wall's clock showed at a value of `time.perf_counter()`, in nanoseconds."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.perf_counter_ns()

    def at(self, moment: float) -> int:
        return self._ahead_ns + int(moment * 1e9)


def traces_to(exporter: SpanExporter, *, version: str) -> Traces:
    """Return traces that go to `exporter` in batches, from a thread of its own."""
    ours = Resource.create({SERVICE_VERSION: version})
    if str(ours.attributes[SERVICE_NAME]).startswith("unknown_service"):
        ours = ours.merge(Resource({SERVICE_NAME: "icecore"}))
    provider = TracerProvider(resource=ours, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)


def traces_by_grpc(url: str | None, *, version: str) -> Traces:
    """Return traces that go to an OTLP collector.

    Args:
        url: such as "http://localhost:4317"; None: where the OTEL_... variables say.
    """
    return traces_to(OTLPSpanExporter(endpoint=url), version=version)

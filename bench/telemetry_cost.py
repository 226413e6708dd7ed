"""What it costs a call to be counted, timed, logged and traced.

Runs what the server runs for one Embed of one image, without gRPC and without the
network: request id, counts, the trailer, the log line (written to a file), and the
spans. CPU time of this process, user and system, all its threads; medians of rounds in
turn. Budget: 0.08 CPU-ms a call without spans.

Usage: python bench/telemetry_cost.py [--calls N] [--rounds R]
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from icecore.server import telemetry
from icecore.server.rpc.calls import request_id_of
from icecore.server.telemetry.metrics import Metrics
from icecore.server.telemetry.traces import Traces
from icecore.server.telemetry.watching import Metadata, Watch

METHOD = "/icecore.v1.CodesService/Embed"
BUDGET_MS = 0.08
SAMPLED = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
NOT_SAMPLED = (SAMPLED[0], SAMPLED[1][:-1] + "0")
QUIET = logging.CRITICAL + 1


class Encoded(SpanExporter):
    """Encodes spans as for a collector, and sends them nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def calls_of(watch: Watch, metadata: Metadata) -> Callable[[], None]:
    """One call, as the door, the scheduler, the cache and the workers see it."""
    metrics = watch.metrics
    read = metrics.counting_received(METHOD, len)
    write = metrics.counting_sent(METHOD, bytes)
    request, answer = bytes(100), bytes(100)

    def call() -> None:
        read(request)
        watched = watch.begin(METHOD, request_id_of(metadata), metadata)
        metrics.cache_looked_up("miss", 1)
        metrics.pass_ended(backbone="lite0", layer="head", n_images=1, cpu_s=0.006)
        metrics.images_done(
            backbone="lite0",
            layer="head",
            tenant_id="default",
            n_images=1,
            queue_s=0.0001,
            decode_s=0.002,
            compute_s=0.006,
            total_s=0.0085,
        )
        watched.timing()
        watched.end("OK", "default")
        write(answer)

    return call


def cpu_ms(call: Callable[[], object], n: int) -> float:
    began = time.process_time()
    for _ in range(n):
        copy_context().run(call)
    return (time.process_time() - began) / n * 1e3


def traced(metrics: Metrics) -> tuple[Watch, TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Encoded(), max_queue_size=1 << 16))
    return Watch(metrics, Traces(provider)), provider


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU-ms of telemetry a call")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    metadata: Metadata = (("authorization", "Bearer icecore_" + 43 * "x"), ("user-agent", "x"))
    plain = Watch(Metrics())
    tracing, provider = traced(plain.metrics)
    cases = {
        "nothing": (lambda: None, logging.INFO),
        "counts, times, request id, trailer": (calls_of(plain, metadata), QUIET),
        "the same and the log line": (calls_of(plain, metadata), logging.INFO),
        "tenants as labels": (calls_of(Watch(Metrics(by_tenant=True)), metadata), logging.INFO),
        "traces on, caller not sampled": (
            calls_of(tracing, (*metadata, NOT_SAMPLED)),
            logging.INFO,
        ),
        "traces on: four spans, encoded": (calls_of(tracing, (*metadata, SAMPLED)), logging.INFO),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as file:
        telemetry.log_to(file)
        for _ in range(options.rounds):
            for name, (call, level) in cases.items():
                telemetry.LOGGER.setLevel(level)
                found[name].append(cpu_ms(call, options.calls))
        provider.shutdown()
    empty = statistics.median(found.pop("nothing"))
    print(
        f"{options.calls} calls a round, {options.rounds} rounds; CPU-ms a call, median (range)\n"
    )
    print("| what a call gets | CPU-ms |")
    print("| --- | --- |")
    medians = {}
    for name, all_ms in found.items():
        ms = [one - empty for one in all_ms]
        medians[name] = statistics.median(ms)
        print(f"| {name} | {medians[name]:.4f} ({min(ms):.4f} to {max(ms):.4f}) |")
    n_lines = len(plain.metrics.text().splitlines())
    look_ms = cpu_ms(plain.metrics.text, 50)
    print(f"\na look by Prometheus: {look_ms:.2f} CPU-ms for {n_lines} lines")
    spent_ms = medians["the same and the log line"]
    is_met = spent_ms <= BUDGET_MS
    print(f"without spans {spent_ms:.4f} CPU-ms of {BUDGET_MS}: {'met' if is_met else 'NOT met'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())

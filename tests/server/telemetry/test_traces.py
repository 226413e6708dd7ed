"""Spans of a call: under its caller's, with its stages inside, and no secrets."""

import json
import subprocess
import sys
from time import perf_counter, time_ns

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from icecore.server.telemetry import traces_wanted
from icecore.server.telemetry.stages import Embedding, Stages
from icecore.server.telemetry.traces import Traces
from icecore.server.telemetry.watching import Metadata

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
NS = 1e9


class Told:
    """Traces into memory."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._traces = Traces(provider)

    def call(
        self,
        *embeddings: Embedding,
        metadata: Metadata = (),
        status: str = "OK",
        seconds: float = 1.0,
    ) -> str:
        stages, ended = Stages(), perf_counter()
        for embedding in embeddings:
            stages.add(embedding)
        return self._traces.call_ended(
            method="/icecore.v1.CodesService/Embed",
            request_id="r-1",
            tenant="acme",
            status=status,
            metadata=metadata,
            began=ended - seconds,
            ended=ended,
            stages=stages,
        )

    def spans(self) -> list[ReadableSpan]:
        return list(self._memory.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans() if span.name == name]
        return found


@pytest.fixture
def told() -> Told:
    return Told()


def embedding(
    *, queue_s: float = 0.1, decode_s: float = 0.2, compute_s: float = 0.3, total_s: float = 0.6
) -> Embedding:
    return Embedding("b", "conv1", 4, queue_s, decode_s, compute_s, total_s)


def bounds(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def test_a_call_is_a_span_under_that_of_its_caller(told: Told) -> None:
    trace_id = told.call(metadata=(("traceparent", PARENT), ("tracestate", "vendor=1")))
    span = told.span("icecore.v1.CodesService/Embed")
    context = span.get_span_context()
    assert context is not None
    assert span.parent is not None
    assert trace_id == TRACE == f"{context.trace_id:032x}"
    assert f"{span.parent.span_id:016x}" == SPAN
    assert context.trace_state.get("vendor") == "1"
    assert span.kind is SpanKind.SERVER
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "icecore.v1.CodesService",
        "rpc.method": "Embed",
        "rpc.response.status_code": "OK",
        "icecore.request_id": "r-1",
        "icecore.tenant": "acme",
        "icecore.embeddings": 0,
    }


def test_it_lasts_as_long_as_the_call_did(told: Told) -> None:
    told.call(seconds=2.5)
    begin, end = bounds(told.span("icecore.v1.CodesService/Embed"))
    assert end - begin == pytest.approx(2.5 * NS, abs=1000)
    assert abs(time_ns() - end) < 60 * NS, "the wall's clock, not the machine's"


def test_its_stages_lie_inside_one_after_another(told: Told) -> None:
    told.call(embedding(), seconds=1.0)
    call = told.span("icecore.v1.CodesService/Embed")
    queue, decode, compute = (told.span(name) for name in ("queue", "decode", "compute"))
    assert bounds(call)[0] <= bounds(queue)[0]
    assert bounds(queue)[1] == bounds(decode)[0]
    assert bounds(decode)[1] == bounds(compute)[0]
    for span, seconds in ((queue, 0.1), (decode, 0.2), (compute, 0.3)):
        assert span.parent == call.get_span_context()
        assert bounds(span)[1] - bounds(span)[0] == pytest.approx(seconds * NS, abs=1000)
        assert span.attributes is not None
        assert dict(span.attributes) == {
            "icecore.backbone": "b",
            "icecore.layer": "conv1",
            "icecore.n_images": 4,
            "icecore.summed_ms": pytest.approx(seconds * 1e3),
        }


def test_stages_that_ran_side_by_side_do_not_reach_beyond_their_embedding(told: Told) -> None:
    told.call(embedding(decode_s=5.0, compute_s=9.0, total_s=0.6), seconds=0.6)
    call = told.span("icecore.v1.CodesService/Embed")
    decode, compute = told.span("decode"), told.span("compute")
    assert bounds(decode)[1] <= bounds(call)[1] + 1e8
    assert bounds(compute)[0] == bounds(compute)[1]
    assert compute.attributes is not None
    assert compute.attributes["icecore.summed_ms"] == 9000


def test_who_is_not_sampled_gets_no_span(told: Told) -> None:
    assert told.call(embedding(), metadata=(("traceparent", PARENT[:-1] + "0"),)) == ""
    assert told.spans() == []


@pytest.mark.parametrize("parent", ["", "x", PARENT[:-3], f"00-{'0' * 32}-{SPAN}-01", b"\xff"])
def test_a_parent_that_is_none_begins_a_trace(told: Told, parent: str | bytes) -> None:
    trace_id = told.call(metadata=(("traceparent", parent),))
    assert len(trace_id) == 32
    assert trace_id != TRACE
    assert told.spans()[0].parent is None


@pytest.mark.parametrize(
    ("status", "is_error"),
    [
        *((name, False) for name in ("OK", "NOT_FOUND", "RESOURCE_EXHAUSTED", "CANCELLED")),
        *((name, True) for name in ("INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE")),
    ],
)
def test_only_what_is_the_servers_fault_is_an_error(
    told: Told, status: str, is_error: bool
) -> None:
    told.call(status=status)
    (span,) = told.spans()
    assert (span.status.status_code is StatusCode.ERROR) == is_error


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_TRACES_EXPORTER": "console"},
    ],
)
def test_traces_are_off_unless_the_environment_names_a_collector(
    environment: dict[str, str],
) -> None:
    found = traces_wanted.wanted_traces("auto", version="1", environment=environment)
    assert found is None


def test_off_is_off_whatever_the_environment_says() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}
    assert traces_wanted.wanted_traces("off", version="1", environment=environment) is None


def test_a_protocol_that_is_not_spoken_is_said_and_not_fatal(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert traces_wanted.wanted_traces("auto", version="1", environment=environment) is None
    (record,) = caplog.records
    assert record.getMessage() == "traces off"
    assert "http/protobuf" in str(vars(record)["icecore_fields"])


def test_nothing_of_opentelemetry_is_imported_unless_it_is_wanted() -> None:
    program = (
        "import sys, json, icecore.server.app, icecore.client\n"
        "from icecore.server.telemetry.traces_wanted import wanted_traces\n"
        "wanted_traces('auto', version='1', environment={})\n"
        "print(json.dumps([name for name in sys.modules if 'opentelemetry' in name]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []

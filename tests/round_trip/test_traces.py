"""A trace goes from a caller's span through the server to the network; nothing tells secrets."""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer

from callers import calling, pixels
from icecore.client import AsyncClient, Client
from icecore.server import telemetry
from icecore.server.tenants import new_secret
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from otlp_receiver import Received, receiving
from servers import process, serving

EMBED = "icecore.v1.CodesService/Embed"
STREAM = "icecore.v1.CodesService/EmbedStream"


@pytest.fixture
def tracer() -> Tracer:
    return TracerProvider(shutdown_on_exit=False).get_tracer("a caller's own program")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """All log lines, down to the least."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, telemetry.LOGGER.level)
    stream = io.StringIO()
    telemetry.log_to(stream, level=logging.DEBUG)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    telemetry.LOGGER.setLevel(own)


def images(*seeds: int) -> list[Any]:
    return [
        np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8) for seed in seeds
    ]


def under(received: Received, parent: Span) -> list[Any]:
    """Spans of the parent's trace, and each of them below it."""
    context = parent.get_span_context()
    trace_id = context.trace_id.to_bytes(16, "big")
    spans = [span for span in received.spans() if span.trace_id == trace_id]
    ids = {context.span_id.to_bytes(8, "big")} | {span.span_id for span in spans}
    assert all(span.parent_span_id in ids for span in spans)
    return spans


def test_a_callers_trace_goes_on_in_the_server(tmp_path: Path, tracer: Tracer) -> None:
    with (
        receiving() as received,
        serving(tmp_path / "data", traces=received.url) as server,
        Client(server.address) as client,
    ):
        with tracer.start_as_current_span("one call") as one:
            client.embed(images(1, 2), layers="two")
        with tracer.start_as_current_span("a stream") as stream:
            list(client.embed_stream(images(3, 4, 5), batch_size=1))
        client.embed(images(6))
    spans = {span.name: span for span in under(received, one)}
    assert set(spans) == {EMBED, "queue", "decode", "compute"}
    assert spans[EMBED].parent_span_id == one.get_span_context().span_id.to_bytes(8, "big")
    told = {attribute.key: attribute.value for attribute in spans["compute"].attributes}
    assert spans["compute"].parent_span_id == spans[EMBED].span_id
    assert told["icecore.backbone"].string_value == "toy"
    assert told["icecore.layer"].string_value == "two"
    assert told["icecore.n_images"].int_value == 2
    names = sorted(span.name for span in under(received, stream))
    assert names == sorted([STREAM, *3 * ["queue", "decode", "compute"]])
    alone = [span for span in received.spans() if span.name == EMBED and not span.parent_span_id]
    assert len(alone) == 1, "a call outside of any span begins a trace"
    assert all(resource["service.name"] == "icecore" for resource in received.resources())


async def test_the_async_client_sends_its_trace_too(tmp_path: Path, tracer: Tracer) -> None:
    with receiving() as received, serving(tmp_path / "data", traces=received.url) as server:
        async with AsyncClient(server.address) as client:
            with tracer.start_as_current_span("one call") as one:
                await client.embed(images(1))
            with tracer.start_as_current_span("a stream") as stream:
                assert [codes async for codes in client.embed_stream(images(2, 3), batch_size=1)]
    assert EMBED in {span.name for span in under(received, one)}
    assert STREAM in {span.name for span in under(received, stream)}


def test_a_process_follows_the_usual_variables(tmp_path: Path, lines: io.StringIO) -> None:
    """And sends what it has when it is asked to end."""
    with serving(tmp_path / "data"):
        pass  # the toy is in the folder
    with receiving() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_SERVICE_NAME": "codes-of-acme",
        }
        with (
            process(tmp_path / "data", environment=environment) as server,
            Client(server.address) as client,
        ):
            client.embed(images(1), backbone="toy")
        assert EMBED in {span.name for span in received.spans()}
        assert {resource["service.name"] for resource in received.resources()} == {"codes-of-acme"}


def test_nothing_secret_is_told_anywhere(tmp_path: Path, lines: io.StringIO) -> None:
    """Keys, labels, metadata, names of what is not there, bytes of images, texts of errors."""
    wrong = new_secret().text
    planted = "planted-word"
    with (
        receiving() as received,
        serving(
            tmp_path / "data", metrics="127.0.0.1:0", metrics_tenants=True, traces=received.url
        ) as server,
        calling(server.address, server.admin_key) as admin,
    ):
        admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="acme"))
        key = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="acme")).secret
        acme = admin.with_key(key)
        acme.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
        example = cpb.Example(example_id=f"{planted}.png", label=planted)
        example.metadata.update({planted: planted})
        batch = cpb.AddExamplesRequest(collection_id="c")
        batch.examples.add(example=example, image=pixels(1))
        list(acme.collections.AddExamples(iter([batch])))
        acme.codes.Embed(
            epb.EmbedRequest(images=[pixels(2)]),
            metadata=[("x-note", planted), ("x-bin", planted.encode())],
        )
        bad = common_pb2.Image(encoded=f"\xff\xd8\xff{planted}".encode("latin-1"))
        unknown: Any = acme.channel.unary_unary(f"/icecore.v1.CodesService/{planted}")
        refused: list[Callable[[], Any]] = [
            lambda: acme.codes.Embed(epb.EmbedRequest(images=[bad])),
            lambda: acme.codes.Embed(epb.EmbedRequest(images=[pixels(1)], layers=[planted])),
            lambda: acme.codes.Embed(epb.EmbedRequest(images=[pixels(1)], backbone=planted)),
            lambda: acme.probes.GetProbe(ppb.GetProbeRequest(probe_id=planted)),
            lambda: list(acme.collections.AddExamples(iter([batch, batch]), timeout=0)),
            lambda: acme.with_key(wrong).codes.Embed(epb.EmbedRequest(images=[pixels(1)])),
            lambda: unknown(b"planted-word"),
        ]
        for call in refused:
            with pytest.raises(grpc.RpcError):
                call()
        assert server.app is not None
        with urlopen(f"http://{server.app.metrics}/metrics") as answer:
            page = answer.read()
        secrets = (key, wrong, server.admin_key, planted)
    log = lines.getvalue().encode()
    spans = received.everything()
    assert b'"rpc"' in log
    assert b"icecore_calls_total" in page
    assert EMBED.encode() in spans
    for place, told in (("log", log), ("metrics", page), ("spans", spans)):
        for secret in secrets:
            assert secret.encode() not in told, f"{secret} is in the {place}"

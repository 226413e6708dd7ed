"""What a server says of itself over real sockets: its page for Prometheus, and times to callers."""

import asyncio
import contextlib
import http.client
import json
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callers import Caller, calling, pixels, refusal
from icecore.server.settings import SettingsInvalid
from icecore.server.telemetry import exposition
from icecore.server.telemetry.exposition import showing
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving

EMBED = "/icecore.v1.CodesService/Embed"
ANY = "127.0.0.1:0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("data") / "data", metrics=ANY) as one:
        yield one


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    with calling(server.address) as one:
        yield one


def page(server: Server) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, as Prometheus' own parser reads them."""
    assert server.app is not None
    assert server.app.metrics is not None
    status, body = get(server.app.metrics, "/metrics")
    assert status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def get(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def embed(caller: Caller, *seeds: int, layer: str = "-1") -> epb.EmbedResponse:
    images = [pixels(seed) for seed in seeds]
    answer: epb.EmbedResponse = caller.codes.Embed(epb.EmbedRequest(images=images, layers=[layer]))
    return answer


def timing(call: Any) -> dict[str, float]:
    """Milliseconds by name out of the trailer."""
    (text,) = [value for key, value in call.trailing_metadata() if key == "server-timing"]
    parts = [part.strip().split(";dur=") for part in text.split(",")]
    return {name: float(value) for name, value in parts}


def test_an_embedding_is_counted_where_it_was_read(server: Server, caller: Caller) -> None:
    before = page(server)
    request = epb.EmbedRequest(images=[pixels(1), pixels(2), pixels(3)], layers=["1", "two"])
    answer = caller.codes.Embed(request)
    after = page(server)

    def grew(*key: str) -> float:
        return after[key] - before.get(key, 0)

    place = ("toy", "two")
    assert grew("icecore_images_total", *place) == 3, "the deepest of the layers"
    assert grew("icecore_calls_total", EMBED, "OK") == 1
    assert grew("icecore_received_bytes_total", EMBED) == request.ByteSize()
    assert grew("icecore_sent_bytes_total", EMBED) == answer.ByteSize()
    for stage in ("total", "queue", "decode", "compute"):
        name = "icecore_embed_seconds" if stage == "total" else f"icecore_embed_{stage}_seconds"
        assert grew(f"{name}_count", *place) == 1
        told = getattr(answer.timings, f"{stage}_ms") / 1e3
        assert grew(f"{name}_sum", *place) == pytest.approx(told, rel=1e-6)
    assert grew("icecore_pass_images_total", *place) == 3
    assert 1 <= grew("icecore_passes_total", *place) <= 3
    assert grew("icecore_pass_cpu_seconds_total", *place) > 0
    assert grew("icecore_cache_images_total", "unkept") == 3
    assert after["icecore_sessions",] >= 1
    assert after["icecore_session_bytes",] > 0
    assert after["icecore_calls_in_flight",] == 0
    assert after["process_cpu_seconds_total",] >= before["process_cpu_seconds_total",] > 0


def test_what_callers_make_up_becomes_no_label(server: Server, caller: Caller) -> None:
    unknown: Any = caller.channel.unary_unary("/icecore.v1.CodesService/Planted")
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("LAYER_NOT_FOUND", lambda: embed(caller, 1, layer="planted")),
        (
            "BACKBONE_NOT_FOUND",
            lambda: caller.codes.Embed(epb.EmbedRequest(backbone="planted", images=[pixels(1)])),
        ),
    ]
    for reason, call in refused:
        assert refusal(call).reason == reason
    with pytest.raises(Exception, match="UNIMPLEMENTED"):
        unknown(b"")
    found = page(server)
    assert not [key for key in found if any("lanted" in word for word in key)]
    assert found["icecore_calls_total", EMBED, "NOT_FOUND"] >= 1


def test_every_answer_says_how_long_it_took(caller: Caller) -> None:
    request = epb.EmbedRequest(images=[pixels(11)])
    answer, call = caller.codes.Embed.with_call(request)
    told = timing(call)
    assert set(told) == {"total", "queue", "decode", "compute"}
    for stage in ("queue", "decode", "compute"):
        assert told[stage] == pytest.approx(getattr(answer.timings, f"{stage}_ms"), abs=0.001)
    assert told["total"] >= answer.timings.total_ms - 0.001
    _, call = caller.backbones.ListBackbones.with_call(bpb.ListBackbonesRequest())
    assert set(timing(call)) == {"total"}
    stream = caller.codes.EmbedStream(iter([request, epb.EmbedRequest(images=[pixels(12)])]))
    computed = [answer.timings.compute_ms for answer in stream]
    assert timing(stream)["compute"] == pytest.approx(sum(computed), abs=0.002)


def test_tenants_are_labels_only_if_wanted(tmp_path: Path) -> None:
    for wanted in (False, True):
        data = tmp_path / str(wanted)
        with serving(data, metrics=ANY, metrics_tenants=wanted) as server:
            with calling(server.address, server.admin_key) as admin:
                admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="acme"))
                key = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="acme")).secret
                embed(admin.with_key(key), 1)
            found = page(server)
            assert (("icecore_images_total", "toy", "three", "acme") in found) == wanted
            assert (("icecore_images_total", "toy", "three") in found) != wanted


def test_a_server_says_where_it_shows_them(server: Server, tmp_path: Path) -> None:
    assert server.app is not None
    written = json.loads((server.data / "server.json").read_text())
    assert written["metrics"] == server.app.metrics
    with serving(tmp_path / "embedded") as embedded:
        assert embedded.app is not None
        assert embedded.app.metrics is None, "several of these run on a machine"
    with serving(tmp_path / "off", listen=ANY, metrics="off") as off:
        assert off.app is not None
        assert off.app.metrics is None


def test_a_port_in_use_is_passed_over_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr("icecore.server.settings.METRICS_ADDRESS", address)
        with serving(tmp_path / "any", listen=ANY) as server:
            assert server.app is not None
            assert server.app.metrics not in (None, address)
            assert page(server)
        with (
            pytest.raises(SettingsInvalid, match="cannot show metrics on"),
            serving(tmp_path / "this", metrics=address),
        ):
            raise AssertionError("it serves")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/metrics?name=x", "GET", 200),
        ("/metrics", "HEAD", 200),
        ("/healthz", "GET", 200),
        ("/readyz", "GET", 200),
        ("/", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/metrics", "POST", 405),
    ],
)
def test_there_are_three_pages(server: Server, path: str, method: str, status: int) -> None:
    assert server.app is not None
    assert server.app.metrics is not None
    found, body = get(server.app.metrics, path, method)
    assert found == status
    assert (body == "") == (method == "HEAD")


async def _raw(address: str, sent: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _shown(**fields: Any) -> Any:
    given = {"metrics": lambda: b"x 1\n", "is_alive": lambda: True, "is_ready": lambda: True}
    async with showing("127.0.0.1", 0, **{**given, **fields}) as address:
        yield address


async def test_ready_and_alive_are_told_apart() -> None:
    for page in ("ready", "alive"):
        async with _shown(**{f"is_{page}": lambda: False}) as address:
            ready = await _raw(address, b"GET /readyz HTTP/1.1\r\n\r\n")
            alive = await _raw(address, b"GET /healthz HTTP/1.1\r\n\r\n")
        assert ready.startswith(b"HTTP/1.1 503 " if page == "ready" else b"HTTP/1.1 200 ")
        assert alive.startswith(b"HTTP/1.1 503 " if page == "alive" else b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics FTP/1\r\n\r\n", b"\xff\x00 x y\r\n\r\n"]
)
async def test_what_is_no_request_is_refused(sent: bytes) -> None:
    async with _shown() as address:
        assert (await _raw(address, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_head_without_end_is_not_read_to_it() -> None:
    async with _shown() as address:
        assert await _raw(address, b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 50_000) == b""
        assert await _raw(address, b"GET /metrics HTTP/1.1\r\n\r\n")


async def test_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_PATIENCE_S", 0.0)
    async with _shown() as address:
        assert await _raw(address, b"GET ") == b""


async def test_surplus_connections_are_ended_and_the_page_comes_back() -> None:
    async with _shown() as address:
        host, _, port = address.rpartition(":")
        many = [
            await asyncio.open_connection(host, int(port))
            for _ in range(exposition.MAX_CONNECTIONS)
        ]
        assert await _raw(address, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        for reader, writer in many:
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"x 1\n")
            writer.close()
        assert await _raw(address, b"GET /metrics HTTP/1.1\r\n\r\n")


async def test_a_gauge_that_fails_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> bytes:
        raise ValueError("no such queue")

    with caplog.at_level(logging.ERROR, logger="icecore"):
        async with _shown(metrics=fail) as address:
            first = await _raw(address, b"GET /metrics HTTP/1.1\r\n\r\n")
            alive = await _raw(address, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 500 ")
    assert b"queue" not in first
    assert alive.startswith(b"HTTP/1.1 200 ")
    assert "no such queue" in caplog.text

"""How a server ends, and what it says of itself: nobody loses what was begun."""

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from callers import TIMEOUT_S, Caller, calling, pixels, refusal, refusal_of
from icecore.server import app as apps
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.rpc.ending import AskedToEnd, Ending
from icecore.server.rpc.health import LIVENESS
from icecore.server.settings import Settings
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.sqlite.writer import Writer
from icecore.v1 import codes_pb2, collection_pb2
from restarting import restarts
from servers import START_S, Server, ToyCatalog, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _stop(server: Server) -> None:
    assert server.app is not None
    assert server.loop is not None
    server.loop.call_soon_threadsafe(server.app.stop)


def _gauges(server: Server) -> set[str]:
    """What its page for Prometheus says of the server as a whole."""
    assert server.app is not None
    with urlopen(f"http://{server.app.metrics}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {line for line in lines if line.startswith(("icecore_ready", "icecore_alive"))}


def _watch(caller: Caller, service: str = "") -> Iterator[Any]:
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
    return (answer.status for answer in watch)


class Held:
    """Passes of the network that go on only when they are let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.is_on = False
        run = Sessions.readied

        def held(sessions: Sessions, *given: Any, **named: Any) -> Any:
            if self.is_on:
                self.begun.set()
                assert self.go_on.wait(START_S)
            return run(sessions, *given, **named)

        monkeypatch.setattr(Sessions, "readied", held)


def test_a_call_in_flight_is_answered_after_the_health_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    request = codes_pb2.EmbedRequest(images=[pixels(1)])
    with (
        ThreadPoolExecutor(1) as pool,
        serving(tmp_path / "data", grace_s=START_S, cache_mb=0) as server,
        calling(server.address) as caller,
    ):
        alone = caller.codes.Embed(request, timeout=TIMEOUT_S)
        ready, alive = _watch(caller), _watch(caller, LIVENESS)
        assert (next(ready), next(alive)) == (SERVING, SERVING)
        held.is_on = True
        answer = pool.submit(caller.codes.Embed, request, timeout=TIMEOUT_S)
        assert held.begun.wait(START_S)
        _stop(server)
        assert list(ready) == [NOT_SERVING]
        assert list(alive) == [], "it lives until it is gone"
        assert not answer.done()
        held.go_on.set()
        assert answer.result(START_S).codes == alone.codes


def test_a_stream_ends_between_two_of_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken is answered, also what is still computed; the caller sends the rest again."""
    held = Held(monkeypatch)
    requests: SimpleQueue[codes_pb2.EmbedRequest | None] = SimpleQueue()
    with (
        serving(tmp_path / "data", grace_s=START_S, cache_mb=0) as server,
        calling(server.address) as caller,
    ):
        ready = _watch(caller)
        assert next(ready) == SERVING
        answers = caller.codes.EmbedStream(iter(requests.get, None), timeout=TIMEOUT_S)
        requests.put(codes_pb2.EmbedRequest(images=[pixels(1)]))
        next(answers)
        held.is_on = True
        requests.put(codes_pb2.EmbedRequest(images=[pixels(2)]))
        assert held.begun.wait(START_S)
        _stop(server)
        assert list(ready) == [NOT_SERVING]
        requests.put(codes_pb2.EmbedRequest(images=[pixels(3)]))
        held.go_on.set()
        next(answers)
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert refusal_of(caught.value).code == "UNAVAILABLE"
        assert refusal_of(caught.value).reason == "SHUTTING_DOWN"
        requests.put(None)


def test_a_server_that_can_write_no_more_says_so_and_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(writer: Writer) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    listing = collection_pb2.ListCollectionsRequest()
    new = collection_pb2.CreateCollectionRequest(collection_id="c", request_id="1")
    with (
        serving(tmp_path / "data", metrics="127.0.0.1:0") as server,
        calling(server.address) as caller,
    ):
        ready, alive = _watch(caller), _watch(caller, LIVENESS)
        assert (next(ready), next(alive)) == (SERVING, SERVING)
        assert _gauges(server) == {"icecore_ready 1.0", "icecore_alive 1.0"}
        monkeypatch.setattr(Writer, "_commit_group", broken)
        for _ in range(2):
            said = refusal(lambda: caller.collections.CreateCollection(new, timeout=TIMEOUT_S))
            assert (said.code, said.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
            assert "started anew" in said.message
        assert (next(ready), next(alive)) == (NOT_SERVING, NOT_SERVING)
        assert _gauges(server) == {"icecore_ready 0.0", "icecore_alive 0.0"}
        caller.collections.ListCollections(listing, timeout=TIMEOUT_S)
        caller.codes.Embed(codes_pb2.EmbedRequest(images=[pixels(1)]), timeout=TIMEOUT_S)


def test_a_server_that_its_clients_start_ends_when_it_can_write_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next client starts one that can."""

    def broken(writer: Writer) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    new = collection_pb2.CreateCollectionRequest(collection_id="c", request_id="1")
    with serving(tmp_path / "data", until_idle_s=1e6) as server, calling(server.address) as caller:
        ready = _watch(caller)
        assert next(ready) == SERVING
        monkeypatch.setattr(Writer, "_commit_group", broken)
        refusal(lambda: caller.collections.CreateCollection(new, timeout=TIMEOUT_S))
        assert list(ready) == [NOT_SERVING], "the stream ends with the server"
        monkeypatch.undo()


@pytest.mark.parametrize("when", ["before", "while it warms up"])
async def test_a_server_asked_to_end_while_it_starts_leaves_all_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    ending, data = Ending(), tmp_path / "data"

    async def never(*_: object) -> None:
        with grpc.insecure_channel(f"unix:{DataFolder(data).socket()}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            check, live = health_pb2.HealthCheckRequest(), LIVENESS
            said = await asyncio.to_thread(stub.Check, check, timeout=TIMEOUT_S)
            assert said.status == NOT_SERVING, "it has not answered yet"
            alive = health_pb2.HealthCheckRequest(service=live)
            said = await asyncio.to_thread(stub.Check, alive, timeout=TIMEOUT_S)
            assert said.status == SERVING
        ending.ask()
        await asyncio.Event().wait()

    monkeypatch.setattr(apps, "warm", never)
    if when == "before":
        ending.ask()
    with pytest.raises(AskedToEnd):
        async with apps.serving(Settings(data, threads=1), make_catalog=ToyCatalog, ending=ending):
            pytest.fail("it served")
    assert not DataFolder(data).socket().exists()
    assert not (data / "server.json").exists()
    with DataFolder(data):
        pass  # nobody holds it


def test_clients_see_no_error_when_the_server_is_started_anew_under_load(tmp_path: Path) -> None:
    """bench/restarts.py does so twenty times."""
    course = restarts(tmp_path / "data", 2, up_s=0.5, cut_short_s=(0.0, 0.4))
    assert course.errors == []
    assert course.statuses == {0: 3}
    assert set(course.cut_short) <= {0}
    assert set(course.cut_unheard) <= {0, -signal.SIGTERM}, "it was killed before it listened"
    assert sum((course.cut_short + course.cut_unheard).values()) == 2
    assert len(course.ms) == 5, "some kind of call was never made"

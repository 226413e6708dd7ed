"""What every call meets at the door, over a real socket and with a service made for it."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from icecore.server import errors, telemetry
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.door import Door
from icecore.server.rpc.draining import Draining
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.health import Health
from icecore.server.rpc.reading import Read, core_limit
from icecore.server.rpc.status import DETAILS_KEY, REQUEST_ID_KEY
from icecore.server.storage.promise import Store
from icecore.v1 import probe_pb2 as pb
from icecore.v1 import probe_pb2_grpc

LIMIT = 1 << 20


class NoKeys:
    """The part of a store that the gate asks: nobody has a key."""

    def __init__(self) -> None:
        self.was_made = False

    def find_key(self, key_hash: bytes) -> None:
        return None

    def any_tenant_key_was_made(self) -> bool:
        return self.was_made


class Service(probe_pb2_grpc.ProbeServiceServicer):
    """Does what the probe's id says."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.deadlines: list[float | None] = []

    async def GetProbe(self, request: pb.GetProbeRequest, context: object) -> pb.GetProbeResponse:
        self.deadlines.append(current_call().deadline)
        if request.probe_id == "fail":
            raise KeyError("secret-of-ours")
        if request.probe_id == "absent":
            raise errors.ProbeNotFound("probe 'absent' is not there", probe="absent")
        if request.probe_id == "wait":
            await self._wait()
        return pb.GetProbeResponse(probe=pb.Probe(probe_id=current_call().tenant_id))

    async def WatchProbe(
        self, request: pb.WatchProbeRequest, context: object
    ) -> AsyncIterator[pb.WatchProbeResponse]:
        yield pb.WatchProbeResponse(stage="waiting")
        if request.probe_id == "absent":
            raise errors.ProbeNotFound("probe 'absent' is not there")
        if request.probe_id == "two":
            await self.go_on.wait()
            yield pb.WatchProbeResponse(stage="storing")
        await self._wait()

    async def PredictStream(
        self, request_iterator: AsyncIterator[pb.PredictRequest], context: object
    ) -> AsyncIterator[pb.PredictResponse]:
        async for request in request_iterator:
            yield pb.PredictResponse(probe_id=request.probe_id)

    async def _wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class House:
    def __init__(self, service: Service, activity: Activity, log: io.StringIO) -> None:
        self.service = service
        self.activity = activity
        self.keys = NoKeys()
        self.gate = Gate(cast(Store, self.keys), require_keys=False, listens_to_others=False)
        self._log = log

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    async def last_call(self, n_calls: int) -> dict[str, Any]:
        """The line of the n-th call, which is written just after the caller has its answer."""
        while sum(self.activity.ended.values()) < n_calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return [line for line in self.log() if line["event"] == "rpc"][n_calls - 1]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, telemetry.LOGGER.level)
    stream = io.StringIO()
    telemetry.log_to(stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    telemetry.LOGGER.setLevel(own)


@pytest.fixture
async def house(tmp_path: Path, log: io.StringIO) -> AsyncIterator[tuple[House, Any]]:
    """A served door and a channel to it."""
    service, activity = Service(), Activity()  # type: ignore[abstract] # only what is called
    rooms = House(service, activity, log)
    server = grpc.aio.server(
        interceptors=[Door(rooms.gate, activity, max_message_bytes=LIMIT)],
        options=[("grpc.max_receive_message_length", core_limit(LIMIT))],
    )
    probe_pb2_grpc.add_ProbeServiceServicer_to_server(service, server)
    address = f"unix:{tmp_path / 's'}"
    server.add_insecure_port(address)
    await server.start()
    async with stopped(server), grpc.aio.insecure_channel(address) as channel:
        yield rooms, channel


@asynccontextmanager
async def stopped(server: grpc.aio.Server) -> AsyncIterator[None]:
    """Stop the server at the end, also of a test that fails."""
    try:
        yield
    finally:
        await server.stop(0)


def _reason(error: grpc.aio.AioRpcError) -> str:
    trailers = dict(error.trailing_metadata() or ())
    message = status_pb2.Status.FromString(cast(bytes, trailers[DETAILS_KEY]))
    info = error_details_pb2.ErrorInfo()
    assert message.details[0].Unpack(info), "the status carries no ErrorInfo"
    assert message.message == error.details()
    return str(info.reason)


async def test_a_call_is_for_its_tenant_and_logged_in_one_line(house: tuple[House, Any]) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    call = stub.GetProbe(pb.GetProbeRequest(), metadata=(("x-request-id", "mine"),))
    answer = await call
    assert answer.probe.probe_id == "default"
    assert dict(await call.trailing_metadata())[REQUEST_ID_KEY] == "mine"
    line = await rooms.last_call(1)
    assert line["method"] == "/icecore.v1.ProbeService/GetProbe"
    assert (line["request_id"], line["tenant"], line["status"]) == ("mine", "default", "OK")
    assert line["ms"] >= 0


@pytest.mark.parametrize("given", ["", "a b", "x" * 129])
async def test_an_id_that_is_no_word_is_replaced(house: tuple[House, Any], given: str) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    await stub.GetProbe(pb.GetProbeRequest(), metadata=(("x-request-id", given),))
    assert len((await rooms.last_call(1))["request_id"]) == 32


async def test_an_error_of_ours_goes_out_without_detail_and_into_the_log_in_full(
    house: tuple[House, Any],
) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(
            pb.GetProbeRequest(probe_id="fail"),
            metadata=(("x-request-id", "mine"), ("authorization-of-mine", "secret-of-yours")),
        )
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "'mine'" in (error.details() or "")
    assert "secret-of-ours" not in repr(error)
    assert _reason(error) == "INTERNAL"
    await rooms.last_call(1)
    (fault,) = [line for line in rooms.log() if line["event"] == "fault"]
    assert fault["request_id"] == "mine"
    assert "secret-of-ours" in fault["traceback"]
    assert not any("secret-of-yours" in json.dumps(line) for line in rooms.log())


async def test_a_callers_mistake_keeps_its_reason_also_after_some_answers(
    house: tuple[House, Any],
) -> None:
    _, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(pb.GetProbeRequest(probe_id="absent"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert _reason(caught.value) == "PROBE_NOT_FOUND"
    stages = []
    watch = stub.WatchProbe(pb.WatchProbeRequest(probe_id="absent"))
    stages.append((await watch.read()).stage)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    assert stages == ["waiting"]
    assert _reason(caught.value) == "PROBE_NOT_FOUND"


async def test_a_message_over_the_limit_is_refused_with_the_limit_and_a_way_out(
    house: tuple[House, Any],
) -> None:
    _, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(pb.GetProbeRequest(probe_id="x" * LIMIT))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _reason(caught.value) == "MESSAGE_TOO_LARGE"
    assert f"{LIMIT:,}" in (caught.value.details() or "")
    assert "send fewer" in (caught.value.details() or "")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(pb.GetProbeRequest(probe_id="x" * 3 * LIMIT))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await stub.GetProbe(pb.GetProbeRequest(probe_id="x" * (LIMIT - 10)))


async def test_in_a_stream_too_a_message_over_the_limit_has_its_reason(
    house: tuple[House, Any],
) -> None:
    _, channel = house
    call = probe_pb2_grpc.ProbeServiceStub(channel).PredictStream()
    await call.write(pb.PredictRequest(probe_id="a"))
    assert (await call.read()).probe_id == "a"
    await call.write(pb.PredictRequest(probe_id="x" * LIMIT))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert _reason(caught.value) == "MESSAGE_TOO_LARGE"


async def test_bytes_that_are_no_message_are_the_callers_mistake(
    house: tuple[House, Any],
) -> None:
    _, channel = house
    call = channel.unary_unary("/icecore.v1.ProbeService/GetProbe")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _reason(caught.value) == "ARGUMENT_INVALID"


async def test_a_method_that_is_not_there_is_unimplemented(house: tuple[House, Any]) -> None:
    _, channel = house
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/icecore.v1.ProbeService/GetNothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_wrong_key_is_nobody(house: tuple[House, Any]) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(
            pb.GetProbeRequest(), metadata=(("authorization", "Bearer icecore_wrong"),)
        )
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert _reason(caught.value) == "KEY_UNKNOWN"
    line = await rooms.last_call(1)
    assert (line["tenant"], line["status"]) == ("", "UNAUTHENTICATED")
    assert "icecore_wrong" not in json.dumps(rooms.log())


async def test_the_message_of_one_who_may_not_call_is_not_even_read(
    house: tuple[House, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else anybody could make the server hold as many large messages as they open calls."""
    _, channel = house
    read: list[int] = []

    def counted(deserialize: Any, max_bytes: int) -> Any:
        def count(data: bytes) -> Any:
            read.append(len(data))
            return Read(len(data), deserialize(data))

        return count

    monkeypatch.setattr("icecore.server.rpc.reading.limited", counted)
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    request = pb.GetProbeRequest(probe_id="x" * 1000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(request, metadata=(("authorization", "Bearer icecore_wrong"),))
    assert _reason(caught.value) == "KEY_UNKNOWN"
    assert read == []
    await stub.GetProbe(request)
    assert read == [request.ByteSize()]


async def test_a_call_without_its_message_is_the_callers_mistake(
    house: tuple[House, Any],
) -> None:
    """One whose client sends half of it and goes away, or a client of another make."""
    _, channel = house
    call = channel.stream_unary("/icecore.v1.ProbeService/GetProbe")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(iter([]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _reason(caught.value) == "ARGUMENT_INVALID"


async def test_who_may_not_call_any_more_is_told_nothing_more(house: tuple[House, Any]) -> None:
    """A watch under a key that is revoked ends at its next answer."""
    rooms, channel = house
    watch = probe_pb2_grpc.ProbeServiceStub(channel).WatchProbe(
        pb.WatchProbeRequest(probe_id="two")
    )
    assert (await watch.read()).stage == "waiting"
    rooms.keys.was_made = True
    rooms.gate.forget()
    rooms.service.go_on.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    assert _reason(caught.value) == "KEY_REQUIRED"


async def test_work_for_a_caller_who_left_is_cancelled(house: tuple[House, Any]) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    call = stub.GetProbe(pb.GetProbeRequest(probe_id="wait"))
    waiting = asyncio.ensure_future(call)
    await rooms.service.started.wait()
    assert rooms.activity.n_in_flight == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(rooms.service.cancelled.wait(), 10)
    assert (await rooms.last_call(1))["status"] == "CANCELLED"
    assert rooms.activity.n_in_flight == 0


async def test_work_past_its_deadline_is_cancelled(house: tuple[House, Any]) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetProbe(pb.GetProbeRequest(probe_id="wait"), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(rooms.service.cancelled.wait(), 10)
    assert (await rooms.last_call(1))["status"] == "DEADLINE_EXCEEDED"


async def test_the_work_is_told_the_callers_deadline(house: tuple[House, Any]) -> None:
    rooms, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    before = monotonic()
    await stub.GetProbe(pb.GetProbeRequest(), timeout=1000)
    after = monotonic()
    await stub.GetProbe(pb.GetProbeRequest())
    told, none = rooms.service.deadlines
    assert none is None
    assert told is not None
    rounded = 10  # gRPC sends three digits of a timeout, rounded up
    assert before + 1000 - 1 <= told <= after + 1000 + rounded


async def test_a_stream_that_the_caller_leaves_is_closed(house: tuple[House, Any]) -> None:
    rooms, channel = house
    watch = probe_pb2_grpc.ProbeServiceStub(channel).WatchProbe(pb.WatchProbeRequest())
    assert (await watch.read()).stage == "waiting"
    watch.cancel()
    await asyncio.wait_for(rooms.service.cancelled.wait(), 10)
    assert (await rooms.last_call(1))["status"] == "CANCELLED"


async def test_at_the_end_it_is_told_also_to_those_who_would_have_had_no_room(
    tmp_path: Path,
) -> None:
    """And it is seen that they still come: OVERLOADED would bring them back to this server."""
    rooms = House(Service(), Activity(), io.StringIO())  # type: ignore[abstract] # as above
    draining = Draining()
    door = Door(
        rooms.gate,
        rooms.activity,
        max_message_bytes=LIMIT,
        draining=draining,
        away_s=lambda _: 5.0 if rooms.activity.ended else None,
    )

    async def embed(_: bytes, context: object) -> bytes:
        return b"codes"

    server = grpc.aio.server(interceptors=[door])
    embedding: Any = grpc.unary_unary_rpc_method_handler(embed)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("icecore.v1.CodesService", {"Embed": embedding}),)
    )
    address = f"unix:{tmp_path / 's'}"
    server.add_insecure_port(address)
    await server.start()
    async with stopped(server), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/icecore.v1.CodesService/Embed")
        assert await call(b"") == b"codes"
        while not rooms.activity.ended:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert _reason(caught.value) == "OVERLOADED"
        draining.begin()
        for _ in range(2):
            before = draining._last_at
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"")
            assert _reason(caught.value) == "SHUTTING_DOWN"
            assert draining._last_at > before, "it would end before they have gone elsewhere"


async def test_who_is_being_told_one_state_when_the_server_stops_is_told_that_too() -> None:
    health = Health([])
    await health.set_ready()
    watch = health.Watch(health_pb2.HealthCheckRequest(), cast(Any, None))
    states = health_pb2.HealthCheckResponse
    assert (await anext(watch)).status == states.SERVING
    await health.stop()  # while it hangs in its first answer
    assert [answer.status async for answer in watch] == [states.NOT_SERVING]


async def test_two_watch_the_health_and_see_it_end(tmp_path: Path) -> None:
    health = Health(["icecore.v1.ProbeService"])
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"unix:{tmp_path / 's'}"
    server.add_insecure_port(address)
    await server.start()
    async with stopped(server), grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [
            stub.Watch(health_pb2.HealthCheckRequest(service=name))
            for name in ("", "icecore.v1.ProbeService", "unknown")
        ]
        states = health_pb2.HealthCheckResponse
        first = [(await watch.read()).status for watch in watches]
        assert first == [states.NOT_SERVING, states.NOT_SERVING, states.SERVICE_UNKNOWN]
        await health.set_ready()
        assert (await watches[0].read()).status == states.SERVING
        watches[0].cancel()
        await health.stop()
        rest = []
        while (answer := await watches[1].read()) is not grpc.aio.EOF:
            rest.append(answer.status)
        assert rest[-1] == states.NOT_SERVING, "who watches is not told that it ends"
        assert await watches[2].read() is grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

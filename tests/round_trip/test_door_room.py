"""Room for messages over a real socket, and that a call leaves nothing behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from callers import refusal_of
from icecore.server import errors
from icecore.server.rpc import answer_room
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.door import MAX_UNKNOWN_BYTES, Door
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.health import Health
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.reading import core_limit
from icecore.server.storage.promise import Store
from icecore.server.storage.records import KeyRecord
from icecore.server.tenants import hash_of
from icecore.v1 import probe_pb2 as pb
from icecore.v1 import probe_pb2_grpc

LIMIT = 1 << 20
ANSWER = 1 << 20
LARGE = pb.GetProbeRequest(probe_id="x" * (LIMIT - 100))


class Keys:
    """The part of a store that the gate asks: a tenant's key is its name."""

    def find_key(self, key_hash: bytes) -> KeyRecord | None:
        for tenant_id in ("a", "b"):
            if key_hash == hash_of(tenant_id):
                return KeyRecord(tenant_id, tenant_id, "", datetime.now(UTC))
        return None

    def any_tenant_key_was_made(self) -> bool:
        return True


class Witness:
    """Lives as long as the frame that it is made in."""


class Service(probe_pb2_grpc.ProbeServiceServicer):
    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.n_waiting = 0
        self.witnesses: list[weakref.ref[Witness]] = []

    async def GetProbe(self, request: pb.GetProbeRequest, context: object) -> pb.GetProbeResponse:
        self.n_waiting += 1
        await self.go_on.wait()
        return pb.GetProbeResponse()

    async def PredictStream(
        self, request_iterator: AsyncIterator[pb.PredictRequest], context: object
    ) -> AsyncIterator[pb.PredictResponse]:
        async for request in request_iterator:
            yield pb.PredictResponse(probe_id=request.probe_id[:1])

    async def Predict(self, request: pb.PredictRequest, context: object) -> pb.PredictResponse:
        await answer_room.take(ANSWER // 4, 1, np.dtype(np.float32))
        return pb.PredictResponse(probe_id="x" * ANSWER)

    async def embed_stream(
        self, request_iterator: AsyncIterator[bytes], context: object
    ) -> AsyncIterator[Witness]:
        async for _ in request_iterator:
            yield self._witness()

    def _witness(self) -> Witness:
        witness = Witness()
        self.witnesses.append(weakref.ref(witness))
        return witness

    async def DeleteProbe(
        self, request: pb.DeleteProbeRequest, context: object
    ) -> pb.DeleteProbeResponse:
        witness = self._witness()

        async def inner() -> None:
            try:
                int(request.probe_id)
            except ValueError as error:
                raise errors.ProbeNotFound(f"{type(witness).__name__} saw none") from error

        await inner()
        return pb.DeleteProbeResponse()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Service, Holding, Any]]:
    service = Service()  # type: ignore[abstract] # only what is called
    holding = Holding(8 * LIMIT)
    gate = Gate(cast(Store, Keys()), require_keys=True, listens_to_others=False)
    server = grpc.aio.server(
        interceptors=[Door(gate, Activity(), max_message_bytes=LIMIT, holding=holding)],
        options=[("grpc.max_receive_message_length", core_limit(LIMIT))],
    )
    probe_pb2_grpc.add_ProbeServiceServicer_to_server(service, server)
    stream: Any = grpc.stream_stream_rpc_method_handler(
        service.embed_stream, response_serializer=lambda _: b"seen"
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("icecore.v1.CodesService", {"EmbedStream": stream}),)
    )
    health_pb2_grpc.add_HealthServicer_to_server(Health([]), server)
    server.add_insecure_port(f"unix:{tmp_path / 's'}")
    await server.start()
    try:
        # A small window, so that what is not read stays with the server.
        options = [("grpc.http2.lookahead_bytes", 1 << 16), ("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}", options) as channel:
            yield service, holding, channel
    finally:
        await server.stop(None)


def _keyed(call: Callable[..., Any], tenant_id: str) -> Callable[[Any], Any]:
    return lambda request: call(request, metadata=(("authorization", f"Bearer {tenant_id}"),))


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_one_tenants_large_messages_leave_room_for_anothers(
    house: tuple[Service, Holding, Any],
) -> None:
    service, holding, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    ours, theirs = _keyed(stub.GetProbe, "a"), _keyed(stub.GetProbe, "b")
    flood = [asyncio.ensure_future(ours(LARGE)) for _ in range(40)]
    await _until(lambda: sum(call.done() for call in flood) == 36)
    assert service.n_waiting == 4, "half of the room, for one alone"
    refused = [call.exception() for call in flood if call.done()]
    for error in refused:
        assert refusal_of(error).reason == "OVERLOADED"
        trailers: Any = dict(cast(Any, error).trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
    beside = [asyncio.ensure_future(theirs(LARGE)) for _ in range(2)]
    await _until(lambda: service.n_waiting == 6)
    assert 5 * LIMIT < holding.n_bytes <= 8 * LIMIT
    service.go_on.set()
    await asyncio.gather(*[call for call in flood if not call.done()], *beside)
    await _until(lambda: not holding.n_bytes)
    assert holding.n_foreseen == 0
    await ours(LARGE)


async def test_a_stream_has_nothing_in_hand_while_it_rests(
    house: tuple[Service, Holding, Any],
) -> None:
    _, holding, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    stream = stub.PredictStream(metadata=(("authorization", "Bearer a"),))
    for _ in range(20):
        await stream.write(pb.PredictRequest(probe_id=LARGE.probe_id))
        assert (await stream.read()).probe_id == "x"
        await _until(lambda: not holding.n_bytes)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    await _until(lambda: not holding.n_foreseen)


@pytest.mark.parametrize("how", ["reads", "leaves", "is too late"])
async def test_an_answer_is_in_hand_until_it_was_sent(
    house: tuple[Service, Holding, Any], how: str
) -> None:
    """However long that takes: the service has answered and knows nothing more of it."""
    _, holding, channel = house
    keyed = (("authorization", "Bearer a"),)
    predict = channel.unary_stream(  # whose answers are read when they are asked for
        "/icecore.v1.ProbeService/Predict",
        request_serializer=pb.PredictRequest.SerializeToString,
        response_deserializer=pb.PredictResponse.FromString,
    )
    timeout = 0.5 if how == "is too late" else None
    unread = [predict(pb.PredictRequest(), metadata=keyed, timeout=timeout) for _ in range(4)]
    if how == "is too late":
        ended = [await call.code() for call in unread]
        assert set(ended) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    else:
        await _until(lambda: holding.n_bytes == 4 * ANSWER)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await predict(pb.PredictRequest(), metadata=keyed).read()
        assert refusal_of(caught.value).reason == "OVERLOADED"
        trailers: Any = dict(cast(Any, caught.value).trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        for call in unread:
            if how == "leaves":
                call.cancel()
            else:
                assert len((await call.read()).probe_id) == ANSWER
    await _until(lambda: not holding.n_bytes)
    assert not holding.caller("a").n_answer_bytes


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("probe_id", ["7", "none"])
async def test_what_a_call_worked_with_is_freed_when_it_ends(
    house: tuple[Service, Holding, Any], probe_id: str
) -> None:
    """Also when it failed, and without waiting for the garbage collector: or a caller of bad

    images makes a server hold far more than it has in hand.
    """
    service, _, channel = house
    stub = probe_pb2_grpc.ProbeServiceStub(channel)
    delete = _keyed(stub.DeleteProbe, "a")
    with _no_collector():
        for _ in range(5):
            try:
                await delete(pb.DeleteProbeRequest(probe_id=probe_id))
            except grpc.aio.AioRpcError as error:
                code = error.code()
                assert (code, probe_id) == (grpc.StatusCode.NOT_FOUND, "none")
        for _ in range(100):
            await asyncio.sleep(0)
        assert [witness() for witness in service.witnesses] == [None] * 5


async def test_an_answer_of_a_stream_is_freed_when_it_was_written(
    house: tuple[Service, Holding, Any],
) -> None:
    """A stream may rest for hours before the next, and a caller have hundreds of them."""
    service, _, channel = house
    call = channel.stream_stream("/icecore.v1.CodesService/EmbedStream")
    stream = call(metadata=(("authorization", "Bearer a"),))
    with _no_collector():
        for _ in range(3):
            await stream.write(b"")
            assert await stream.read() == b"seen"
        for _ in range(100):
            await asyncio.sleep(0)
        assert [witness() for witness in service.witnesses] == [None] * 3
    stream.cancel()


async def test_who_needs_no_key_sends_small_messages(house: tuple[Service, Holding, Any]) -> None:
    """A watch of a service that is not there keeps its name until one of both ends."""
    health: Any = health_pb2_grpc.HealthStub(house[2])
    asked = health_pb2.HealthCheckRequest(service="x" * MAX_UNKNOWN_BYTES)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(asked)
    assert refusal_of(caught.value).reason == "MESSAGE_TOO_LARGE"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in health.Watch(asked):
            pass
    assert refusal_of(caught.value).reason == "MESSAGE_TOO_LARGE"
    assert (await health.Check(health_pb2.HealthCheckRequest(service=""))).status

"""A server that is full, over real sockets: who is told what, and that nothing is done in vain."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from callers import Caller, calling, pixels, refusal_of
from icecore.server.backbones.running.sessions import Sessions
from icecore.v1 import codes_pb2 as pb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving

BOUND_MS = 2
"""Some passes of the toy; the test fills whatever fits."""


class Gate:
    """Passes of the network wait here while it is shut."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.began = threading.Event()
        self.n_passes = 0

    def shut(self) -> None:
        self.began.clear()
        self.is_open.clear()


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Server]:
    run = Sessions.readied

    def gated(self: Sessions, *given: Any, **named: Any) -> Any:
        gate.began.set()
        assert gate.is_open.wait(60), "nobody opened the gate"
        gate.n_passes += 1
        return run(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sessions, "readied", gated)
        folder = tmp_path_factory.mktemp("load") / "data"
        with serving(folder, max_queue_ms=BOUND_MS, cache_mb=0, metrics="127.0.0.1:0") as server:
            yield server


@pytest.fixture(scope="module")
def tenants(server: Server) -> Iterator[dict[str, Caller]]:
    with calling(server.address, server.admin_key) as admin:
        callers = {}
        for name in ("greedy", "modest"):
            admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=name))
            made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=name))
            callers[name] = admin.with_key(made.secret)
        yield callers


def request(seed: int, n_images: int = 1) -> pb.EmbedRequest:
    images = [pixels(1000 * seed + place) for place in range(n_images)]
    return pb.EmbedRequest(layers=["-1"], images=images)


@pytest.fixture
def full(gate: Gate, tenants: dict[str, Caller]) -> Iterator[list[Any]]:
    """The greedy tenant has as many calls in the house as it may, and a pass is under way."""
    for caller in tenants.values():
        caller.codes.Embed(request(0), timeout=60)  # keys and costs are known
    gate.shut()
    taken: list[Any] = []
    try:
        for seed in range(1, 10_000):
            call = tenants["greedy"].codes.Embed.future(request(seed), timeout=60)
            taken.append(call)
            assert gate.began.wait(60), "no pass began"
            if len(taken) > 1 and refused(call):
                taken.pop()
                break
        yield taken
    finally:
        gate.is_open.set()
        for call in taken:
            call.exception(timeout=60)


def refused(call: Any) -> bool:
    """Whether a call ends at once; one that is taken does not end while the gate is shut."""
    try:
        return call.exception(timeout=0.5) is not None
    except grpc.FutureTimeoutError:
        return False


def n_rejected(caller: Caller) -> int:
    return int(caller.tenants.GetUsage(tpb.GetUsageRequest(), timeout=60).n_rejected_images)


def until_in_flight(caller: Caller, n_images: int) -> None:
    """Return once the server has so many of the tenant's images in hand."""
    for _ in range(10_000):
        usage = caller.tenants.GetUsage(tpb.GetUsageRequest(), timeout=60)
        if usage.n_images_in_flight == n_images:
            return
    raise AssertionError(f"{usage.n_images_in_flight} images in hand, never {n_images}")


def test_a_full_queue_refuses_by_the_headers_and_says_when_to_come_again(
    full: list[Any], tenants: dict[str, Caller]
) -> None:
    """The bytes sent are no message, and nobody looks: the answer is the same."""
    assert len(full) >= 2
    before = n_rejected(tenants["greedy"])
    embed: Any = tenants["greedy"].keyed.unary_unary("/icecore.v1.CodesService/Embed")
    with pytest.raises(grpc.RpcError) as caught:
        embed(b"\xff no message", timeout=60, metadata=(("x-request-id", "mine"),))
    error: Any = caught.value
    said = refusal_of(error)
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert "take longer than a call may wait" in said.message
    trailers = dict(error.trailing_metadata())
    assert trailers["x-request-id"] == "mine"
    pushback_ms = int(trailers["grpc-retry-pushback-ms"])
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert 0 < pushback_ms == retry.retry_delay.ToMilliseconds()
    assert n_rejected(tenants["greedy"]) == before + 1


def test_nobody_else_is_refused_and_health_tells_the_truth(
    full: list[Any], gate: Gate, server: Server, tenants: dict[str, Caller]
) -> None:
    call = tenants["modest"].codes.Embed.future(request(1), timeout=60)
    with calling(server.address) as anyone:
        health = health_pb2_grpc.HealthStub(anyone.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.FutureTimeoutError):
        call.exception(timeout=0.2)  # it waits, and is not sent away
    gate.is_open.set()
    assert len(call.result(timeout=60).codes) == 1


def test_when_the_load_ends_calls_are_taken_again(
    full: list[Any], gate: Gate, tenants: dict[str, Caller]
) -> None:
    gate.is_open.set()
    for call in full:
        call.exception(timeout=60)
    answer = tenants["greedy"].codes.Embed(request(5, n_images=20), timeout=60)
    assert np.frombuffer(answer.codes[0].data, np.float32).size == 20 * 6


def test_a_call_whose_time_is_over_is_never_started(gate: Gate, tenants: dict[str, Caller]) -> None:
    modest = tenants["modest"]
    gate.shut()
    n_before = gate.n_passes
    try:
        first = modest.codes.Embed.future(request(1), timeout=60)
        assert gate.began.wait(60), "no pass began"
        late = modest.codes.Embed.future(request(2), timeout=0.3)
        assert late.exception(timeout=60).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        left = modest.codes.Embed.future(request(3), timeout=60)
        until_in_flight(modest, 2)
        left.cancel()
        until_in_flight(modest, 1)
    finally:
        gate.is_open.set()
    first.result(timeout=60)
    modest.codes.Embed(request(4), timeout=60)
    assert gate.n_passes == n_before + 2, "the first and the last, and none for those between"

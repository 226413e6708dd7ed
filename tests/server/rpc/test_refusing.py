"""Calls refused by their headers: which, what they are told, and the one line a second."""

import asyncio
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from icecore.server import telemetry
from icecore.server.rpc.activity import Activity
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.refusing import Refusing
from icecore.server.telemetry.metrics import Metrics
from seen_metrics import seen

EMBED = "/icecore.v1.CodesService/Embed"


class KnownGate:
    """Knows the tenant of a call that says it."""

    def surely(self, metadata: Any) -> str | None:
        return dict(metadata).get("tenant")


class Context:
    """Keeps what a call was ended with."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.trailers: dict[str, Any] = {}

    async def abort(self, code: grpc.StatusCode, message: str, trailers: Any) -> None:
        self.code = code
        self.message = message
        self.trailers = dict(trailers)


class House:
    """Refuses the tenant "full", and is asked about nobody else."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.away_s = 0.1234
        self.activity = Activity()
        self.metrics = Metrics()
        self.refusing = Refusing(
            cast(Gate, KnownGate()),
            self.activity,
            self.metrics,
            lambda tenant_id: self.away_s if tenant_id == "full" else None,
            clock=lambda: self.now,
            later=lambda seconds, work: self.due.append((self.now + seconds, work)),
        )

    def wait(self, seconds: float) -> None:
        """Let time pass, and what was to be done later be done."""
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            self.now, work = self.due.pop(0)
            work()
        self.now = end

    def call(self, method: str = EMBED, **metadata: str) -> Context | None:
        """Return how the call ended by its headers, None if it may come in."""
        details = SimpleNamespace(method=method, invocation_metadata=tuple(metadata.items()))
        handler = self.refusing.handler(cast(grpc.HandlerCallDetails, details))
        if handler is None:
            return None
        context = Context()
        asyncio.run(handler.stream_unary(None, context))
        return context


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(telemetry, "log", lambda _, **fields: kept.append(fields))
    return kept


def test_only_calls_that_always_embed_of_a_known_and_full_tenant_are_refused(house: House) -> None:
    assert house.call(tenant="full") is not None
    assert house.call(method="/inference.GRPCInferenceService/ModelInfer", tenant="full")
    assert house.call(tenant="other") is None
    assert house.call() is None
    for method in (
        "/icecore.v1.CodesService/EmbedStream",
        "/icecore.v1.ProbeService/Predict",
        "/icecore.v1.TenantService/GetUsage",
        "/grpc.health.v1.Health/Check",
    ):
        assert house.call(method=method, tenant="full") is None


def test_what_is_told_says_the_same_everywhere(house: House) -> None:
    call = house.call(tenant="full", **{"x-request-id": "mine"})
    assert call is not None
    assert call.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call.trailers["x-request-id"] == "mine"
    assert call.trailers["grpc-retry-pushback-ms"] == "130"
    status = status_pb2.Status.FromString(call.trailers["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (status.code, status.message) == (8, call.message)
    assert (info.reason, info.domain) == ("OVERLOADED", "icecore")
    assert retry.retry_delay.ToMilliseconds() == 130


@pytest.mark.parametrize(
    ("away_s", "told_ms"),
    [(0.0001, 1), (0.0094, 10), (0.0101, 11), (0.1, 100), (0.101, 110), (4.91, 5000), (61, 61000)],
)
def test_moments_are_rounded_up_to_two_digits(house: House, away_s: float, told_ms: int) -> None:
    """Never to an earlier one, and by a tenth at most."""
    house.away_s = away_s
    call = house.call(tenant="full")
    assert call is not None
    assert call.trailers["grpc-retry-pushback-ms"] == str(told_ms)
    assert told_ms >= away_s * 1e3 - 1e-9


def test_every_refusal_is_counted_and_some_are_written(
    house: House, lines: list[dict[str, Any]]
) -> None:
    for _ in range(350):
        house.call(tenant="full")
        house.wait(0.01)
    assert seen(house.metrics, "icecore_calls_total", status="RESOURCE_EXHAUSTED") == 350
    assert seen(house.metrics, "icecore_rejections_total", reason="OVERLOADED") == 350
    assert house.activity.ended == {(EMBED, "RESOURCE_EXHAUSTED"): 350}
    assert house.activity.n_in_flight == 0
    assert len(lines) in (3, 4)
    assert {(line["tenant"], line["status"]) for line in lines} == {("full", "RESOURCE_EXHAUSTED")}
    n_told = len(lines) + sum(line["n_before"] for line in lines)
    assert 250 <= n_told <= 350, "each line says how many came before it without one"


@pytest.mark.parametrize("seed", range(5))
def test_a_second_after_a_burst_all_of_it_is_told(
    house: House, lines: list[dict[str, Any]], seed: int
) -> None:
    """Whether others follow or not; then nothing of it is kept, and nothing waited for."""
    dice = random.Random(seed)
    n = 0
    for _ in range(4):
        for _ in range(dice.randrange(1, 200)):
            house.call(tenant="full", **{"x-request-id": str(n)})
            n += 1
            house.wait(dice.random() / 20)
        house.wait(1.0)
        assert len(lines) + sum(line["n_before"] for line in lines) == n
        assert lines[-1]["request_id"] == str(n - 1), "the last one is named"
        house.wait(dice.random() * 3 + 1.0)
    house.wait(1.0)
    assert not house.due


async def test_the_rest_of_a_burst_is_told_by_the_loop_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, both = [], asyncio.Event()

    def log(_: str, **fields: Any) -> None:
        told.append(fields["n_before"])
        if len(told) == 2:
            both.set()

    monkeypatch.setattr(telemetry, "log", log)
    refusing = Refusing(cast(Gate, KnownGate()), Activity(), Metrics(), lambda _: 0.1)
    details = SimpleNamespace(method=EMBED, invocation_metadata=(("tenant", "full"),))
    for _ in range(5):
        handler = refusing.handler(cast(grpc.HandlerCallDetails, details))
        await handler.stream_unary(None, Context())
    assert told == [0]
    await asyncio.wait_for(both.wait(), 60)
    assert told == [0, 3]

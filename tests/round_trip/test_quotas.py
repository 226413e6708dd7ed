"""Quotas and usage over the wire, with two tenants on one server."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import pytest

from callers import Caller, calling, pixels, refusal, refusal_of
from counted import bytes_of
from icecore.v1 import codes_pb2, common_pb2
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving

SLOW = 1e-3
"""Images a second: none comes back while a test runs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("quotas") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


def _tenant(admin: Caller, tenant_id: str, **quota: Any) -> Caller:
    admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
    made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id))
    if quota:
        _set(admin, tenant_id, **quota)
    return admin.with_key(made.secret)


def _set(admin: Caller, tenant_id: str, *, request_id: str = "", **quota: Any) -> tpb.Quota:
    request = tpb.SetQuotaRequest(
        tenant_id=tenant_id, request_id=request_id, quota=tpb.Quota(**quota)
    )
    answer: tpb.SetQuotaResponse = admin.tenants.SetQuota(request)
    return answer.quota


def _usage(caller: Caller, tenant_id: str = "") -> tpb.GetUsageResponse:
    answer: tpb.GetUsageResponse = caller.tenants.GetUsage(tpb.GetUsageRequest(tenant_id=tenant_id))
    return answer


def _images(n: int, *, seed: int = 0) -> codes_pb2.EmbedRequest:
    return codes_pb2.EmbedRequest(layers=["-1"], images=[pixels(seed + at) for at in range(n)])


def _batch(*ids: str, request_id: str = "", **fields: Any) -> cpb.AddExamplesRequest:
    request = cpb.AddExamplesRequest(collection_id="c", request_id=request_id, **fields)
    for number, example_id in enumerate(ids):
        example = cpb.Example(example_id=example_id, label="ab"[number % 2])
        request.examples.add(example=example, image=pixels(number))
    return request


def _add(caller: Caller, *requests: cpb.AddExamplesRequest) -> list[cpb.AddExamplesResponse]:
    return list(caller.collections.AddExamples(iter(requests)))


def _pushback_ms(call: Callable[[], Any]) -> int:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"])


def test_a_quota_is_set_and_told(admin: Caller) -> None:
    caller = _tenant(admin, "told")
    assert _usage(caller).quota == tpb.Quota(weight=1.0), "none was set"
    quota = tpb.Quota(
        images_per_second=12.5,
        burst_images=40,
        max_images_in_flight=64,
        storage_bytes=10**12,
        weight=2.0,
    )
    request = tpb.SetQuotaRequest(tenant_id="told", quota=quota)
    assert admin.tenants.SetQuota(request).quota == quota
    for usage in (_usage(caller), _usage(caller, "told"), _usage(admin, "told")):
        assert usage.tenant_id == "told"
        assert usage.quota == quota
        assert usage.since.seconds > 0
    assert _set(admin, "told") == tpb.Quota(weight=1.0), "it is replaced whole"


def test_a_tenant_sees_its_own_usage_alone(admin: Caller) -> None:
    caller = _tenant(admin, "curious")
    said = [refusal(partial(_usage, caller, who)) for who in ("told", "nobody", "a/b")]
    assert {(one.code, one.reason) for one in said} == {("PERMISSION_DENIED", "ADMIN_REQUIRED")}
    assert len({one.message for one in said}) == 1, "nor does it learn who exists"
    request = tpb.SetQuotaRequest(tenant_id="curious")
    assert refusal(lambda: caller.tenants.SetQuota(request)).reason == "ADMIN_REQUIRED"
    assert refusal(lambda: _usage(admin, "nobody")).reason == "TENANT_NOT_FOUND"
    assert refusal(lambda: _usage(admin)).reason == "NAME_INVALID"


@pytest.mark.parametrize(
    "fields",
    [
        {"images_per_second": float("nan")},
        {"images_per_second": -1.0},
        {"weight": float("inf")},
        {"weight": -1.0},
        {"storage_bytes": 2**64 - 1},
        {"burst_images": 5},
    ],
)
def test_what_is_no_quota_is_refused(admin: Caller, fields: dict[str, Any]) -> None:
    said = refusal(lambda: _set(admin, "default", **fields))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "QUOTA_INVALID")
    assert next(iter(fields)) in said.message
    assert refusal(lambda: _set(admin, "nobody")).reason == "TENANT_NOT_FOUND"


def test_setting_a_quota_is_exactly_once(admin: Caller) -> None:
    """A late retry gets the first answer and brings nothing back."""
    caller = _tenant(admin, "once")
    first = _set(admin, "once", request_id="q1", max_images_in_flight=1)
    _set(admin, "once", request_id="q2", max_images_in_flight=3)
    assert _set(admin, "once", request_id="q1", max_images_in_flight=1) == first
    assert _usage(caller).quota.max_images_in_flight == 3
    caller.codes.Embed(_images(3))
    with pytest.raises(grpc.RpcError):
        caller.codes.Embed(_images(4))
    other = refusal(lambda: _set(admin, "once", request_id="q1", max_images_in_flight=9))
    assert other.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("n_a_call", [1, 2, 6])
def test_a_rate_is_the_same_however_images_are_put_into_calls(admin: Caller, n_a_call: int) -> None:
    caller = _tenant(admin, f"rate-{n_a_call}", images_per_second=SLOW, burst_images=6)
    for number in range(6 // n_a_call):
        caller.codes.Embed(_images(n_a_call, seed=100 * number))
    said = refusal(lambda: caller.codes.Embed(_images(n_a_call)))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert "0.001 a second" in said.message
    wait_ms = _pushback_ms(lambda: caller.codes.Embed(_images(n_a_call)))
    assert 1e6 * (n_a_call - 1) < wait_ms <= 1e6 * n_a_call, "a thousand seconds an image"
    usage = _usage(caller)
    assert (usage.n_images, usage.n_rejected_images) == (6, 2 * n_a_call)
    free = _tenant(admin, f"free-{n_a_call}")
    free.codes.Embed(_images(20))
    assert _usage(free).n_images == 20
    _set(admin, f"rate-{n_a_call}")
    caller.codes.Embed(_images(20))


def test_every_way_to_codes_counts(admin: Caller) -> None:
    caller = _tenant(admin, "ways")
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
    ids = [f"{number}" for number in range(8)]
    _add(caller, _batch(*ids))
    caller.probes.TrainProbe(ppb.TrainProbeRequest(probe_id="p", collection_id="c", layers=["-1"]))
    list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="p")))
    before = _usage(caller)
    assert before.n_images == 8
    assert (before.n_collections, before.n_examples, before.n_probes) == (1, 8, 1)
    images = ppb.PredictRequest.Images(images=[pixels(0)])
    search = cpb.SearchRequest(
        collection_id="c", k=1, images=cpb.SearchRequest.Images(images=[pixels(1), pixels(2)])
    )
    predict = ppb.PredictRequest(probe_id="p", images=images)
    calls: list[tuple[int, Callable[[], Any]]] = [
        (1, lambda: caller.probes.Predict(predict)),
        (1, lambda: list(caller.probes.PredictStream(iter([predict])))),
        (2, lambda: caller.collections.Search(search)),
        (3, lambda: caller.codes.Embed(_images(3))),
        (3, lambda: list(caller.codes.EmbedStream(iter([_images(3)])))),
        (1, lambda: _add(caller, _batch("new"))),
    ]
    n_images = before.n_images
    for n, call in calls:
        call()
        n_images += n
        assert _usage(caller).n_images == n_images
    assert _usage(caller).cpu_seconds > 0
    _set(admin, "ways", images_per_second=SLOW, burst_images=1)
    caller.codes.Embed(_images(1))
    for _, call in calls[:-1]:
        assert refusal(call).reason == "RATE_LIMITED"
    assert refusal(lambda: _add(caller, _batch("newer"))).reason == "RATE_LIMITED"
    assert _usage(caller).n_examples == 9, "and nothing of it is stored"


def test_a_call_with_more_images_than_may_ever_be_in_flight_is_told_so(admin: Caller) -> None:
    caller = _tenant(admin, "wide", max_images_in_flight=4)
    caller.codes.Embed(_images(4))
    said = refusal(lambda: caller.codes.Embed(_images(5)))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "IMAGES_IN_FLIGHT_EXCEEDED")
    assert "never" in said.message
    assert _pushback_ms(lambda: caller.codes.Embed(_images(5))) == -1, "a retry is of no use"


def test_images_in_flight_are_bounded_over_all_calls_and_come_back(admin: Caller) -> None:
    caller = _tenant(admin, "many", max_images_in_flight=8)

    def call(number: int) -> int:
        try:
            caller.codes.Embed(_images(4, seed=number * 10))
        except grpc.RpcError as error:
            refused.append(refusal_of(error).reason)
            return 0
        return 4

    refused: list[str] = []
    with ThreadPoolExecutor(16) as pool:
        n_done = sum(pool.map(call, range(100)))
    assert set(refused) <= {"IMAGES_IN_FLIGHT_EXCEEDED"}
    usage = _usage(caller)
    assert usage.n_images == n_done >= 8
    assert usage.n_rejected_images == 400 - n_done
    assert usage.n_images_in_flight == 0
    caller.codes.Embed(_images(8))


def test_a_quota_holds_from_a_streams_next_message_on(admin: Caller) -> None:
    caller = _tenant(admin, "stream")
    messages: Queue[codes_pb2.EmbedRequest | None] = Queue()
    answers = caller.codes.EmbedStream(iter(messages.get, None))
    messages.put(_images(2))
    assert len(next(answers).codes) == 1
    _set(admin, "stream", max_images_in_flight=1)
    messages.put(_images(1))
    assert len(next(answers).codes) == 1
    messages.put(_images(2))
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    messages.put(None)
    assert refusal_of(caught.value).reason == "IMAGES_IN_FLIGHT_EXCEEDED"


def test_storage_is_counted_to_the_byte_and_bounded(server: Server, admin: Caller) -> None:
    caller = _tenant(admin, "stored")
    assert _usage(caller).storage_bytes == 0
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
    _add(caller, _batch("0", "1", "2", "3"))
    counted = _usage(caller).storage_bytes
    assert counted == bytes_of(server.data, "stored") > 0
    again = _batch("4", request_id="r")
    assert _add(caller, again) == _add(caller, again)
    one = _usage(caller).storage_bytes - counted
    assert _usage(caller).storage_bytes == bytes_of(server.data, "stored")
    full = _usage(caller).storage_bytes + one
    _set(admin, "stored", storage_bytes=full)
    _add(caller, _batch("5"))
    before = _usage(caller)
    assert before.storage_bytes == full
    create = cpb.CreateCollectionRequest(collection_id="d")
    train = ppb.TrainProbeRequest(probe_id="p", collection_id="c", layers=["-1"])
    calls: list[Callable[[], Any]] = [
        lambda: _add(caller, _batch("6", "7")),
        lambda: caller.collections.CreateCollection(create),
        lambda: caller.probes.TrainProbe(train),
    ]
    for call in calls:
        said = refusal(call)
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_QUOTA_EXCEEDED")
        assert f"quota of {full:,}" in said.message
        assert _pushback_ms(call) == -1
    assert _add(caller, again), "what was done stays done"
    after = _usage(caller)
    assert after == before, "nor was a pass run for what was refused"
    delete = cpb.DeleteExamplesRequest(collection_id="c", example_ids=["5"])
    caller.collections.DeleteExamples(delete)
    assert _usage(caller).storage_bytes == full - one == bytes_of(server.data, "stored")
    _add(caller, _batch("6"))
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="c"))
    assert _usage(caller).storage_bytes == 0


def test_a_probe_that_no_longer_fits_when_it_is_trained_fails_and_says_why(
    admin: Caller,
) -> None:
    caller = _tenant(admin, "late")
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
    _add(caller, _batch(*(f"{number}" for number in range(8))))
    _set(admin, "late", storage_bytes=_usage(caller).storage_bytes + 500)
    caller.probes.TrainProbe(ppb.TrainProbeRequest(probe_id="p", collection_id="c", layers=["-1"]))
    last = list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="p")))[-1]
    assert last.version.state == ppb.VERSION_STATE_FAILED
    assert last.version.failure_reason == "STORAGE_QUOTA_EXCEEDED"


def test_a_tenant_made_anew_has_the_quota_and_the_usage_of_nobody(admin: Caller) -> None:
    caller = _tenant(admin, "anew", max_images_in_flight=1)
    caller.codes.Embed(_images(1))
    admin.tenants.DeleteTenant(tpb.DeleteTenantRequest(tenant_id="anew"))
    again = _tenant(admin, "anew")
    assert _usage(again).quota == tpb.Quota(weight=1.0)
    assert _usage(again).n_images == 0
    again.codes.Embed(_images(2))


def test_quotas_hold_after_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, calling(server.address, server.admin_key) as admin:
        _set(admin, "default", max_images_in_flight=2, weight=3.0)
    with serving(tmp_path / "data") as server, calling(server.address) as local:
        assert _usage(local).quota == tpb.Quota(max_images_in_flight=2, weight=3.0)
        local.codes.Embed(_images(2))
        said = refusal(lambda: local.codes.Embed(_images(3)))
        assert said.reason == "IMAGES_IN_FLIGHT_EXCEEDED"


def test_a_priority_that_is_none_is_refused(admin: Caller) -> None:
    caller = _tenant(admin, "urgent")
    for known in (0, common_pb2.PRIORITY_INTERACTIVE, common_pb2.PRIORITY_BULK):
        request = _images(1)
        request.priority = common_pb2.Priority.ValueType(known)
        caller.codes.Embed(request)
    unknown: Any = _images(1)
    unknown.priority = 7
    said = refusal(lambda: caller.codes.Embed(unknown))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "PRIORITY_INVALID")
    images = ppb.PredictRequest.Images(images=[pixels(0)])
    predict: Any = ppb.PredictRequest(probe_id="p", images=images)
    predict.priority = 7
    assert refusal(lambda: caller.probes.Predict(predict)).reason == "PRIORITY_INVALID"

"""Tenants and their keys over the wire, and what a tenant can learn of another: nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callers import Caller, Refusal, calling, pixels, refusal
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("tenants") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


def _tenant(admin: Caller, tenant_id: str) -> Caller:
    admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
    made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id))
    return admin.with_key(made.secret)


def test_keys_are_shown_once_and_end_when_revoked(admin: Caller) -> None:
    admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="keys"))
    made = [
        admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="keys", label=label))
        for label in ("one", "two")
    ]
    assert len({one.secret for one in made}) == 2
    assert all(len(one.secret.removeprefix("icecore_")) == 43 for one in made), "256 bits, base64"
    listed = admin.tenants.ListKeys(tpb.ListKeysRequest(tenant_id="keys"))
    assert {key.label for key in listed.keys} == {"one", "two"}
    assert not any(one.secret in str(listed) for one in made)
    callers = [admin.with_key(one.secret) for one in made]
    for caller in callers:
        caller.collections.ListCollections(cpb.ListCollectionsRequest())
    admin.tenants.RevokeKey(
        tpb.RevokeKeyRequest(tenant_id="keys", key_id=made[0].key.key_id, request_id="r1")
    )
    said = refusal(lambda: callers[0].collections.ListCollections(cpb.ListCollectionsRequest()))
    assert (said.code, said.reason) == ("UNAUTHENTICATED", "KEY_UNKNOWN")
    callers[1].collections.ListCollections(cpb.ListCollectionsRequest())
    again = tpb.RevokeKeyRequest(tenant_id="keys", key_id=made[0].key.key_id)
    assert refusal(lambda: admin.tenants.RevokeKey(again)).reason == "KEY_NOT_FOUND"


def test_a_revoked_key_ends_a_stream_at_its_next_message(admin: Caller) -> None:
    admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="stream"))
    made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="stream"))
    caller = admin.with_key(made.secret)
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))

    def batches() -> Iterator[cpb.AddExamplesRequest]:
        yield _batch("c", "before")
        admin.tenants.RevokeKey(tpb.RevokeKeyRequest(tenant_id="stream", key_id=made.key.key_id))
        yield _batch("c", "after")

    assert refusal(lambda: list(caller.collections.AddExamples(batches()))).reason == "KEY_UNKNOWN"


def test_tenants_are_listed_in_pages(admin: Caller) -> None:
    wanted = [f"page-{number}" for number in range(5)]
    for tenant_id in wanted:
        admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
    seen: list[str] = []
    token = ""
    while True:
        page = admin.tenants.ListTenants(tpb.ListTenantsRequest(page_size=2, page_token=token))
        assert len(page.tenants) <= 2
        seen += [tenant.tenant_id for tenant in page.tenants]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(set(seen)), "a page repeats or skips the order"
    assert set(wanted) | {"default"} <= set(seen)


def test_making_a_tenant_is_exactly_once(admin: Caller) -> None:
    request = tpb.CreateTenantRequest(tenant_id="once", request_id="once-1")
    first = admin.tenants.CreateTenant(request)
    assert admin.tenants.CreateTenant(request) == first
    other = tpb.CreateTenantRequest(tenant_id="twice", request_id="once-1")
    assert refusal(lambda: admin.tenants.CreateTenant(other)).reason == "REQUEST_ID_REUSED"
    new = tpb.CreateTenantRequest(tenant_id="once", request_id="once-2")
    assert refusal(lambda: admin.tenants.CreateTenant(new)).reason == "TENANT_EXISTS"


def test_a_deleted_tenant_is_gone_with_its_keys_and_data(admin: Caller) -> None:
    caller = _tenant(admin, "gone")
    _fill(caller)
    admin.tenants.DeleteTenant(tpb.DeleteTenantRequest(tenant_id="gone"))
    listing = cpb.ListCollectionsRequest()
    assert refusal(lambda: caller.collections.ListCollections(listing)).reason == "KEY_UNKNOWN"
    absent = tpb.ListKeysRequest(tenant_id="gone")
    assert refusal(lambda: admin.tenants.ListKeys(absent)).reason == "TENANT_NOT_FOUND"
    again = _tenant(admin, "gone")
    assert not again.collections.ListCollections(listing).collections
    said = refusal(lambda: again.collections.Search(_search("theirs", metric=cpb.METRIC_COSINE)))
    assert said.reason == "COLLECTION_NOT_FOUND"


@pytest.mark.parametrize("tenant_id", ["", "a/b", "a\0b", "x" * 2**20])
def test_a_tenants_id_has_rules(admin: Caller, tenant_id: str) -> None:
    request = tpb.CreateTenantRequest(tenant_id=tenant_id)
    said = refusal(lambda: admin.tenants.CreateTenant(request))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "NAME_INVALID")


def _batch(collection_id: str, *ids: str, label: str = "") -> cpb.AddExamplesRequest:
    request = cpb.AddExamplesRequest(collection_id=collection_id)
    for number, example_id in enumerate(ids):
        request.examples.add(
            example=cpb.Example(example_id=example_id, label=label or "ab"[number % 2]),
            image=pixels(number),
        )
    return request


def _search(collection_id: str, **fields: Any) -> cpb.SearchRequest:
    images = cpb.SearchRequest.Images(images=[pixels(0)])
    return cpb.SearchRequest(collection_id=collection_id, k=1, images=images, **fields)


def _fill(caller: Caller) -> None:
    """Make the collection and the probe `theirs`, the latter with a READY version."""
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="theirs"))
    ids = [f"{number}.png" for number in range(8)]
    list(caller.collections.AddExamples(iter([_batch("theirs", *ids)])))
    caller.probes.TrainProbe(
        ppb.TrainProbeRequest(probe_id="theirs", collection_id="theirs", layers=["-1"])
    )
    last = list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="theirs")))[-1]
    assert last.version.state == ppb.VERSION_STATE_READY, last.version.failure_message


C, P = "COLLECTION", "PROBE"
CALLS: dict[str, tuple[str, Callable[[Caller, str], Any]]] = {
    "GetCollection": (
        C,
        lambda c, i: c.collections.GetCollection(cpb.GetCollectionRequest(collection_id=i)),
    ),
    "DeleteCollection": (
        C,
        lambda c, i: c.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id=i)),
    ),
    "AddExamples": (
        C,
        lambda c, i: list(c.collections.AddExamples(iter([_batch(i, "0.png")]))),
    ),
    "ListExamples": (
        C,
        lambda c, i: c.collections.ListExamples(cpb.ListExamplesRequest(collection_id=i)),
    ),
    "DeleteExamples": (
        C,
        lambda c, i: c.collections.DeleteExamples(
            cpb.DeleteExamplesRequest(collection_id=i, example_ids=["0.png"])
        ),
    ),
    "Search": (C, lambda c, i: c.collections.Search(_search(i))),
    "Search by id": (
        C,
        lambda c, i: c.collections.Search(
            cpb.SearchRequest(
                collection_id=i,
                k=1,
                example_ids=cpb.SearchRequest.ExampleIds(example_ids=["0.png"]),
            )
        ),
    ),
    "TrainProbe": (
        C,
        lambda c, i: c.probes.TrainProbe(ppb.TrainProbeRequest(probe_id="mine", collection_id=i)),
    ),
    "AdviseTransfer": (
        C,
        lambda c, i: list(c.probes.AdviseTransfer(ppb.AdviseTransferRequest(collection_id=i))),
    ),
    "WatchProbe": (
        P,
        lambda c, i: list(c.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=i))),
    ),
    "WatchProbe a version": (
        P,
        lambda c, i: list(c.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=i, version=1))),
    ),
    "CancelTraining": (
        P,
        lambda c, i: c.probes.CancelTraining(ppb.CancelTrainingRequest(probe_id=i, version=1)),
    ),
    "GetProbe": (P, lambda c, i: c.probes.GetProbe(ppb.GetProbeRequest(probe_id=i))),
    "PromoteVersion": (
        P,
        lambda c, i: c.probes.PromoteVersion(ppb.PromoteVersionRequest(probe_id=i, version=1)),
    ),
    "CompareVersions": (
        P,
        lambda c, i: c.probes.CompareVersions(
            ppb.CompareVersionsRequest(probe_id=i, version_a=1, version_b=1)
        ),
    ),
    "DeleteVersion": (
        P,
        lambda c, i: c.probes.DeleteVersion(ppb.DeleteVersionRequest(probe_id=i, version=1)),
    ),
    "DeleteProbe": (P, lambda c, i: c.probes.DeleteProbe(ppb.DeleteProbeRequest(probe_id=i))),
    "Predict": (
        P,
        lambda c, i: c.probes.Predict(
            ppb.PredictRequest(probe_id=i, images=ppb.PredictRequest.Images(images=[pixels(0)]))
        ),
    ),
    "PredictStream": (
        P,
        lambda c, i: list(
            c.probes.PredictStream(
                iter(
                    [
                        ppb.PredictRequest(
                            probe_id=i,
                            version=1,
                            images=ppb.PredictRequest.Images(images=[pixels(0)]),
                        )
                    ]
                )
            )
        ),
    ),
}


@pytest.fixture(scope="module")
def owner_and_other(admin: Caller) -> tuple[Caller, Caller]:
    owner, other = _tenant(admin, "owner"), _tenant(admin, "other")
    _fill(owner)
    return owner, other


@pytest.mark.parametrize("name", CALLS)
def test_anothers_id_answers_exactly_as_an_absent_one(
    name: str, owner_and_other: tuple[Caller, Caller]
) -> None:
    """Status, reason, details and sentence, the id itself apart."""
    owner, other = owner_and_other
    noun, call = CALLS[name]

    def said(example_id: str) -> Refusal:
        answer = refusal(lambda: call(other, example_id))
        details = tuple((key, text.replace(example_id, "ID")) for key, text in answer.details)
        return Refusal(
            answer.code, answer.reason, answer.message.replace(example_id, "ID"), details
        )

    theirs, absent = said("theirs"), said("absent")
    assert theirs == absent
    assert (absent.code, absent.reason) == ("NOT_FOUND", f"{noun}_NOT_FOUND")
    # and nothing of it was done to the owner's
    owner.collections.GetCollection(cpb.GetCollectionRequest(collection_id="theirs"))
    owner.probes.GetProbe(ppb.GetProbeRequest(probe_id="theirs"))


def test_the_walk_leaves_out_no_call_that_takes_an_id() -> None:
    walked = {name.split(" ")[0] for name in CALLS}
    for file in (cpb, ppb):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                takes_id = {"collection_id", "probe_id"} & set(method.input_type.fields_by_name)
                makes_it = method.name in ("CreateCollection",)
                later = {"Explain", "ExportProbe"}
                if takes_id and not makes_it and method.name not in later:
                    assert method.name in walked, method.name


def test_tenants_use_the_same_ids_side_by_side(owner_and_other: tuple[Caller, Caller]) -> None:
    owner, other = owner_and_other
    other.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="theirs"))
    list(other.collections.AddExamples(iter([_batch("theirs", "mine.png", label="x")])))
    (result,) = other.collections.Search(_search("theirs")).results
    assert [hit.example.example_id for hit in result.hits] == ["mine.png"]
    (result,) = owner.collections.Search(_search("theirs")).results
    assert [hit.example.example_id for hit in result.hits] == ["0.png"]
    listed = owner.collections.ListCollections(cpb.ListCollectionsRequest()).collections
    assert [one.collection_name for one in listed] == ["tenants/owner/collections/theirs"]
    other.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="theirs"))
    assert owner.collections.Search(_search("theirs")).results


def test_a_request_id_of_one_tenant_is_nothing_to_another(
    owner_and_other: tuple[Caller, Caller],
) -> None:
    for number, caller in enumerate(owner_and_other):
        request = cpb.CreateCollectionRequest(collection_id=f"own-{number}", request_id="the-same")
        made = caller.collections.CreateCollection(request).collection
        assert made.collection_id == f"own-{number}"


def test_codes_of_nobody_are_shared(owner_and_other: tuple[Caller, Caller]) -> None:
    """Backbones are: both see the same one."""
    from icecore.v1 import backbone_pb2

    digests = {
        caller.backbones.GetBackbone(backbone_pb2.GetBackboneRequest()).backbone.digest
        for caller in owner_and_other
    }
    assert len(digests) == 1
    assert common_pb2.DType.Value("D_TYPE_FLOAT32") == 1

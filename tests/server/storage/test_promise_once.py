"""A mutation is done once, however often it is asked for."""

from collections.abc import Callable

import pytest

from icecore.server import errors
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import AddedCounts, Mutation, OnDuplicate
from storing import DIGEST, batch_of, make_collection, request


@pytest.fixture
def tenant(store: Store) -> TenantStore:
    """A tenant with a collection, and a probe of two ready versions."""
    tenant = make_collection(store.tenant("default"))
    for _ in range(2):
        version = tenant.start_training("p", kind="svm", collection_id="ants", request={})
        tenant.finish_training(
            "p",
            version.version,
            create_time=version.create_time,
            result={},
            file=b"f",
            seconds=1.0,
            promote=False,
        )
    return tenant


def add(tenant: TenantStore, mutation: Mutation) -> AddedCounts:
    return tenant.add_examples(
        "ants", batch_of(["a", "b"]), on_duplicate=OnDuplicate.REFUSE, mutation=mutation
    )


Call = Callable[[Store, TenantStore, Mutation], object]

CALLS: dict[str, Call] = {
    "create_collection": lambda _, tenant, mutation: tenant.create_collection(
        "bees", backbone="toy", digest=DIGEST, keep_images=True, mutation=mutation
    ),
    "delete_collection": lambda _, tenant, mutation: tenant.delete_collection(
        "ants", mutation=mutation
    ),
    "add_examples": lambda _, tenant, mutation: add(tenant, mutation),
    "start_training": lambda _, tenant, mutation: tenant.start_training(
        "p", kind="svm", collection_id="ants", request={"a": [1]}, mutation=mutation
    ),
    "cancel_training": lambda _, tenant, mutation: tenant.cancel_training(
        "p", 1, mutation=mutation
    ),
    "promote_version": lambda _, tenant, mutation: tenant.promote_version(
        "p", 1, expected_version=0, mutation=mutation
    ),
    "delete_version": lambda _, tenant, mutation: tenant.delete_version("p", 2, mutation=mutation),
    "delete_probe": lambda _, tenant, mutation: tenant.delete_probe("p", mutation=mutation),
    "create_tenant": lambda store, _, mutation: store.create_tenant("t", mutation=mutation),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_retry_gets_the_first_answer_and_changes_nothing(
    reopen: Callable[[], Store], store: Store, tenant: TenantStore, call: Call
) -> None:
    first = call(store, tenant, request("r"))
    state = (tenant.collections(), tenant.probes(), store.tenants())
    assert call(store, tenant, request("r")) == first
    assert (tenant.collections(), tenant.probes(), store.tenants()) == state
    again = reopen()
    assert call(again, again.tenant("default"), request("r")) == first, "forgotten by a restart"


def test_deleting_examples_is_done_once(tenant: TenantStore) -> None:
    add(tenant, request("add"))
    assert tenant.delete_examples("ants", ["a"], mutation=request("r")) == 1
    assert tenant.delete_examples("ants", ["a"], mutation=request("r")) == 1
    assert tenant.collection("ants").n_examples == 1


def test_the_first_answer_stays_whatever_happens_after(tenant: TenantStore) -> None:
    first = tenant.promote_version("p", 1, mutation=request("r"))
    tenant.promote_version("p", 2)
    assert tenant.promote_version("p", 1, mutation=request("r")) == first
    assert tenant.probe("p").promoted_version == 2


@pytest.mark.parametrize("other", [request("r", fingerprint="1" * 64), request("r", method="Undo")])
def test_an_id_used_for_something_else_is_refused(tenant: TenantStore, other: Mutation) -> None:
    add(tenant, request("r"))
    with pytest.raises(errors.RequestIdReused, match="'r'"):
        tenant.delete_collection("ants", mutation=other)
    with pytest.raises(errors.RequestIdReused):
        tenant.added_before(other)
    assert tenant.collection("ants").n_examples == 2


def test_a_refused_change_may_be_asked_for_again(tenant: TenantStore) -> None:
    with pytest.raises(errors.CollectionNotFound):
        tenant.delete_collection("bees", mutation=request("r"))
    make_collection(tenant, "bees")
    tenant.delete_collection("bees", mutation=request("r"))
    assert [one.collection_id for one in tenant.collections()] == ["ants"]


def test_an_answer_given_before_is_found(tenant: TenantStore) -> None:
    assert tenant.added_before(request("add")) is None
    assert tenant.training_begun_before(request("train")) is None
    counts = add(tenant, request("add"))
    assert tenant.added_before(request("add")) == counts == AddedCounts(2, 0, 0)
    begun = tenant.start_training(
        "p", kind="svm", collection_id="ants", request={}, mutation=request("train")
    )
    assert tenant.training_begun_before(request("train")) == begun


def test_ids_of_requests_are_a_tenants_own(
    store: Store, tenant: TenantStore, other: TenantStore
) -> None:
    add(tenant, request("r"))
    make_collection(other)
    assert add(other, request("r", method="Other")) == AddedCounts(2, 0, 0)
    store.create_tenant("t", mutation=request("r", method="Third"))


def test_a_late_retry_does_not_bring_back_what_was_deleted(
    store: Store, tenant: TenantStore
) -> None:
    tenant.create_collection(
        "bees", backbone="toy", digest=DIGEST, keep_images=True, mutation=request("c")
    )
    tenant.start_training("q", kind="svm", collection_id="ants", request={}, mutation=request("t"))
    store.create_tenant("t", mutation=request("t"))
    tenant.delete_collection("bees")
    tenant.delete_probe("q")
    store.delete_tenant("t")
    with pytest.raises(errors.CollectionNotFound, match="deleted since"):
        tenant.create_collection(
            "bees", backbone="toy", digest=DIGEST, keep_images=True, mutation=request("c")
        )
    with pytest.raises(errors.ProbeNotFound, match="deleted since"):
        tenant.start_training(
            "q", kind="svm", collection_id="ants", request={}, mutation=request("t")
        )
    with pytest.raises(errors.TenantNotFound, match="deleted since"):
        store.create_tenant("t", mutation=request("t"))
    assert [one.collection_id for one in tenant.collections()] == ["ants"]

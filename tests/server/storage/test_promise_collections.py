"""Collections, as every keeper promises them."""

from collections.abc import Callable

import pytest

from icecore.server import errors
from icecore.server.storage.promise import Store, TenantStore
from storing import DIGEST, add, make_collection


def test_a_new_collection_is_empty_and_says_what_it_was_made_with(tenant: TenantStore) -> None:
    made = tenant.create_collection("ants", backbone="toy", digest=DIGEST, keep_images=False)
    assert (made.collection_id, made.backbone, made.digest) == ("ants", "toy", DIGEST)
    assert (made.keep_images, made.n_examples, dict(made.labels)) == (False, 0, {})
    assert made.create_time.tzinfo is not None
    assert tenant.collection("ants") == made


def test_an_id_is_used_once(tenant: TenantStore) -> None:
    make_collection(tenant)
    with pytest.raises(errors.CollectionExists, match="'ants'"):
        make_collection(tenant)


def test_a_collection_needs_a_backbone_that_is_there(tenant: TenantStore) -> None:
    with pytest.raises(errors.BackboneNotFound, match="ffff"):
        tenant.create_collection("ants", backbone="toy", digest="ff" * 32, keep_images=True)
    assert tenant.collections() == ()


def test_collections_are_listed_in_order_of_code_point_and_by_page(tenant: TenantStore) -> None:
    names = ["Z", "a", "b", "b1", "_", "é", "\U0001f41c", "\uffee"]
    for name in names:
        make_collection(tenant, name)
    listed: list[str] = []
    while page := tenant.collections(after=listed[-1] if listed else "", limit=3):
        assert len(page) <= 3
        listed += [record.collection_id for record in page]
    assert listed == sorted(names)


def test_labels_are_counted(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a", "b"], label="ant")
    add(tenant, ["c"], label="bee")
    add(tenant, ["d", "e"], label="")
    assert dict(tenant.collection("ants").labels) == {"": 2, "ant": 2, "bee": 1}
    tenant.delete_examples("ants", ["c", "d"])
    record = tenant.collection("ants")
    assert (record.n_examples, dict(record.labels)) == (3, {"": 1, "ant": 2})
    assert tenant.collections() == (record,)


def test_the_sequence_grows_with_every_change_and_comes_never_again(tenant: TenantStore) -> None:
    make_collection(tenant)
    seen = [tenant.collection("ants").sequence]

    def note() -> None:
        seen.append(tenant.collection("ants").sequence)
        assert tenant.snapshot("ants").sequence == seen[-1]

    add(tenant, ["a", "b"])
    note()
    tenant.delete_examples("ants", ["a"])
    note()
    tenant.delete_collection("ants")
    make_collection(tenant)
    note()
    add(tenant, ["a", "b"])
    note()
    assert seen == sorted(set(seen)), "a sequence number was used twice"


def test_a_deleted_collection_is_absent_and_its_id_free(tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a"])
    tenant.delete_collection("ants")
    with pytest.raises(errors.CollectionNotFound, match="'ants'"):
        tenant.collection("ants")
    with pytest.raises(errors.CollectionNotFound):
        tenant.delete_collection("ants")
    make_collection(tenant)
    assert tenant.collection("ants").n_examples == 0
    assert tenant.known_examples("ants", ["a"]) == {}


def test_nothing_of_another_tenant_is_seen_or_changed(
    store: Store, tenant: TenantStore, other: TenantStore
) -> None:
    make_collection(tenant)
    add(tenant, ["a"])
    assert other.collections() == ()
    calls: list[Callable[[TenantStore], object]] = [
        lambda who: who.collection("ants"),
        lambda who: who.delete_collection("ants"),
        lambda who: add(who, ["b"]),
        lambda who: who.known_examples("ants", ["a"]),
        lambda who: who.list_examples("ants"),
        lambda who: who.delete_examples("ants", ["a"]),
        lambda who: who.image("ants", "a"),
        lambda who: who.snapshot("ants"),
        lambda who: who.start_training("p", kind="svm", collection_id="ants", request={}),
    ]
    store.create_tenant("empty")
    for call in calls:
        with pytest.raises(errors.CollectionNotFound) as seen:
            call(other)
        with pytest.raises(errors.CollectionNotFound) as absent:
            call(store.tenant("empty"))
        assert str(seen.value) == str(absent.value), "another tenant's id shows"
    assert tenant.collection("ants").n_examples == 1
    make_collection(other)
    assert other.collection("ants").n_examples == 0

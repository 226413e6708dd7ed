"""Tenants and keys, as every keeper promises them."""

from collections.abc import Callable

import pytest

from icecore.server import errors
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.tenants import new_secret
from storing import add, make_collection


def test_the_tenant_default_is_there_from_the_start(store: Store) -> None:
    assert [tenant.tenant_id for tenant in store.tenants()] == ["default"]


def test_tenants_are_made_once_and_listed_in_order(store: Store) -> None:
    for tenant_id in ("b", "a", "C"):
        assert store.create_tenant(tenant_id).tenant_id == tenant_id
    with pytest.raises(errors.TenantExists, match="'a'"):
        store.create_tenant("a")
    first = store.tenants(limit=2)
    rest = store.tenants(after=first[-1].tenant_id)
    assert [one.tenant_id for one in (*first, *rest)] == ["C", "a", "b", "default"]


def test_a_deleted_tenant_is_absent_with_all_it_owned(store: Store, other: TenantStore) -> None:
    make_collection(other)
    add(other, ["a"])
    secret = new_secret()
    store.create_key(secret.key_id, secret.hash, tenant_id="other", label="")
    other.start_training("p", kind="svm", collection_id="ants", request={})
    store.delete_tenant("other")
    assert store.find_key(secret.hash) is None
    assert store.unfinished_training() == ()
    for call in (store.tenant, store.delete_tenant, store.keys):
        with pytest.raises(errors.TenantNotFound, match="'other'"):
            call("other")
    store.create_tenant("other")
    assert store.tenant("other").collections() == ()
    assert store.tenant("other").probes() == ()


def test_work_for_a_deleted_tenant_never_reaches_one_of_its_name(
    store: Store, other: TenantStore
) -> None:
    store.delete_tenant("other")
    store.create_tenant("other")
    with pytest.raises(errors.TenantNotFound):
        make_collection(other)
    with pytest.raises(errors.TenantNotFound):
        other.collections()
    assert store.tenant("other").collections() == ()


def test_default_comes_back_empty(store: Store, tenant: TenantStore) -> None:
    make_collection(tenant)
    store.delete_tenant("default")
    assert store.tenant("default").collections() == ()


def test_a_key_is_found_by_its_hash_until_it_is_revoked(store: Store) -> None:
    store.create_tenant("a")
    of_tenant, of_admin = new_secret(), new_secret()
    made = store.create_key(of_tenant.key_id, of_tenant.hash, tenant_id="a", label="laptop")
    assert (made.tenant_id, made.label) == ("a", "laptop")
    admin = store.create_key(of_admin.key_id, of_admin.hash, tenant_id=None, label="")
    assert store.find_key(of_tenant.hash) == made
    assert store.find_key(of_admin.hash) == admin
    assert store.find_key(new_secret().hash) is None
    assert (store.keys("a"), store.keys(None), store.keys("default")) == ((made,), (admin,), ())
    with pytest.raises(errors.KeyNotFound, match=made.key_id):
        store.revoke_key("default", made.key_id)
    with pytest.raises(errors.KeyNotFound):
        store.revoke_key(None, made.key_id)
    store.revoke_key("a", made.key_id)
    assert store.find_key(of_tenant.hash) is None
    with pytest.raises(errors.KeyNotFound):
        store.revoke_key("a", made.key_id)
    with pytest.raises(errors.TenantNotFound):
        store.create_key("x", b"x", tenant_id="nobody", label="")


def test_that_a_tenants_key_was_ever_made_is_remembered(
    store: Store, reopen: Callable[[], Store]
) -> None:
    assert not store.any_tenant_key_was_made()
    store.create_key("admin", b"1", tenant_id=None, label="")
    assert not store.any_tenant_key_was_made(), "the administrator's key is no tenant's"
    store.create_tenant("a")
    store.create_key("k", b"2", tenant_id="a", label="")
    store.revoke_key("a", "k")
    store.delete_tenant("a")
    assert store.any_tenant_key_was_made()
    assert reopen().any_tenant_key_was_made()


def test_everything_is_there_after_reopening(
    store: Store, reopen: Callable[[], Store], tenant: TenantStore
) -> None:
    make_collection(tenant)
    add(tenant, ["b", "a"])
    tenant.start_training("p", kind="svm", collection_id="ants", request={})
    collection, probe, snapshot = (
        tenant.collection("ants"),
        tenant.probe("p"),
        tenant.snapshot("ants", ["one"]),
    )
    backbones = store.backbones()
    again = reopen()
    same = again.tenant("default")
    assert (same.collection("ants"), same.probe("p")) == (collection, probe)
    assert same.snapshot("ants", ["one"]).examples == snapshot.examples
    assert again.backbones() == backbones


def test_a_closed_store_says_so(store: Store, tenant: TenantStore) -> None:
    store.close()
    store.close()
    with pytest.raises(errors.ShuttingDown):
        store.tenants()
    with pytest.raises(errors.ShuttingDown):
        tenant.delete_probe("p")

"""Quotas, and that what a tenant has in the store is counted to the byte."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counted import bytes_of
from icecore.server import errors
from icecore.server.quotas import NO_LIMITS, Quota, Stored
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    CodeArray,
    NewBatch,
    NewExample,
    OnDuplicate,
    VersionState,
)
from storing import add, batch_of, make_collection, request

LAYERS = {"one": 4, "two": 6}
QUOTA = Quota(12.5, 40, 64, 10_000_000, 2.0)


def test_a_tenant_has_no_limits_until_some_are_set(
    store: Store, other: TenantStore, reopen: Callable[[], Store]
) -> None:
    assert store.quota("other") == NO_LIMITS
    assert store.quotas() == {}
    assert store.set_quota("other", QUOTA) == QUOTA
    assert (store.quota("other"), store.quota("default")) == (QUOTA, NO_LIMITS)
    assert store.quotas() == {"other": QUOTA}
    assert store.set_quota("other", Quota(weight=0.5)) == Quota(weight=0.5), "it is replaced whole"
    assert reopen().quotas() == {"other": Quota(weight=0.5)}


def test_an_absent_tenant_has_no_quota(store: Store) -> None:
    for call in (store.quota, lambda tenant_id: store.set_quota(tenant_id, QUOTA)):
        with pytest.raises(errors.TenantNotFound, match="'nobody'"):
            call("nobody")


def test_a_quota_goes_with_its_tenant(store: Store, other: TenantStore) -> None:
    store.set_quota("other", QUOTA, mutation=request("q"))
    store.set_quota("default", QUOTA)
    store.delete_tenant("other")
    store.delete_tenant("default")
    assert store.quotas() == {}
    store.create_tenant("other")
    assert store.quota("other") == NO_LIMITS
    with pytest.raises(errors.TenantNotFound, match="deleted"):
        store.set_quota("other", QUOTA, mutation=request("q"))
    assert store.quota("other") == NO_LIMITS


def test_setting_a_quota_is_exactly_once(store: Store, other: TenantStore) -> None:
    store.set_quota("other", QUOTA, mutation=request("q1"))
    store.set_quota("other", NO_LIMITS, mutation=request("q2"))
    assert store.set_quota("other", QUOTA, mutation=request("q1")) == QUOTA, "the first answer"
    assert store.quota("other") == NO_LIMITS, "and nothing done again"
    with pytest.raises(errors.RequestIdReused):
        store.set_quota("other", QUOTA, mutation=request("q1", fingerprint="1" * 64))


def test_what_is_stored_is_counted_by_hand(tenant: TenantStore) -> None:
    assert tenant.stored() == Stored()
    make_collection(tenant)
    words = len("ants") + len("toy") + 64
    assert tenant.stored() == Stored(words, 1, 0, 0)
    example = NewExample("ä", "bee", {"k": "ö"}, "0" * 64, b"12345")
    core: dict[str, CodeArray] = {
        "one": np.zeros((1, 4), np.float16),
        "two": np.zeros((1, 6), np.float32),
    }
    tenant.add_examples("ants", NewBatch([example], core), on_duplicate=OnDuplicate.REFUSE)
    one = len("ä".encode()) + len("bee") + len('{"k":"ö"}'.encode()) + 5 + 4 * 2 + 6 * 4
    assert tenant.stored() == Stored(words + one, 1, 1, 0)
    tenant.start_training("p", kind="svm", collection_id="ants", request={"a": 1})
    begun = words + one + len("p") + len('{"a":1}')
    assert tenant.stored() == Stored(begun, 1, 1, 1)
    _finish(tenant, "p", 1, b"123456789")
    assert tenant.stored().n_bytes == begun + len('{"r":1}') + 9
    tenant.delete_probe("p")
    assert tenant.stored() == Stored(words + one, 1, 1, 0)
    tenant.delete_examples("ants", ["ä"])
    assert tenant.stored() == Stored(words, 1, 0, 0)
    tenant.delete_collection("ants")
    assert tenant.stored() == Stored()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_the_count_is_the_sum_of_the_rows(
    seed: int, store: Store, tenant: TenantStore, other: TenantStore, tmp_path: Path
) -> None:
    """Random changes of two tenants, with retries, refusals and batches that are packed anew."""
    chosen = random.Random(seed)
    names = count()
    for tenant_id in ("default", "other"):
        store.set_quota(tenant_id, Quota(storage_bytes=6_000 if tenant_id == "other" else 0))
    changes = [_add, _add, _add, _replace, _remove, _remove, _collection, _probe, _drop]
    done: set[str] = set()
    for step in range(100):
        whose = chosen.choice([tenant, other])
        change = chosen.choice(changes)
        mutation = request(f"{seed}-{step}")
        state = chosen.getrandbits(64)
        number = next(names)
        for _ in range(chosen.choice([1, 1, 2])):  # the second is a retry
            try:
                change(random.Random(state), whose, number, mutation)
                done.add(change.__name__)
            except errors.StorageQuotaExceeded:
                done.add("refused")
            except (errors.NotFound, errors.FailedPrecondition, errors.AlreadyExists):
                done.add("not there")
        if step % 10 == 9:
            for one in (tenant, other):
                assert one.stored().n_bytes == bytes_of(tmp_path / "data", one.tenant_id), step
    assert {"_add", "_replace", "_remove", "_collection", "_probe", "_drop", "refused"} <= done
    for one in (tenant, other):
        for collection in one.collections():
            one.delete_collection(collection.collection_id)
        for probe in one.probes():
            one.delete_probe(probe.probe_id)
        assert one.stored() == Stored(), "deleting all leaves nothing"


def test_changes_at_once_are_all_counted(tenant: TenantStore, tmp_path: Path) -> None:
    for name in "abcd":
        make_collection(tenant, name)

    def work(name: str) -> None:
        for number in range(6):
            add(tenant, [f"{number}.{at}" for at in range(5)], collection_id=name)
            tenant.delete_examples(name, [f"{number}.0"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert tenant.stored().n_bytes == bytes_of(tmp_path / "data", "default")
    assert tenant.stored().n_examples == 4 * 6 * 4


def test_what_would_pass_the_quota_changes_nothing(
    store: Store, tenant: TenantStore, tmp_path: Path
) -> None:
    make_collection(tenant)
    add(tenant, ["a"])
    one = tenant.stored().n_bytes - len("ants" + "toy") - 64
    full = tenant.stored().n_bytes + one
    store.set_quota("default", Quota(storage_bytes=full))
    add(tenant, ["b"])
    assert tenant.stored().n_bytes == full, "the quota itself is not passed"
    before = (tenant.stored(), tenant.snapshot("ants", ["one"]).sequence, tenant.collections())
    refused: list[Callable[[], Any]] = [
        lambda: add(tenant, ["c"]),
        lambda: make_collection(tenant, "bees"),
        lambda: tenant.start_training("p", kind="svm", collection_id="ants", request={}),
        lambda: tenant.check_room(1),
    ]
    for change in refused:
        with pytest.raises(errors.StorageQuotaExceeded, match=f"quota of {full:,}") as caught:
            change()
        assert caught.value.retry_after_s is None, "trying again is of no use"
    after = (tenant.stored(), tenant.snapshot("ants", ["one"]).sequence, tenant.collections())
    assert after == before
    assert tenant.probes() == ()
    assert tenant.stored().n_bytes == bytes_of(tmp_path / "data", "default")
    add(tenant, ["b"], salt="x", on_duplicate=OnDuplicate.SKIP)
    tenant.check_room(0)
    tenant.delete_examples("ants", ["a"])
    add(tenant, ["c"])


def test_a_quota_below_what_is_there_lets_things_only_go(store: Store, tenant: TenantStore) -> None:
    make_collection(tenant)
    add(tenant, ["a", "b"])
    store.set_quota("default", Quota(storage_bytes=1))
    with pytest.raises(errors.StorageQuotaExceeded):
        add(tenant, ["a"], salt="longer", on_duplicate=OnDuplicate.REPLACE)
    smaller = NewBatch([NewExample("a", "", {}, "1" * 64, b"")], batch_of(["a"]).core)
    tenant.add_examples("ants", smaller, on_duplicate=OnDuplicate.REPLACE)
    tenant.delete_examples("ants", ["b"])
    tenant.delete_collection("ants")


def test_deleting_is_never_refused_though_packing_makes_codes_larger(
    store: Store, tenant: TenantStore, tmp_path: Path
) -> None:
    """Sixteen small batches are packed into one; of one layer's codes all become float32 then."""
    make_collection(tenant)
    for number in range(15):
        add(tenant, [f"{number}.{at}" for at in range(15)])
    wide = [f"wide.{at}" for at in range(30)]
    core: dict[str, CodeArray] = {
        name: array.astype(np.float32) for name, array in batch_of(wide).core.items()
    }
    batch = NewBatch(batch_of(wide).examples, core)
    tenant.add_examples("ants", batch, on_duplicate=OnDuplicate.REFUSE)
    before = tenant.stored().n_bytes
    store.set_quota("default", Quota(storage_bytes=before))
    tenant.delete_examples("ants", wide[15:])
    assert tenant.stored().n_bytes > before, "the test is of no use else"
    assert tenant.stored().n_bytes == bytes_of(tmp_path / "data", "default")
    with pytest.raises(errors.StorageQuotaExceeded):
        add(tenant, ["one"])
    tenant.delete_collection("ants")
    assert tenant.stored() == Stored()


def test_a_retry_is_answered_though_the_quota_is_full_by_now(
    store: Store, tenant: TenantStore
) -> None:
    make_collection(tenant)
    batch = batch_of(["a"])
    first = tenant.add_examples(
        "ants", batch, on_duplicate=OnDuplicate.REFUSE, mutation=request("add")
    )
    version = tenant.start_training(
        "p", kind="svm", collection_id="ants", request={}, mutation=request("train")
    )
    before = tenant.stored()
    store.set_quota("default", Quota(storage_bytes=1))
    again = tenant.add_examples(
        "ants", batch, on_duplicate=OnDuplicate.REFUSE, mutation=request("add")
    )
    assert again == first
    assert version == tenant.start_training(
        "p", kind="svm", collection_id="ants", request={}, mutation=request("train")
    )
    assert tenant.stored() == before, "and is not counted twice"


def test_a_refused_request_may_be_sent_again_when_there_is_room(
    store: Store, tenant: TenantStore
) -> None:
    make_collection(tenant)
    store.set_quota("default", Quota(storage_bytes=1))
    for quota in (None, NO_LIMITS):
        if quota is not None:
            store.set_quota("default", quota)
            tenant.add_examples(
                "ants", batch_of(["a"]), on_duplicate=OnDuplicate.REFUSE, mutation=request("add")
            )
        else:
            with pytest.raises(errors.StorageQuotaExceeded):
                tenant.add_examples(
                    "ants",
                    batch_of(["a"]),
                    on_duplicate=OnDuplicate.REFUSE,
                    mutation=request("add"),
                )
    assert tenant.stored().n_examples == 1


def test_a_probe_file_that_does_not_fit_leaves_the_version_in_training(
    store: Store, tenant: TenantStore
) -> None:
    make_collection(tenant)
    version = tenant.start_training("p", kind="svm", collection_id="ants", request={})
    store.set_quota("default", Quota(storage_bytes=tenant.stored().n_bytes + 100))
    before = tenant.stored()
    with pytest.raises(errors.StorageQuotaExceeded):
        _finish(tenant, "p", 1, bytes(101))
    assert tenant.probe_version("p", 1).state is VersionState.TRAINING
    assert tenant.stored() == before
    tenant.fail_training(
        "p",
        1,
        create_time=version.create_time,
        reason="STORAGE_QUOTA_EXCEEDED",
        message="there was no room",
        seconds=1.0,
    )


def test_one_tenants_bytes_are_nothing_to_another(
    store: Store, tenant: TenantStore, other: TenantStore
) -> None:
    make_collection(tenant)
    add(tenant, ["a", "b"])
    store.set_quota("other", Quota(storage_bytes=1000))
    make_collection(other)
    add(other, ["a"])
    assert other.stored().n_examples == 1
    store.delete_tenant("default")
    assert store.tenant("default").stored() == Stored()
    assert other.stored().n_examples == 1


def _finish(tenant: TenantStore, probe_id: str, version: int, file: bytes) -> None:
    tenant.finish_training(
        probe_id,
        version,
        create_time=tenant.probe_version(probe_id, version).create_time,
        result={"r": 1},
        file=file,
        seconds=1.0,
        promote=False,
    )


def _add(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    n = chosen.choice([1, 1, 2, 20, 150])
    where = chosen.choice("ab")
    made = _batch(chosen, [f"{number}.{at}" for at in range(n)], has_images=where == "a")
    tenant.add_examples(where, made, on_duplicate=OnDuplicate.REFUSE, mutation=mutation)


def _replace(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    where = chosen.choice("ab")
    there = [one.example_id for one in tenant.list_examples(where)]
    some = chosen.sample(there, min(len(there), chosen.randrange(1, 40)))
    names = list(dict.fromkeys([*some, f"{number}.r"]))
    made = _batch(chosen, names, has_images=where == "a")
    on_duplicate = chosen.choice([OnDuplicate.REPLACE, OnDuplicate.SKIP])
    tenant.add_examples(where, made, on_duplicate=on_duplicate, mutation=mutation)


def _remove(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    where = chosen.choice("ab")
    there = [one.example_id for one in tenant.list_examples(where)]
    share = chosen.choice([0.1, 0.6, 1.0])
    some = chosen.sample(there, int(share * len(there)))
    tenant.delete_examples(where, some, mutation=mutation)


def _collection(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    where = chosen.choice("ab")
    tenant.create_collection(
        where, backbone="toy", digest="ab" * 32, keep_images=where == "a", mutation=mutation
    )


def _probe(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    probe_id = chosen.choice(["p", "qé"])
    made = tenant.start_training(
        probe_id,
        kind="svm",
        collection_id=chosen.choice("ab"),
        request={"text": "x" * chosen.randrange(50)},
        mutation=mutation,
    )
    if chosen.random() < 0.7:
        _finish(tenant, probe_id, made.version, bytes(chosen.randrange(2000)))
    if chosen.random() < 0.3:
        tenant.delete_version(probe_id, chosen.randrange(1, made.version + 1))


def _drop(chosen: random.Random, tenant: TenantStore, number: int, mutation: Any) -> None:
    if chosen.random() < 0.5:
        tenant.delete_probe(chosen.choice(["p", "qé"]), mutation=mutation)
    elif chosen.random() < 0.3:
        tenant.delete_collection(chosen.choice("ab"), mutation=mutation)
    else:
        raise errors.CollectionNotFound("nothing was dropped")


def _batch(chosen: random.Random, names: list[str], *, has_images: bool) -> NewBatch:
    """Some layers in float16 and some in float32, as `compact` leaves them."""
    return NewBatch(
        [
            NewExample(
                name,
                chosen.choice(["", "ant", "käfer"]),
                {"note": "é" * chosen.randrange(9)} if chosen.random() < 0.5 else {},
                f"{chosen.getrandbits(64)}",
                chosen.randbytes(chosen.randrange(300)) if has_images else None,
            )
            for name in names
        ],
        {
            layer: np.ones((len(names), dims), chosen.choice([np.float16, np.float32]))
            for layer, dims in LAYERS.items()
        },
    )

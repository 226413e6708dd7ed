"""Backbones, their names and who pins them, as every keeper promises it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from icecore.server import errors
from icecore.server.storage.promise import Store, TenantStore
from storing import DIGEST, add, graph_of, make_collection, put_backbone, request

SECOND, THIRD = "cd" * 32, "ef" * 32


def train(tenant: TenantStore, probe_id: str = "p") -> None:
    tenant.start_training(probe_id, kind="svm", collection_id="ants", request={})


def finish(tenant: TenantStore, probe_id: str = "p") -> None:
    version = tenant.probe(probe_id).versions[0]
    tenant.finish_training(
        probe_id,
        version.version,
        create_time=version.create_time,
        result={},
        file=b"f",
        seconds=1.0,
        promote=False,
    )


def opened_twice(store: Store, reopen: Callable[[], Store]) -> Iterator[Store]:
    """The store as it is, then as it is found after a restart."""
    yield store
    yield reopen()


def assert_gone(store: Store, digest: str = DIGEST) -> None:
    for call in (store.backbone, store.backbone_graph):
        with pytest.raises(errors.BackboneNotFound, match=digest):
            call(digest)
    assert digest not in store.backbone_digests()


def test_a_backbone_is_there_under_its_name_and_its_digest(
    store: Store, reopen: Callable[[], Store]
) -> None:
    made = put_backbone(store, name="abc", digest=SECOND, facts={"changes": ["none"]})
    assert made.facts == {"changes": ["none"]}
    for opened in opened_twice(store, reopen):
        assert [one.name for one in opened.backbones()] == ["abc", "toy"]
        assert opened.backbones()[0] == opened.backbone(SECOND) == made
        assert opened.backbone_graph(SECOND) == graph_of(SECOND)
        assert opened.backbone_digests() == [DIGEST, SECOND]
        for call in (opened.backbone, opened.backbone_graph):
            with pytest.raises(errors.BackboneNotFound, match="'ab'"):
                call("ab")


@pytest.mark.parametrize("n_bytes", [0, 1, 4 << 20, (4 << 20) + 1, 9 << 20])
def test_a_graph_comes_back_as_it_was_whatever_its_size(store: Store, n_bytes: int) -> None:
    graph = bytes(range(251)) * (n_bytes // 251 + 1)
    record = replace(store.backbone(DIGEST), name="big", digest=SECOND)
    store.put_backbone(record, graph[:n_bytes])
    assert store.backbone_graph(SECOND) == graph[:n_bytes]


def test_the_same_again_changes_nothing(store: Store) -> None:
    first = store.backbones()
    assert put_backbone(store) == first[0]
    assert store.backbones() == first


def test_a_known_digest_keeps_its_time_and_facts_and_takes_the_card(store: Store) -> None:
    first = store.backbone(DIGEST)
    again = put_backbone(store, card={"source": "them"}, facts={"added_by": "them"})
    assert again == replace(first, card={"source": "them"}) == store.backbone(DIGEST)


def test_names_are_pointers_and_several_may_point_to_one(store: Store) -> None:
    make_collection(store.tenant("default"))
    first = store.backbone(DIGEST)
    assert put_backbone(store, name="alias") == replace(first, name="alias")
    assert store.backbones() == (replace(first, name="alias"), first)
    store.remove_backbone("toy")  # a pin holds the digest, not one of its names
    assert store.backbones() == (replace(first, name="alias"),)
    with pytest.raises(errors.BackboneInUse):
        store.remove_backbone("alias")


def test_a_replaced_backbone_stays_while_it_is_pinned(store: Store) -> None:
    tenant = make_collection(store.tenant("default"))
    first = store.backbone(DIGEST)
    second = put_backbone(store, digest=SECOND)
    assert store.backbones() == (second,)
    assert store.backbone(DIGEST) == first
    assert store.backbone_graph(DIGEST) == graph_of(DIGEST)
    make_collection(tenant, "bees"), make_collection(tenant, "wasps", digest=SECOND)
    assert put_backbone(store) == first, "the name points back again"
    assert store.backbones() == (first,)
    assert store.backbone(SECOND) == second


def test_a_replaced_backbone_that_nothing_pins_is_gone(store: Store) -> None:
    put_backbone(store, digest=SECOND)
    assert_gone(store)
    with pytest.raises(errors.BackboneNotFound):
        make_collection(store.tenant("default"))
    assert put_backbone(store).digest == DIGEST, "it may come again"
    assert_gone(store, SECOND)


def test_a_removed_backbone_is_gone(store: Store, reopen: Callable[[], Store]) -> None:
    put_backbone(store, name="other", digest=SECOND)
    store.remove_backbone("toy")
    for opened in opened_twice(store, reopen):
        assert_gone(opened)
        assert [one.name for one in opened.backbones()] == ["other"]
        with pytest.raises(errors.BackboneNotFound, match="'toy'"):
            opened.remove_backbone("toy")


def test_a_pinned_backbone_is_not_removed_and_the_sentence_says_whose_it_is(
    store: Store, tenant: TenantStore, other: TenantStore
) -> None:
    make_collection(tenant, "one"), make_collection(tenant), make_collection(other)
    train(other)
    with pytest.raises(
        errors.BackboneInUse,
        match=r"'toy' \(digest abababab\) is pinned by 3 collections and 1 probe version "
        r"of tenants 'default', 'other'",
    ) as caught:
        store.remove_backbone("toy", mutation=request("r"))
    assert "'ants'" not in caught.value.message, "whose, but not what it is called"
    assert store.backbone(DIGEST).name == "toy"
    other.delete_collection("ants")
    tenant.delete_collection("ants")
    tenant.delete_collection("one")
    with pytest.raises(errors.BackboneInUse, match="by 1 probe version of tenant 'other':"):
        store.remove_backbone("toy", mutation=request("r"))
    other.delete_probe("p")
    store.remove_backbone("toy", mutation=request("r"))
    assert_gone(store)


@pytest.mark.parametrize("state", ["training", "ready", "failed", "cancelled"])
def test_a_version_in_any_state_pins_what_its_collection_was_on(
    store: Store, tenant: TenantStore, state: str
) -> None:
    make_collection(tenant)
    train(tenant)
    version = tenant.probe_version("p", 1)
    assert version.digest == DIGEST
    if state == "ready":
        finish(tenant)
    elif state == "failed":
        tenant.fail_training(
            "p", 1, create_time=version.create_time, reason="r", message="m", seconds=1.0
        )
    elif state == "cancelled":
        tenant.cancel_training("p", 1)
    put_backbone(store, digest=SECOND)
    tenant.delete_collection("ants")
    make_collection(tenant, digest=SECOND)  # made anew, on another
    assert tenant.probe_version("p", 1).digest == DIGEST
    assert store.backbone_graph(DIGEST) == graph_of(DIGEST)
    tenant.delete_probe("p")
    assert_gone(store)


@pytest.mark.parametrize("last", ["collection", "probe", "version", "tenant"])
def test_what_no_name_holds_goes_with_its_last_pin(
    store: Store, other: TenantStore, last: str
) -> None:
    make_collection(other)
    train(other)
    finish(other)
    put_backbone(store, digest=SECOND)
    take: dict[str, list[Callable[[], None]]] = {
        "collection": [lambda: other.delete_probe("p"), lambda: other.delete_collection("ants")],
        "probe": [lambda: other.delete_collection("ants"), lambda: other.delete_probe("p")],
        "version": [lambda: other.delete_collection("ants"), lambda: other.delete_version("p", 1)],
        "tenant": [lambda: store.delete_tenant("other")],
    }
    for call in take[last]:
        assert DIGEST in store.backbone_digests()
        call()
    assert_gone(store)
    assert store.backbone_digests() == [SECOND]


def test_putting_is_done_once(store: Store, reopen: Callable[[], Store]) -> None:
    assert store.backbone_added_before(request("r")) is None
    first = put_backbone(store, name="a", digest=SECOND, mutation=request("r"))
    for opened in opened_twice(store, reopen):
        assert opened.backbone_added_before(request("r")) == first
        assert put_backbone(opened, name="a", digest=SECOND, mutation=request("r")) == first


def test_a_retry_of_putting_moves_no_name_back(store: Store) -> None:
    first = put_backbone(store, name="a", digest=SECOND, mutation=request("r"))
    make_collection(store.tenant("default"), digest=SECOND)
    put_backbone(store, name="a", digest=THIRD)
    assert put_backbone(store, name="a", digest=SECOND, mutation=request("r")) == first
    assert [one.digest for one in store.backbones()] == [THIRD, DIGEST]


def test_a_late_retry_does_not_bring_back_what_was_removed(store: Store) -> None:
    put_backbone(store, name="a", digest=SECOND, mutation=request("r"))
    store.remove_backbone("a")
    with pytest.raises(errors.BackboneNotFound, match="deleted since"):
        put_backbone(store, name="a", digest=SECOND, mutation=request("r"))
    assert_gone(store, SECOND)
    put_backbone(store, name="b", digest=SECOND)
    with pytest.raises(errors.BackboneNotFound, match="deleted since"):
        put_backbone(store, name="a", digest=SECOND, mutation=request("r"))


def test_removing_is_done_once(store: Store) -> None:
    store.remove_backbone("toy", mutation=request("r"))
    put_backbone(store)
    store.remove_backbone("toy", mutation=request("r"))
    assert store.backbone(DIGEST).name == "toy"
    with pytest.raises(errors.RequestIdReused):
        put_backbone(store, mutation=request("r", method="Add"))
    with pytest.raises(errors.RequestIdReused):
        store.backbone_added_before(request("r", method="Add"))
    with pytest.raises(errors.RequestIdReused):
        store.remove_backbone("toy", mutation=request("r", fingerprint="1" * 64))


def test_removing_and_pinning_at_once_leave_no_pin_without_its_backbone(
    store: Store, tenant: TenantStore
) -> None:
    """Either the pin came first and the removal is refused, or it found nothing to pin."""
    n_each = {True: 0, False: 0}
    with ThreadPoolExecutor(2) as threads:
        for round_ in range(8):
            put_backbone(store, name="short-lived", digest=SECOND)
            at_once = Barrier(2)

            def remove(at_once: Barrier = at_once) -> bool:
                at_once.wait()
                try:
                    store.remove_backbone("short-lived")
                except errors.BackboneInUse:
                    return False
                return True

            def pin(at_once: Barrier = at_once, name: str = f"c{round_}") -> bool:
                at_once.wait()
                try:
                    make_collection(tenant, name, digest=SECOND)
                except errors.BackboneNotFound:
                    return False
                add(tenant, ["a"], collection_id=name)
                return True

            removed, pinned = threads.submit(remove), threads.submit(pin)
            assert removed.result() != pinned.result()
            assert (SECOND in store.backbone_digests()) == pinned.result()
            n_each[pinned.result()] += 1
            if pinned.result():
                tenant.delete_collection(f"c{round_}")
    print(n_each)


def test_the_same_digest_put_by_many_at_once_is_there_once(store: Store) -> None:
    at_once = Barrier(6)

    def put(number: int) -> str:
        at_once.wait()
        graph = b"x" * (5 << 20)
        return put_backbone(store, name=f"n{number}", digest=SECOND, graph=graph).digest

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(put, range(6))) == {SECOND}
    assert [one.name for one in store.backbones()] == [*(f"n{n}" for n in range(6)), "toy"]
    assert store.backbone_graph(SECOND) == b"x" * (5 << 20)
    for number in range(6):
        store.remove_backbone(f"n{number}")
    assert store.backbone_digests() == [DIGEST]


def test_a_put_whose_backbone_is_removed_meanwhile_brings_it_after_all(store: Store) -> None:
    """One finds the digest there, and another removes it before the name is moved."""
    with ThreadPoolExecutor(2) as threads:
        for _ in range(8):
            put_backbone(store, name="a", digest=SECOND)
            at_once = Barrier(2)

            def again(at_once: Barrier = at_once) -> None:
                at_once.wait()
                put_backbone(store, name="b", digest=SECOND)

            def remove(at_once: Barrier = at_once) -> None:
                at_once.wait()
                store.remove_backbone("a")

            for done in [threads.submit(again), threads.submit(remove)]:
                done.result()
            assert store.backbone_graph(SECOND) == graph_of(SECOND)
            store.remove_backbone("b")

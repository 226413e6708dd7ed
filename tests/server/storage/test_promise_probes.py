"""Probes and their versions, as every keeper promises them."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from icecore.server import errors
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import VersionRecord, VersionState
from storing import make_collection, request


@pytest.fixture
def tenant(store: Store) -> TenantStore:
    return make_collection(store.tenant("default"))


def start(tenant: TenantStore, probe_id: str = "p") -> VersionRecord:
    return tenant.start_training(
        probe_id, kind="svm", collection_id="ants", request={"layers": ["one", "-1"], "seed": 3}
    )


def finish(
    tenant: TenantStore,
    version: VersionRecord,
    *,
    held_out: bytes | None = None,
    promote: bool = False,
    expected_version: int | None = None,
) -> VersionRecord:
    return tenant.finish_training(
        version.probe_id,
        version.version,
        create_time=version.create_time,
        result={"C": 0.1, "classes": ["ant", "bee"]},
        file=f"file {version.version}".encode(),
        held_out=held_out,
        seconds=1.5,
        promote=promote,
        expected_version=expected_version,
    )


def fail(tenant: TenantStore, version: VersionRecord) -> VersionRecord:
    return tenant.fail_training(
        version.probe_id,
        version.version,
        create_time=version.create_time,
        reason="TRAINING_FAILED",
        message="it broke",
        seconds=0.5,
    )


def test_a_version_goes_from_training_to_ready(tenant: TenantStore) -> None:
    begun = start(tenant)
    assert (begun.version, begun.state, begun.kind) == (1, VersionState.TRAINING, "svm")
    assert (begun.request, begun.result) == ({"layers": ["one", "-1"], "seed": 3}, None)
    assert tenant.probe_version("p", 1) == begun
    with pytest.raises(errors.VersionNotReady, match="'training'"):
        tenant.probe_file("p", 1)
    ready = finish(tenant, begun)
    assert (ready.state, ready.is_promoted, ready.seconds) == (VersionState.READY, False, 1.5)
    assert ready.result == {"C": 0.1, "classes": ["ant", "bee"]}
    assert tenant.probe("p").versions == (ready,)
    assert tenant.probe_file("p", 1) == b"file 1"


def test_training_needs_its_collection(tenant: TenantStore) -> None:
    with pytest.raises(errors.CollectionNotFound, match="'bees'"):
        tenant.start_training("p", kind="svm", collection_id="bees", request={})
    with pytest.raises(errors.ProbeNotFound, match="'p'"):
        tenant.probe("p")


def test_an_end_state_is_the_end(tenant: TenantStore) -> None:
    ready, failed, cancelled = start(tenant), start(tenant), start(tenant)
    finish(tenant, ready)
    broken = fail(tenant, failed)
    assert (broken.failure_reason, broken.failure_message) == ("TRAINING_FAILED", "it broke")
    tenant.cancel_training("p", cancelled.version)
    states = [version.state.value for version in tenant.probe("p").versions]
    assert states == ["cancelled", "failed", "ready"], "versions are listed newest first"
    for version in (ready, failed, cancelled):
        with pytest.raises(errors.VersionNotReady):
            finish(tenant, version)
        with pytest.raises(errors.VersionNotReady):
            fail(tenant, version)
        there = tenant.probe_version("p", version.version)
        assert tenant.cancel_training("p", version.version) == there


def test_a_result_never_reaches_a_probe_made_anew(tenant: TenantStore) -> None:
    old = start(tenant)
    tenant.delete_probe("p")
    with pytest.raises(errors.ProbeNotFound):
        finish(tenant, old)
    new = start(tenant)
    assert new.version == old.version
    for write in (finish, fail):
        with pytest.raises(errors.VersionNotFound):
            write(tenant, old)
    assert tenant.probe_version("p", 1).state is VersionState.TRAINING


def test_numbers_of_versions_come_never_again(tenant: TenantStore) -> None:
    for number in (1, 2, 3):
        version = start(tenant)
        assert version.version == number
        fail(tenant, version)
        tenant.delete_version("p", number)
    assert tenant.probe("p").versions == ()
    assert start(tenant).version == 4


def test_the_pointer_moves_by_compare_and_swap(tenant: TenantStore) -> None:
    finish(tenant, start(tenant), promote=True)
    finish(tenant, start(tenant))
    start(tenant)
    assert tenant.probe("p").promoted_version == 1
    moved = tenant.promote_version("p", 2, expected_version=1)
    assert moved.promoted_version == 2
    assert [version.is_promoted for version in moved.versions] == [False, True, False]
    with pytest.raises(errors.PromotionConflict, match="version 2 promoted"):
        tenant.promote_version("p", 1, expected_version=1)
    with pytest.raises(errors.PromotionConflict):
        tenant.promote_version("p", 1, expected_version=0)
    with pytest.raises(errors.VersionNotReady, match="version 3"):
        tenant.promote_version("p", 3)
    with pytest.raises(errors.VersionNotFound, match="version 9"):
        tenant.promote_version("p", 9)
    assert tenant.promote_version("p", 1).promoted_version == 1


def test_zero_expects_that_none_is_promoted(tenant: TenantStore) -> None:
    finish(tenant, start(tenant))
    assert tenant.promote_version("p", 1, expected_version=0).promoted_version == 1


def test_a_version_becomes_ready_and_promoted_by_compare_and_swap(tenant: TenantStore) -> None:
    finish(tenant, start(tenant), promote=True, expected_version=0)
    begun = start(tenant)
    with pytest.raises(errors.PromotionConflict, match="version 1 promoted, not version 0"):
        finish(tenant, begun, held_out=b"answers", promote=True, expected_version=0)
    assert tenant.probe_version("p", 2) == begun, "nothing of it is done"
    assert tenant.held_out_answers("p", 2) is None
    finish(tenant, begun, held_out=b"answers", promote=True, expected_version=1)
    assert tenant.probe("p").promoted_version == 2


def test_held_out_answers_are_kept_with_their_version(tenant: TenantStore) -> None:
    finish(tenant, start(tenant), held_out=b"answers")
    finish(tenant, start(tenant))
    assert tenant.held_out_answers("p", 1) == b"answers"
    assert tenant.held_out_answers("p", 2) is None
    tenant.delete_version("p", 1)
    with pytest.raises(errors.VersionNotFound):
        tenant.held_out_answers("p", 1)


def test_an_answer_of_promotion_can_be_asked_for_again(tenant: TenantStore) -> None:
    finish(tenant, start(tenant))
    asked = request("one", "PromoteVersion")
    assert tenant.promoted_before(asked) is None
    promoted = tenant.promote_version("p", 1, mutation=asked)
    finish(tenant, start(tenant), promote=True)
    assert tenant.promoted_before(asked) == promoted
    with pytest.raises(errors.RequestIdReused):
        tenant.promoted_before(request("one", "PromoteVersion", "1" * 64))


def test_a_version_in_use_is_not_deleted(tenant: TenantStore) -> None:
    finish(tenant, start(tenant), promote=True)
    start(tenant)
    for version, why in ((1, "promoted"), (2, "in training")):
        with pytest.raises(errors.VersionInUse, match=why):
            tenant.delete_version("p", version)
    with pytest.raises(errors.VersionNotFound):
        tenant.delete_version("p", 3)


def test_a_deleted_probe_is_absent_with_all_its_versions(tenant: TenantStore) -> None:
    finish(tenant, start(tenant), promote=True)
    start(tenant)
    tenant.delete_probe("p")
    assert tenant.probes() == ()
    calls: list[Callable[[], object]] = [
        lambda: tenant.probe("p"),
        lambda: tenant.probe_version("p", 1),
        lambda: tenant.probe_file("p", 1),
        lambda: tenant.held_out_answers("p", 1),
        lambda: tenant.delete_probe("p"),
        lambda: tenant.cancel_training("p", 1),
    ]
    for call in calls:
        with pytest.raises(errors.ProbeNotFound, match="'p'"):
            call()


def test_probes_are_listed_in_order_of_id_by_page(tenant: TenantStore) -> None:
    for probe_id in ("b", "a", "B", "b-1"):
        start(tenant, probe_id)
    first = tenant.probes(limit=3)
    rest = tenant.probes(after=first[-1].probe_id)
    assert [probe.probe_id for probe in (*first, *rest)] == ["B", "a", "b", "b-1"]
    assert all(len(probe.versions) == 1 for probe in first)


def test_unfinished_training_is_found_for_all_tenants_oldest_first(
    store: Store, tenant: TenantStore, other: TenantStore
) -> None:
    make_collection(other)
    one, two = start(tenant, "z"), start(other, "a")
    finish(tenant, start(tenant, "z"))
    three = start(tenant, "b")
    assert store.unfinished_training() == (("default", one), ("other", two), ("default", three))


def test_probes_of_another_tenant_are_absent(tenant: TenantStore, other: TenantStore) -> None:
    version = finish(tenant, start(tenant), promote=True)
    calls: list[Callable[[], object]] = [
        lambda: other.probe("p"),
        lambda: other.probe_file("p", 1),
        lambda: other.held_out_answers("p", 1),
        lambda: other.promote_version("p", 1),
        lambda: other.delete_probe("p"),
        lambda: finish(other, version),
    ]
    for call in calls:
        with pytest.raises(errors.ProbeNotFound, match="probe 'p' does not exist"):
            call()
    assert other.probes() == ()


def test_times_are_kept_to_the_microsecond(tenant: TenantStore) -> None:
    version = start(tenant)
    near = VersionRecord(
        "p", 1, version.state, "svm", "ants", {}, version.create_time + timedelta(microseconds=1)
    )
    with pytest.raises(errors.VersionNotFound):
        fail(tenant, near)
    fail(tenant, version)

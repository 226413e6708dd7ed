"""Versions promoted, gone on from and compared, on the toy backbone, over a real socket."""

from collections.abc import Iterator
from typing import Any

import pytest

from callers import Caller, refusal
from icecore.v1 import probe_pb2 as ppb
from toy_calls import N, add, collect, filled, predict, toy_batch, train, version_of


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with filled(tmp_path_factory.mktemp("calls") / "data") as caller:
        yield caller


def test_the_promoted_pointer_moves_by_compare_and_swap(caller: Caller) -> None:
    p = caller.probes
    train(caller, "moved")
    train(caller, "moved", leave_unpromoted=True)

    def promote(version: int, **fields: Any) -> Any:
        request = ppb.PromoteVersionRequest(probe_id="moved", version=version, **fields)
        return p.PromoteVersion(request).probe.promoted_version

    assert predict(caller, "moved").version == 1
    said = refusal(lambda: promote(2, expected_version=2))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "PROMOTION_CONFLICT")
    assert promote(2, expected_version=1) == 2
    assert predict(caller, "moved").version == 2
    assert predict(caller, "moved", version=1).version == 1
    said = refusal(lambda: p.DeleteVersion(ppb.DeleteVersionRequest(probe_id="moved", version=2)))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_IN_USE")
    p.DeleteVersion(ppb.DeleteVersionRequest(probe_id="moved", version=1))
    assert refusal(lambda: predict(caller, "moved", version=1)).reason == "VERSION_NOT_FOUND"
    p.DeleteProbe(ppb.DeleteProbeRequest(probe_id="moved"))
    assert refusal(lambda: predict(caller, "moved")).reason == "PROBE_NOT_FOUND"


def test_a_version_goes_on_from_an_earlier_one(caller: Caller) -> None:
    """It knows six images more, and is the same again when asked again."""
    collect(caller, "growing", *range(N))
    train(caller, "growing", collection_id="growing", kind=ppb.PROBE_KIND_SVM, layers=["1"])
    add(caller, toy_batch("growing", *range(N, N + 6)))
    train(caller, "growing", collection_id="growing", layers=[], base_version=1)
    first, second = (version_of(caller, "growing", number) for number in (1, 2))
    assert (first.base_version, first.is_choice_kept) == (0, False)
    assert (second.base_version, second.is_choice_kept) == (1, True)
    assert (second.kind, second.tap, second.c) == (first.kind, first.tap, first.c)
    assert (first.n_images, second.n_images) == (N, N + 6)
    assert second.is_promoted
    assert second.gap < 1e-6
    found = caller.probes.CompareVersions(
        ppb.CompareVersionsRequest(probe_id="growing", version_a=1, version_b=2)
    )
    assert (found.n_new_to_a, found.n_new_to_b) == (6, 0)
    assert (found.n_images, found.n_left_out) == (6, N), "of the others version 2 has no answer"
    assert found.accuracy_b.estimate == second.accuracy.estimate
    assert (first.n_judged, second.n_judged) == (N, 6)

    def ask(**fields: Any) -> Any:
        given: dict[str, Any] = {"probe_id": "growing", "collection_id": "growing", **fields}
        return caller.probes.TrainProbe(ppb.TrainProbeRequest(**given)).version

    asked = {"request_id": "once", "base_version": 1, "leave_unpromoted": True}
    begun = ask(**asked)
    assert (begun.version, begun.base_version, begun.kind) == (3, 1, ppb.PROBE_KIND_SVM)
    assert ask(**asked).version == 3, "a retry begins nothing"
    list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="growing", version=3)))
    third = version_of(caller, "growing", 3)
    assert third.file_digest == second.file_digest, "the same request, the same bits"
    said = refusal(lambda: ask(base_version=1, kind=ppb.PROBE_KIND_SVM, layers=["1"]))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert "leave out kind, layers" in said.message
    assert refusal(lambda: ask(base_version=9)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: ask(base_version=1, probe_id="none")).reason == "PROBE_NOT_FOUND"


def test_versions_are_compared_on_the_same_images(caller: Caller) -> None:
    """The first was trained before images 24 to 29 came."""
    collect(caller, "grown", *range(N))
    train(caller, "grown", collection_id="grown", layers=["1"])
    add(caller, toy_batch("grown", *range(N, N + 6)))
    train(caller, "grown", collection_id="grown", leave_unpromoted=True)

    def compare(a: int, b: int, collection_id: str = "") -> ppb.CompareVersionsResponse:
        answer: ppb.CompareVersionsResponse = caller.probes.CompareVersions(
            ppb.CompareVersionsRequest(
                probe_id="grown", version_a=a, version_b=b, collection_id=collection_id
            )
        )
        return answer

    found = compare(1, 2)
    assert (found.version_a, found.version_b, found.collection_id) == (1, 2, "grown")
    assert (found.n_images, found.n_new_to_a, found.n_new_to_b) == (N + 6, 6, 0)
    counts = (found.n_both_right, found.n_only_a_right, found.n_only_b_right, found.n_neither_right)
    assert sum(counts) == N + 6
    assert found.difference.low <= found.difference.estimate <= found.difference.high
    assert found.accuracy_b.estimate == version_of(caller, "grown", 2).accuracy.estimate
    back = compare(2, 1, "grown")
    assert back.difference.low == pytest.approx(-found.difference.high)
    assert compare(1, 1, "c").n_images == N, "the same images, in another collection"
    assert refusal(lambda: compare(1, 3)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: compare(1, 2, "nothing")).reason == "COLLECTION_NOT_FOUND"
    assert refusal(lambda: compare(0, 2)).reason == "ARGUMENT_INVALID"


def test_a_version_is_promoted_only_if_not_worse(caller: Caller) -> None:
    """The second is of another kind: the same probe again would not be worse by anything."""
    train(caller, "strict")
    kept = train(caller, "strict", kind=ppb.PROBE_KIND_SVM, promote_if_not_worse_by=0.0)
    assert not kept.is_promoted
    assert kept.not_promoted_reason == "VERSION_WORSE"
    assert "may be worse than version 1" in kept.not_promoted_message

    def promote(not_worse_by: float) -> Any:
        request = ppb.PromoteVersionRequest(probe_id="strict", version=2, not_worse_by=not_worse_by)
        return caller.probes.PromoteVersion(request).probe.promoted_version

    said = refusal(lambda: promote(0.0))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_WORSE")
    assert ("promoted_version", "1") in said.details
    assert refusal(lambda: promote(-1.0)).reason == "ARGUMENT_INVALID"
    assert promote(1.0) == 2
    third = train(caller, "strict", promote_if_not_worse_by=1.0)
    assert (third.is_promoted, third.not_promoted_reason) == (True, "")

"""Versions compared on a collection, and promoted if not worse; codes and answers by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from icecore.probes.files import to_bytes
from icecore.probes.held_out import HeldOut
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.server import errors
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.embedder import Embedder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
    VersionRecord,
)
from icecore.server.training.comparing import Compared, Comparer
from icecore.server.training.contender import Contender
from icecore.server.training.facts import VersionFacts
from icecore.server.training.identities import identity
from icecore.server.training.promoting import Decision, finish, promote
from icecore.server.training.trials import Accuracy
from icecore.wire.taps import TapId
from toy_store import put_toy_backbone

N = 80
LABELS = ["ant", "bee"] * (N // 2)


def sha(number: int) -> str:
    return f"{number:064x}"


@dataclass
class House:
    """A collection of N images whose codes at the last layer tell ants from bees."""

    store: Store
    tenant: TenantStore
    backbone: Backbone
    tap: TapId
    comparer: Comparer

    def collect(
        self, collection_id: str, labels: Sequence[str], images: Sequence[int] | None = None
    ) -> None:
        self.tenant.create_collection(
            collection_id,
            backbone=self.backbone.name,
            digest=self.backbone.digest,
            keep_images=False,
        )
        numbers = range(len(labels)) if images is None else images
        examples = [
            NewExample(f"{row:03d}", label, {}, sha(number), None)
            for row, (label, number) in enumerate(zip(labels, numbers, strict=True))
        ]
        core = {
            tap.layer: np.full((len(labels), self.backbone.layer_of(tap).channels), 0.5, np.float16)
            for tap in self.backbone.core
        }
        core[self.tap.layer][:, 0] = [1.0 if label == "bee" else 0.0 for label in labels]
        batch = NewBatch(examples, core)
        self.tenant.add_examples(collection_id, batch, on_duplicate=OnDuplicate.REFUSE)

    def version(
        self,
        trained_on: Sequence[int],
        wrong: Sequence[int] = (),
        *,
        never: Sequence[int] = (),
        says: int = 1,
        classes: tuple[str, ...] = ("ant", "bee"),
        tap: TapId | None = None,
        held_out: bool = True,
        promoted: bool = False,
        collection_id: str = "insects",
    ) -> int:
        """Store a version. Its weights are right with `says` 1, and wrong on all with -1.

        Its folds are right but for `wrong`, and never held `never` out.
        """
        tap = tap or self.tap
        begun = self.tenant.start_training("p", kind="svm", collection_id=collection_id, request={})
        facts = VersionFacts(
            (tap,), 1.0, classes, Accuracy(1, 1, 1), 1, (), 0, 0, 0, "0" * 64, len(trained_on)
        )
        rows = 1 if len(classes) == 2 else len(classes)
        weights = np.zeros((rows, self.backbone.layer_of(self.tap).channels), np.float32)
        weights[0, 0] = says
        probe = LinearProbe(
            ProbeKind.SVM, classes, weights, np.full(rows, -says / 2.0), identity(tap)
        )
        said = np.array([(i % 2) ^ (i in wrong) for i in trained_on], np.int64)
        said[[i in never for i in trained_on]] = -1
        answers = HeldOut.of([sha(i) for i in trained_on], said, n_classes=len(classes), n_folds=5)
        self.tenant.finish_training(
            "p",
            begun.version,
            create_time=begun.create_time,
            result=facts.to_json(),
            file=to_bytes(probe),
            held_out=answers.to_bytes() if held_out else None,
            seconds=0.0,
            promote=promoted,
        )
        return begun.version

    def contender(self, version: int) -> Contender:
        return Contender.stored(self.tenant, self.tenant.probe_version("p", version))

    async def compare(self, a: int, b: int, collection_id: str = "insects") -> Compared:
        return await self.comparer.compare(
            self.tenant, "p", self.contender(a), self.contender(b), collection_id
        )

    async def promote(
        self,
        version: int,
        not_worse_by: float | None,
        *,
        expected_version: int | None = None,
        mutation: Mutation | None = None,
    ) -> int:
        record = await promote(
            self.tenant,
            self.comparer,
            "p",
            version,
            not_worse_by=not_worse_by,
            expected_version=expected_version,
            mutation=mutation,
        )
        return record.promoted_version


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = open_sqlite(tmp_path)
    backbone = put_toy_backbone(store)
    catalog = Catalog(store, default=backbone.name)
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=1)
    comparer = Comparer(catalog, CollectionCodes(catalog, embedder))
    tap = backbone.core[-1]
    house = House(store, store.tenant("default"), backbone, tap, comparer)
    house.collect("insects", LABELS)
    yield house
    embedder.close()
    sessions.close()
    store.close()


async def test_what_was_trained_on_is_judged_by_folds_and_the_rest_by_weights(
    house: House,
) -> None:
    """The weights of b are wrong on everything: they would know what b was trained on."""
    a = house.version(range(60), wrong=range(5))
    b = house.version(range(10, N), wrong=range(10, 13), says=-1)
    found = (await house.compare(a, b)).found
    assert (found.n_new_to_a, found.n_new_to_b, found.n_new_to_both) == (20, 10, 0)
    # a: 5 wrong of its folds, none of its weights; b: 3 of its folds, 10 of its weights.
    assert found.accuracy_a.estimate == pytest.approx(75 / N)
    assert found.accuracy_b.estimate == pytest.approx(67 / N)
    cells = (found.n_both_right, found.n_only_a_right, found.n_only_b_right, found.n_neither_right)
    assert cells == (67, 8, 0, 5)


async def test_an_image_that_was_in_no_fold_is_left_out(house: House) -> None:
    a, b = house.version(range(N), never=(3, 4)), house.version(range(N), never=(4, 5))
    compared = await house.compare(a, b)
    assert (compared.n_left_out, compared.found.n_images) == (3, N - 3)


async def test_images_whose_codes_a_version_cannot_read_are_left_out(house: House) -> None:
    other = replace(house.tap, digest="ef" * 32)
    a, b = house.version(range(50), tap=other), house.version(range(40))
    compared = await house.compare(a, b)
    assert (compared.n_left_out, compared.found.n_images) == (30, 50)
    assert compared.found.n_new_to_b == 10


async def test_versions_with_no_image_in_common_are_not_compared(house: House) -> None:
    house.collect("others", LABELS, range(1000, 1000 + N))
    other = replace(house.tap, digest="ef" * 32)
    a, b = house.version(range(N), tap=other), house.version(range(N))
    with pytest.raises(errors.VersionNotComparable, match="80 labelled images, but none"):
        await house.compare(a, b, "others")
    assert (await house.compare(b, b, "others")).found.n_new_to_both == N


async def test_images_without_a_label_are_no_judges(house: House) -> None:
    house.collect("some", ["ant", "", "bee", ""])
    a = house.version(range(N))
    compared = await house.compare(a, a, "some")
    assert (compared.found.n_images, compared.n_left_out) == (2, 0)
    house.collect("none", ["", ""])
    with pytest.raises(errors.VersionNotComparable, match="0 labelled images"):
        await house.compare(a, a, "none")


async def test_a_class_that_a_version_does_not_know_is_wrong_for_it(house: House) -> None:
    house.collect("more", ["ant", "bee", "cat", "cat"])
    a = house.version(range(4))
    b = house.version(range(4), classes=("ant", "bee", "cat"))
    compared = await house.compare(a, b, "more")
    assert (compared.classes_only_in_a, compared.classes_only_in_b) == ((), ("cat",))
    assert compared.found.accuracy_a.estimate == 0.5
    c = house.version([], classes=("bee", "cat", "dog"))
    compared = await house.compare(a, c, "more")
    assert (compared.classes_only_in_a, compared.classes_only_in_b) == (("ant",), ("cat", "dog"))


MORE = [*LABELS, *["cat", "ant"] * 10, "dog"]
"""Of two versions, one knows cats; neither knows dogs."""
CATS = range(N, N + 20, 2)
COUNTS = (
    *("n_images", "n_different", "n_new_to_a", "n_new_to_b", "n_new_to_both"),
    *("n_both_right", "n_only_a_right", "n_only_b_right", "n_neither_right"),
)


def apart(house: House) -> tuple[int, int]:
    """Two versions that differ in classes and in answers, each new to some images."""
    a = house.version(range(60), wrong=range(5), never=(20, 21))
    b = house.version(range(10, N + 15), wrong=range(3, 16), classes=("ant", "bee", "cat"))
    return a, b


async def test_over_shared_classes_they_do_as_on_a_collection_without_the_others(
    house: House,
) -> None:
    house.collect("more", MORE)
    rows = [row for row, label in enumerate(MORE) if label in ("ant", "bee")]
    house.collect("fewer", [MORE[row] for row in rows], rows)
    for a, b in (versions := apart(house), versions[::-1]):
        more = await house.compare(a, b, "more")
        fewer = await house.compare(a, b, "fewer")
        assert more.shared == fewer.found, "also where the intervals end"
        assert more.shared != more.found
        assert fewer.shared == fewer.found, "all of its images"


async def test_shared_classes_and_the_others_are_together_all_images(house: House) -> None:
    house.collect("more", MORE)
    rows = [*CATS, N + 20]
    house.collect("others", [MORE[row] for row in rows], rows)
    a, b = apart(house)
    more, others = await house.compare(a, b, "more"), await house.compare(a, b, "others")
    assert more.shared is not None
    for count in COUNTS:
        parts = (getattr(more.shared, count), getattr(others.found, count))
        assert sum(parts) == getattr(more.found, count), count
    assert others.shared is None, "no image of a class that both know"


async def test_versions_of_the_same_classes_have_no_others_to_be_judged_without(
    house: House,
) -> None:
    """Even where the collection has images that neither knows."""
    house.collect("more", MORE)
    a, b = house.version(range(N)), house.version(range(N), wrong=range(9))
    assert (await house.compare(a, b, "more")).shared is None


async def test_copies_count_as_one_image(house: House) -> None:
    house.collect("copies", ["ant", "bee"] * 3, [0, 1] * 3)
    a = house.version(range(2))
    found = (await house.compare(a, a, "copies")).found
    assert (found.n_images, found.n_different) == (6, 2)


async def test_versions_of_before_cannot_be_compared(house: House) -> None:
    old = house.version(range(N), held_out=False, promoted=True)
    new = house.version(range(N))
    for a, b in ((old, new), (new, old)):
        with pytest.raises(errors.VersionNotComparable, match=r"version 1 .* train it again"):
            await house.compare(a, b)
    with pytest.raises(errors.VersionNotComparable, match="train it again"):
        await house.promote(new, 0.02)
    assert await house.promote(new, None) == new


async def test_broken_held_out_answers_are_the_stores_fault(house: House) -> None:
    begun = house.tenant.start_training("p", kind="svm", collection_id="insects", request={})
    good = house.tenant.probe_version("p", house.version(range(4)))
    house.tenant.finish_training(
        "p",
        begun.version,
        create_time=begun.create_time,
        result=good.result or {},
        file=house.tenant.probe_file("p", good.version),
        held_out=b"broken",
        seconds=0.0,
        promote=False,
    )
    with pytest.raises(errors.StorageCorrupt, match="too few"):
        house.contender(begun.version)


# Promotion.


async def test_the_first_version_has_nothing_to_be_compared_with(house: House) -> None:
    assert await house.promote(house.version(range(N), wrong=range(N)), 0.0) == 1
    assert await house.promote(1, 0.0) == 1, "nor has the promoted one"


async def test_a_version_that_may_be_worse_is_not_promoted(house: House) -> None:
    house.version(range(N), promoted=True)
    worse = house.version(range(N), wrong=range(20))
    with pytest.raises(errors.VersionWorse) as refused:
        await house.promote(worse, 0.02)
    assert str(refused.value).startswith(
        "version 2 of probe 'p' may be worse than version 1, which is promoted: its accuracy "
        "minus that one's is -25.0 points on 80 images (95 % interval -3"
    )
    assert str(refused.value).endswith("and the interval may not go below -2")
    with pytest.raises(errors.VersionWorse, match="more labelled images would make it narrower"):
        await house.promote(house.version(range(N), wrong=[0]), 0.02)
    assert await house.promote(worse, 0.5) == worse


async def test_the_same_probe_again_is_not_worse_by_anything(house: House) -> None:
    house.version(range(N), wrong=range(5), promoted=True)
    copy = house.version(range(N), wrong=range(5))
    assert await house.promote(copy, 0.0) == copy
    other = house.version(range(N), wrong=range(5), says=-1)
    found = (await house.compare(1, other)).found
    assert found.low < found.difference == 0.0 < found.high, "other weights, the same answers"


async def test_what_margin_it_passes_by_is_the_intervals_lower_end(house: House) -> None:
    a = house.version(range(N), wrong=range(8), promoted=True)
    b = house.version(range(N), wrong=range(4, 10))
    low = (await house.compare(a, b)).found.low
    with pytest.raises(errors.VersionWorse):
        await house.promote(b, -low - 1e-9)
    assert await house.promote(b, -low + 1e-9) == b


async def test_what_is_not_worse_is_told_over_all_images_of_the_collection(house: House) -> None:
    """The new version knows cats in place of bees: 30 images are cats. On ants it is worse."""
    house.collect("pets", [("ant", "cat")[row % 2] if row < 60 else "ant" for row in range(N)])
    house.version(range(N), promoted=True, collection_id="pets")
    wrong = range(0, 8, 2)
    new = house.version(range(N), wrong=wrong, classes=("ant", "cat"), collection_id="pets")
    compared = await house.compare(1, new, "pets")
    assert compared.shared is not None
    assert compared.shared.difference < 0.0 < compared.found.low
    assert await house.promote(new, 0.0) == new


@pytest.mark.parametrize("margin", [-0.01, 1.5, float("nan")])
async def test_a_margin_is_an_accuracy(house: House, margin: float) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"not_worse_by is .* accuracy in 0\.\.1"):
        await house.promote(house.version(range(N)), margin)


async def test_a_retry_is_not_compared_again(house: House) -> None:
    house.version(range(N), promoted=True)
    b = house.version(range(N))
    asked = Mutation("one", "PromoteVersion", "0" * 64)
    assert await house.promote(b, 0.5, mutation=asked) == b
    house.tenant.promote_version("p", 1)
    assert await house.promote(b, 0.0, mutation=asked) == b, "the first answer"
    assert house.tenant.probe("p").promoted_version == 1, "and nothing done"


async def test_another_than_expected_is_a_conflict_before_it_is_compared(house: House) -> None:
    house.version(range(N), promoted=True)
    b = house.version(range(N), wrong=range(N))
    with pytest.raises(errors.PromotionConflict, match="version 1 promoted, not version 0"):
        await house.promote(b, 0.0, expected_version=0)


# A version that was just trained.


async def finished(
    house: House, new: int, margin: float, conflicts: int = 0
) -> tuple[list[Decision], int]:
    """What is decided; at the first `conflicts` commits another was promoted meanwhile."""
    seen: list[Decision] = []

    async def commit(decision: Decision) -> VersionRecord:
        seen.append(decision)
        if len(seen) <= conflicts:
            other = await asyncio.to_thread(house.version, range(N), promoted=True)
            raise errors.PromotionConflict(f"version {other} is promoted")
        return house.tenant.probe_version("p", new)

    record = await finish(
        house.tenant, house.comparer, "p", house.contender(new), "insects", margin, commit
    )
    return seen, record.version


async def test_it_takes_the_place_of_what_it_was_compared_with(house: House) -> None:
    new = house.version(range(N))
    assert await finished(house, new, 0.0) == ([Decision(True, 0)], new)
    old = house.version(range(N), promoted=True)
    assert await finished(house, new, 0.5) == ([Decision(True, old)], new)


async def test_it_is_ready_and_says_why_it_was_not_promoted(house: House) -> None:
    new = house.version(range(N), wrong=range(20))
    house.version(range(N), promoted=True)
    [decision], _ = await finished(house, new, 0.02)
    assert (decision.promote, decision.reason) == (False, "VERSION_WORSE")
    assert "may be worse than version 2" in decision.message
    house.version(range(N), held_out=False, promoted=True)
    [decision], _ = await finished(house, new, 0.02)
    assert decision.reason == "VERSION_NOT_COMPARABLE"
    house.tenant.delete_collection("insects")
    house.version(range(N), promoted=True, collection_id=kept(house))
    [decision], _ = await finished(house, new, 0.02)
    assert decision.reason == "COLLECTION_NOT_FOUND"


def kept(house: House) -> str:
    house.collect("kept", LABELS)
    return "kept"


async def test_it_is_compared_again_with_one_promoted_meanwhile(house: House) -> None:
    new = house.version(range(N))
    seen, _ = await finished(house, new, 0.5, conflicts=2)
    assert [one.in_place_of for one in seen] == [0, 2, 3]
    seen, _ = await finished(house, new, 0.5, conflicts=3)
    assert (len(seen), seen[-1].promote, seen[-1].reason) == (4, False, "PROMOTION_CONFLICT")


async def test_a_deleted_probe_ends_it(house: House) -> None:
    new = house.contender(house.version(range(N)))
    house.tenant.delete_probe("p")

    async def commit(_: Decision) -> VersionRecord:
        raise AssertionError("nothing to commit")

    with pytest.raises(errors.ProbeNotFound):
        await finish(house.tenant, house.comparer, "p", new, "insects", 0.02, commit)

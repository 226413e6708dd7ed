"""Fewer images of the same mixture."""

from collections import Counter

from icecore.server.storage.records import ExampleRecord
from icecore.server.training.advising.thinning import thinned


def example(place: int, label: str, image: str = "") -> ExampleRecord:
    return ExampleRecord(f"{place:05d}", label, {}, image or f"{place:064x}")


MANY = [example(place, "ant" if place % 4 else "bee") for place in range(400)]


def test_all_are_left_where_they_are_few() -> None:
    assert thinned(MANY, 400, seed=0) == MANY


def test_each_class_keeps_the_same_share() -> None:
    left = thinned(MANY, 100, seed=0)
    assert Counter(one.label for one in left) == {"ant": 75, "bee": 25}
    assert left == sorted(left, key=lambda one: one.example_id), "in their order"


def test_the_seed_decides_and_nothing_else_does() -> None:
    assert thinned(MANY, 50, seed=1) == thinned(MANY, 50, seed=1)
    assert thinned(MANY, 50, seed=1) != thinned(MANY, 50, seed=2)


def test_copies_come_together_or_not_at_all() -> None:
    pairs = [example(place, "ant", f"{place // 2:064x}") for place in range(200)]
    pairs += [example(200 + place, "bee", f"{100 + place // 2:064x}") for place in range(200)]
    counts = Counter(one.image_sha256 for one in thinned(pairs, 60, seed=0))
    assert set(counts.values()) == {2}
    assert 56 <= sum(counts.values()) <= 62


def test_a_small_class_keeps_two_different_images() -> None:
    """One to learn from and one held out, though its share would be none."""
    rare = [example(1000 + place, "wasp", f"{9000 + place // 2:064x}") for place in range(4)]
    left = [one for one in thinned(MANY + rare, 20, seed=0) if one.label == "wasp"]
    assert len({one.image_sha256 for one in left}) == 2


def test_very_many_classes_keep_two_images_each() -> None:
    classes = [example(place, f"class-{place // 5}") for place in range(500)]
    assert len(thinned(classes, 10, seed=0)) == 200

"""Fewer images of the same mixture: each class alike, and all copies of an image or none."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from icecore.server.storage.records import ExampleRecord
from icecore.server.training.candidates import MIN_PER_CLASS


def thinned(examples: Sequence[ExampleRecord], most: int, *, seed: int) -> list[ExampleRecord]:
    """Return at most `most` of these labelled examples, in their order; all where they are fewer.

    Of each class the same share is left, but two different images at least, so that with very
    many classes there may be more than `most`. The same examples, number and seed give
    the same answer.
    """
    if len(examples) <= most:
        return list(examples)
    images = sorted({example.image_sha256 for example in examples})
    place = np.random.default_rng(seed).permutation(len(images))
    rank = dict(zip(images, place.tolist(), strict=True))
    sizes = Counter(example.label for example in examples)
    room = {label: int(size * most / len(examples)) for label, size in sizes.items()}
    different: Counter[str] = Counter()
    kept: set[str] = set()
    # By image, so that a copy comes right behind what it is one of.
    for example in sorted(examples, key=lambda one: (rank[one.image_sha256], one.example_id)):
        image, label = example.image_sha256, example.label
        if image not in kept and (room[label] > 0 or different[label] < MIN_PER_CLASS):
            kept.add(image)
            different[label] += 1
        room[label] -= 1
    return [example for example in examples if example.image_sha256 in kept]

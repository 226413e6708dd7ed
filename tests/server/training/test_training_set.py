"""What a worker is given, and the digest that names it."""

from dataclasses import replace

import numpy as np
import pytest

from icecore.server.embedding.collection_codes import TapSnapshot
from icecore.server.errors import ClassTooSmall
from icecore.server.storage.records import ExampleRecord
from icecore.server.training.identities import identity
from icecore.server.training.training_set import TrainingSet
from icecore.wire.taps import TapId

ONE = TapId("0" * 64, "one", backbone="toy", depth=1)
TWO = TapId("0" * 64, "two", backbone="toy", depth=2)
CODES = np.arange(8, dtype=np.float32).reshape(4, 2)
SET = TrainingSet(
    example_ids=["a", "b", "c", "d"],
    labels=["ant", "ant", "bee", "bee"],
    groups=["1", "2", "3", "4"],
    codes={ONE: CODES, TWO: CODES + 1},
)


def other_value() -> np.ndarray:
    changed = CODES.copy()
    changed[3, 1] += 1
    return changed


@pytest.mark.parametrize(
    "other",
    [
        replace(SET, example_ids=["a", "b", "c", "e"]),
        replace(SET, labels=["ant", "bee", "bee", "bee"]),
        replace(SET, example_ids=["aa", "b", "c", "d"], labels=["nt", "ant", "bee", "bee"]),
        replace(SET, codes={ONE: other_value(), TWO: CODES + 1}),
        replace(SET, codes={ONE: CODES.astype(np.float16), TWO: CODES + 1}),
        replace(SET, codes={ONE: CODES.reshape(4, 1, 2), TWO: CODES + 1}),
        replace(SET, codes={ONE: CODES}),
        replace(SET, codes={TWO: CODES, ONE: CODES + 1}),
        replace(SET, codes={replace(ONE, digest="1" * 64): CODES, TWO: CODES + 1}),
    ],
    ids=["id", "label", "boundary", "value", "dtype", "shape", "tap", "swapped", "backbone"],
)
def test_the_digest_tells_apart(other: TrainingSet) -> None:
    assert other.digest() != SET.digest()


@pytest.mark.parametrize(
    "same",
    [
        replace(SET, codes={TWO: CODES + 1, ONE: CODES.copy()}),
        replace(SET, codes={replace(ONE, backbone="renamed", depth=7): CODES, TWO: CODES + 1}),
        replace(SET, codes={ONE: CODES.astype(">f4"), TWO: CODES + 1}),
    ],
    ids=["order of taps", "labels of the tap", "byte order"],
)
def test_the_digest_is_of_the_content_alone(same: TrainingSet) -> None:
    assert same.digest() == SET.digest()


def test_an_identity_has_no_labels() -> None:
    assert identity(ONE) == identity(replace(ONE, backbone="renamed", depth=7))
    assert identity(ONE) != identity(TWO)


def snapshot(labels: list[str]) -> TapSnapshot:
    examples = [ExampleRecord(f"{n}", label, {}, f"sha{n}") for n, label in enumerate(labels)]
    codes = np.arange(len(labels) * 8, dtype=np.float16).reshape(len(labels), 2, 2, 2)
    return TapSnapshot(1, examples, {ONE: codes})


def test_rows_stay_together_and_those_without_a_label_go() -> None:
    taken = TrainingSet.of("insects", snapshot(["ant", "", "bee", "ant", "bee"]))
    assert taken.labels == ["ant", "bee", "ant", "bee"]
    assert taken.example_ids == ["0", "2", "3", "4"]
    assert taken.groups == ["sha0", "sha2", "sha3", "sha4"]
    assert taken.codes[ONE].shape == (4, 8)
    assert taken.codes[ONE][:, 0].tolist() == [0, 16, 24, 32]
    assert taken.codes[ONE].flags.c_contiguous


def test_a_collection_that_changed_since_is_looked_at_again() -> None:
    with pytest.raises(ClassTooSmall, match="'insects' has one image only of class 'bee'"):
        TrainingSet.of("insects", snapshot(["ant", "ant", "bee"]))

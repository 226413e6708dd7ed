"""Held-out answers: found by image, and the same as bytes."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from icecore.probes.errors import InputInvalid, LabelsInvalid, ProbeFileInvalid
from icecore.probes.held_out import HeldOut

GOLDEN = Path(__file__).parents[1] / "golden"


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def held_out(n: int = 9) -> HeldOut:
    predicted = np.arange(n, dtype=np.int64) % 4 - 1
    return HeldOut.of([sha(i) for i in range(n)], predicted, n_classes=3, n_folds=5)


def test_answers_are_found_by_image() -> None:
    is_known, classes = held_out().answers([sha(5), sha("new"), sha(0), sha(5)])
    assert is_known.tolist() == [True, False, True, True]
    assert classes.tolist() == [0, -1, -1, 0], "image 0 was never held out"


def test_digests_that_begin_or_end_with_zeros_are_told_apart() -> None:
    names = ["00" * 32, "00" * 31 + "01", "01" + "00" * 31, "ff" * 31 + "00", "ff" * 32]
    found = HeldOut.of(names, np.arange(5) % 3, n_classes=3, n_folds=5)
    is_known, classes = HeldOut.from_bytes(found.to_bytes()).answers(names)
    assert is_known.all()
    assert classes.tolist() == [0, 1, 2, 0, 1]
    assert not found.answers(["02" + "00" * 31])[0].any()


def test_copies_are_one_image_with_the_first_answer_there_is() -> None:
    names = [sha("a"), sha("b"), sha("a"), sha("a"), sha("b")]
    found = HeldOut.of(names, np.array([-1, 2, 1, 0, 0]), n_classes=3, n_folds=5)
    assert len(found.images) == 2
    assert found.answers([sha("a"), sha("b")])[1].tolist() == [1, 2]


def test_bytes_to_value_to_bytes_are_the_same() -> None:
    for n in (0, 1, 9):
        data = held_out(n).to_bytes()
        back = HeldOut.from_bytes(data)
        assert back.to_bytes() == data
        assert (len(back.images), back.n_classes, back.n_folds) == (n, 3, 5)
        assert len(data) == 56 + 36 * n, "36 bytes an image"


def test_files_of_every_format_ever_written_still_open() -> None:
    data = (GOLDEN / "held-out-1.icecore-held-out").read_bytes()
    is_known, classes = HeldOut.from_bytes(data).answers([sha(i) for i in range(10)])
    assert is_known.tolist() == [True] * 9 + [False]
    assert classes.tolist() == [-1, 0, 1, 2, -1, 0, 1, 2, -1, -1]


def test_the_order_of_images_does_not_change_the_bytes() -> None:
    names, predicted = [sha(i) for i in range(6)], np.arange(6) % 3
    back = HeldOut.of(names[::-1], predicted[::-1], n_classes=3, n_folds=5).to_bytes()
    assert HeldOut.of(names, predicted, n_classes=3, n_folds=5).to_bytes() == back


def test_nothing_is_known_of_no_images() -> None:
    is_known, classes = held_out(0).answers([sha(1)])
    assert (is_known.tolist(), classes.tolist()) == ([False], [-1])
    assert not len(held_out().answers([])[0])


def signed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_broken_bytes_are_refused() -> None:
    data = held_out().to_bytes()
    for place in range(len(data)):
        with pytest.raises(ProbeFileInvalid):
            HeldOut.from_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ProbeFileInvalid):
            HeldOut.from_bytes(data[:place])
    body = data[:-32]
    for changed, words in [
        (b"ICEPROBE" + body[8:], "begin with"),
        (body[:8] + struct.pack("<I", 2) + body[12:], "format 2, but this version reads"),
        (body[:20] + struct.pack("<I", 8) + body[24:], "of 8 images have"),
        (body[:16] + struct.pack("<I", 2) + body[20:], "a class is not one of 2"),
        (body[:24] + b"\xff" * 32 + body[56:], "not in ascending order"),
    ]:
        with pytest.raises(ProbeFileInvalid, match=words):
            HeldOut.from_bytes(signed(changed))


def test_what_is_no_image_is_refused() -> None:
    one = np.zeros(1, np.int64)
    with pytest.raises(InputInvalid, match="no SHA-256 in hexadecimal"):
        HeldOut.of(["not one"], one, n_classes=2, n_folds=5)
    with pytest.raises(InputInvalid, match="has not 32 bytes"):
        HeldOut.of(["ab"], one, n_classes=2, n_folds=5)
    with pytest.raises(LabelsInvalid, match="1 predictions for 2 images"):
        HeldOut.of([sha(1), sha(2)], one, n_classes=2, n_folds=5)


def test_what_a_choice_was_made_on_is_told_also_of_a_later_version() -> None:
    """Of one that kept an earlier choice, the images without an answer are those that made it."""
    groups = [f"{number:02x}" * 32 for number in (7, 1, 9)]
    kept = HeldOut.of(groups, np.array([-1, 0, 1]), n_classes=2, n_folds=5)
    assert kept.chosen_on(is_choice_kept=False) == sorted(groups)
    assert kept.chosen_on(is_choice_kept=True) == [groups[0]]
    zeros = HeldOut.of(["ab" * 31 + "00"], np.array([-1]), n_classes=2, n_folds=5)
    assert zeros.chosen_on(is_choice_kept=True) == ["ab" * 31 + "00"], "a zero at the end is kept"

"""Codes are checked once, and those of different taps never mix."""

from dataclasses import replace

import numpy as np
import pytest

from icecore.wire.codes import CodeArray, Codes, TapsDiffer
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId

TAP = TapId(digest="3f" * 32, layer="blocks.5.expand", backbone="lite0", depth=11)
WHOLE = replace(TAP, pooling=Pooling(PoolingKind.NONE))


def rows(n: int = 3, d: int = 4) -> CodeArray:
    return np.arange(n * d, dtype=np.float32).reshape(n, d)


@pytest.mark.parametrize(
    ("values", "tap", "sentence"),
    [
        (rows().astype(np.float64), TAP, "codes are 'float64', but must be float32 or float16"),
        (rows()[0], TAP, r"codes have shape \(4,\), but those of tap .* have \(n, d\)"),
        (rows(), WHOLE, r"codes have shape \(3, 4\), but those of tap .* have \(n, c, h, w\)"),
        (rows(3, 0), TAP, r"codes have shape \(3, 0\)"),
        (rows()[:, ::2], TAP, "codes are not C-contiguous"),
        (np.array([[1], [np.nan]], np.float32), TAP, "codes of image 1 hold a value that is not"),
        (np.array([[np.inf]], np.float16), TAP, "codes of image 0 hold a value that is not finite"),
        ([[1.0]], TAP, "codes are a 'list', but must be a numpy array"),
    ],
)
def test_what_is_not_codes_is_refused(values: CodeArray, tap: TapId, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Codes(values, tap)


def test_codes_cannot_be_written_but_the_array_given_still_can() -> None:
    values = rows()
    codes = Codes(values, TAP)
    with pytest.raises(ValueError, match="read-only"):
        codes.values[0, 0] = 1.0
    values[0, 0] = 5.0
    assert codes.values[0, 0] == 5.0, "a view, as documented"


def test_codes_are_equal_only_if_tap_dtype_and_values_are() -> None:
    codes = Codes(rows(), TAP)
    assert codes == Codes(rows(), replace(TAP, backbone="renamed", depth=0)), "labels do not count"
    assert codes != Codes(rows(), replace(TAP, activation=Activation.NONE))
    assert codes != Codes(rows().astype(np.float16), TAP)
    assert codes != Codes(rows() + 1, TAP)
    assert codes != "codes"


def test_codes_have_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Codes(rows(), TAP))


def test_concatenating_slices_gives_the_whole() -> None:
    codes = Codes(rows(5), TAP)
    assert Codes.concatenate([codes[:2], codes[2:2], codes[2:]]) == codes
    assert (len(codes), codes.dims) == (5, 4)
    assert [row.tolist() for row in codes] == rows(5).tolist()


def test_codes_of_different_taps_do_not_concatenate() -> None:
    other = replace(TAP, layer="head")
    with pytest.raises(TapsDiffer) as refused:
        Codes.concatenate([Codes(rows(), TAP), Codes(rows(), other)])
    assert str(TAP) in str(refused.value)
    assert str(other) in str(refused.value)


def test_taps_whose_labels_look_the_same_are_told_apart_by_their_digest() -> None:
    other = replace(TAP, digest="3f" * 31 + "00")
    assert str(other) == str(TAP)
    with pytest.raises(TapsDiffer, match=other.digest):
        Codes(rows(), TAP).require(other)


def test_other_dtypes_and_shapes_do_not_concatenate() -> None:
    codes = Codes(rows(), TAP)
    with pytest.raises(ValueError, match="'float32' and 'float16' do not concatenate"):
        Codes.concatenate([codes, Codes(rows().astype(np.float16), TAP)])
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(3, 5\) do not concatenate"):
        Codes.concatenate([codes, Codes(rows(3, 5), TAP)])
    with pytest.raises(ValueError, match="no codes to concatenate"):
        Codes.concatenate([])


def test_whole_maps_keep_their_four_dimensions() -> None:
    codes = Codes(np.ones((2, 3, 4, 5), np.float16), WHOLE)
    assert codes.dims == 60
    assert codes[1:].values.shape == (1, 3, 4, 5)

"""value -> bytes -> value gives the same value, and bytes -> value -> bytes the same bytes."""

import itertools
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from icecore.v1 import common_pb2
from icecore.wire import messages
from icecore.wire.codes import CodeArray, Codes
from icecore.wire.messages import TensorArray
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId

TAP = TapId(digest="3f" * 32, layer="blocks.5.expand", backbone="lite0", depth=11)
POOLINGS = [
    Pooling(kind, 2.7 if kind is PoolingKind.GEM else 0.0)  # 2.7 is no float32
    for kind in PoolingKind
]
WHOLE = Pooling(PoolingKind.NONE)


@pytest.mark.parametrize(
    "tap",
    [
        replace(TAP, activation=activation, pooling=pooling)
        for activation, pooling in itertools.product(Activation, POOLINGS)
    ],
    ids=str,
)
def test_taps_survive_the_wire(tap: TapId) -> None:
    sent = messages.tap_to_message(tap).SerializeToString(deterministic=True)
    back = messages.tap_from_message(common_pb2.Tap.FromString(sent))
    assert back == tap
    assert (back.backbone, back.depth) == (tap.backbone, tap.depth)
    assert messages.tap_to_message(back).SerializeToString(deterministic=True) == sent


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_codes_survive_the_wire(dtype: type[np.float32] | type[np.float16], n: int) -> None:
    random = np.random.default_rng(7)
    for tap, shape in ((TAP, (n, 5)), (replace(TAP, pooling=WHOLE), (n, 2, 3, 4))):
        values = cast(CodeArray, random.normal(size=shape).astype(dtype))
        codes = Codes(values, tap)
        sent = messages.codes_to_message(codes).SerializeToString(deterministic=True)
        back = messages.codes_from_message(common_pb2.Codes.FromString(sent))
        assert back == codes
        assert messages.codes_to_message(back).SerializeToString(deterministic=True) == sent


def test_codes_travel_little_endian() -> None:
    codes = Codes(np.array([[1.0, 256.0]], np.float32), TAP)
    assert messages.codes_to_message(codes).data.hex() == "0000803f00008043"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8 not looked at",
        np.arange(60, dtype=np.uint8).reshape(4, 5, 3),
        np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 4, 5),
        np.zeros((4, 5, 3), np.uint8)[::-1, ::2],
    ],
    ids=["encoded", "pixels", "prepared", "strided"],
)
def test_images_survive_the_wire(content: bytes | TensorArray) -> None:
    sent = messages.image_to_message(content).SerializeToString(deterministic=True)
    back = messages.image_from_message(common_pb2.Image.FromString(sent))
    if isinstance(content, bytes):
        assert back == content
    else:
        assert isinstance(back, np.ndarray)
        assert back.dtype == content.dtype
        np.testing.assert_array_equal(back, content)
    assert messages.image_to_message(back).SerializeToString(deterministic=True) == sent


def test_what_is_unspecified_has_the_contracts_defaults() -> None:
    assert messages.activation_from_message(common_pb2.ACTIVATION_UNSPECIFIED) == "as-trained"
    assert messages.pooling_from_message(common_pb2.Pooling()) == Pooling()
    gem = messages.pooling_from_message(common_pb2.Pooling(kind=common_pb2.POOLING_KIND_GEM))
    assert gem == Pooling(PoolingKind.GEM, 3.0)
    assert messages.codes_dtype_from_message(common_pb2.D_TYPE_UNSPECIFIED) == np.float32


def test_every_number_of_the_contract_is_known() -> None:
    for number in common_pb2.Activation.values():
        messages.activation_from_message(number)
    for kind in common_pb2.PoolingKind.values():
        messages.pooling_from_message(common_pb2.Pooling(kind=kind))
    for dtype in common_pb2.DType.values():
        if dtype != common_pb2.D_TYPE_UNSPECIFIED:
            tensor = common_pb2.Tensor(dtype=dtype, shape=[0])
            array = messages.tensor_from_message(tensor)
            assert messages.dtype_to_message(array.dtype) == dtype


def _codes(**changes: object) -> common_pb2.Codes:
    message = messages.codes_to_message(Codes(np.ones((1, 2), np.float32), TAP))
    for name, value in changes.items():
        message.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            if name == "shape":
                message.shape.extend(value)  # type: ignore[arg-type]
            else:
                setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (_codes(tap=None), "the codes have no tap"),
        (_codes(dtype=3), r"codes are float32 \(1\) or float16 \(2\), not dtype 3"),
        (_codes(dtype=9), "not dtype 9"),
        (_codes(data=b"1234567"), r"has 7 bytes, but shape \(1, 2\) of float32 needs 8"),
        (_codes(shape=(-1, -2)), r"shape \(-1, -2\)"),
        (_codes(shape=(1 << 62, 1 << 62)), "needs 85070591730234615865843651857942052864"),
        (_codes(shape=(1,) * 40), "has 40 dimensions, but 4 is the most"),
        (_codes(data=np.full(2, np.nan, "<f4").tobytes()), "not finite"),
        (_codes(shape=(2,)), r"codes have shape \(2,\)"),
    ],
)
def test_broken_codes_are_refused(message: common_pb2.Codes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        messages.codes_from_message(message)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (common_pb2.Image(), "neither encoded bytes nor a tensor"),
        (common_pb2.Image(tensor=common_pb2.Tensor(shape=[0])), "the tensor has no dtype"),
        (
            common_pb2.Image(
                tensor=common_pb2.Tensor(dtype=common_pb2.D_TYPE_FLOAT16, shape=[1], data=b"ab")
            ),
            "the image is a float16 tensor",
        ),
    ],
)
def test_broken_images_are_refused(message: common_pb2.Image, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        messages.image_from_message(message)


def test_numbers_that_a_newer_contract_may_have_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"activation 9 is not known: .*ACTIVATION_RELU \(2\)"):
        messages.activation_from_message(9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pooling 9 is not known: POOLING_KIND_AVG \(1\)"):
        messages.pooling_from_message(common_pb2.Pooling(kind=9))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pooling 'max' has none"):
        messages.pooling_from_message(
            common_pb2.Pooling(kind=common_pb2.POOLING_KIND_MAX, gem_p=2.0)
        )


def test_other_dtypes_do_not_become_images() -> None:
    with pytest.raises(ValueError, match="the image is an array of 'float16'"):
        messages.image_to_message(np.zeros((2, 2, 3), np.float16))
    with pytest.raises(ValueError, match="dtype 'float64' is not float32, float16 or uint8"):
        messages.dtype_to_message(np.float64)

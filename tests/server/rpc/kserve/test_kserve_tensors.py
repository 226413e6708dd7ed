"""The one input tensor, in every form it may come in and in many it may not."""

import random
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from icecore.kserve import open_inference as pb
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.errors import IcecoreError
from icecore.server.rpc.kserve import tensors


def _request(
    datatype: str,
    shape: tuple[int, ...],
    raw: bytes | None = None,
    *,
    name: str = "image",
    **contents: Any,
) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name="toy")
    tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def _images(request: pb.ModelInferRequest) -> list[ImageInput]:
    tensor = tensors.the_input(request)
    return tensors.images_of(tensor, tensors.sent_with(request.raw_input_contents, tensor))


def _prefixed(*files: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


def test_floats_become_views_of_what_came() -> None:
    values = np.arange(2 * 3 * 4 * 5, dtype="<f4").reshape(2, 3, 4, 5)
    raw = values.tobytes()
    array = tensors._over(raw, "FP32", values.shape)
    assert array.__array_interface__["data"][0] == np.frombuffer(raw, "u1").ctypes.data
    images = _images(_request("FP32", values.shape, raw))
    assert all(isinstance(one, Prepared) for one in images)
    for one, expected in zip(images, values, strict=True):
        assert isinstance(one, Prepared)
        np.testing.assert_array_equal(one.array, expected)


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (2, 3, 4, 5), (1, 3, 3, 3)])
def test_pixels_come_in_either_order(shape: tuple[int, ...]) -> None:
    """Three channels last win where both could be meant."""
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    images = tensors.upright(_images(_request("UINT8", shape, values.tobytes())))
    expected = values if shape[-1] == 3 else values.transpose(0, 2, 3, 1)
    for one, pixels in zip(images, expected, strict=True):
        assert isinstance(one, Pixels)
        np.testing.assert_array_equal(one.array, pixels)


def test_planes_of_the_networks_size_are_left_as_they_are() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 4)
    images = _images(_request("UINT8", values.shape, values.tobytes()))
    assert tensors.upright(images, (2, 4)) is images
    (turned,) = tensors.upright(images, (4, 2))
    assert isinstance(turned, Pixels)
    np.testing.assert_array_equal(turned.array, values[0].transpose(1, 2, 0))


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_files_come_behind_their_lengths_or_one_by_one(shape: tuple[int, ...]) -> None:
    files = (b"first", b"")
    for made in (
        _request("BYTES", shape, _prefixed(*files)),
        _request("BYTES", shape, bytes_contents=files),
    ):
        assert _images(made) == [Encoded(file) for file in files]


def test_typed_values_are_the_raw_ones() -> None:
    floats = np.linspace(-1, 1, 24, dtype="f4").reshape(1, 3, 2, 4)
    (one,) = _images(_request("FP32", floats.shape, fp32_contents=floats.reshape(-1)))
    assert isinstance(one, Prepared)
    np.testing.assert_array_equal(one.array, floats[0])
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    (one,) = _images(_request("UINT8", pixels.shape, uint_contents=pixels.reshape(-1)))
    assert isinstance(one, Pixels)
    np.testing.assert_array_equal(one.array, pixels[0])


def test_typed_values_are_the_raw_ones_however_they_are_written() -> None:
    """In one piece or several, packed or not, and beside fields that nobody knows."""
    draw = np.random.default_rng(20261121)
    numbers = draw.integers(0, 256, 300)
    numbers[:4] = 127, 128, 255, 0
    for n in (3, 30, 300):
        pieces = [
            pb.InferTensorContents(uint_contents=part) for part in (numbers[:2], numbers[2:n])
        ]
        one_by_one = b"".join(b"\x20" + _varint(number) for number in numbers[:n].tolist())
        unknown = b"\xfa\x07\x02hi"
        for data in (unknown.join(one.SerializeToString() for one in pieces), one_by_one + unknown):
            made = _request("UINT8", (1, 1, n // 3, 3))
            made.inputs[0].contents.MergeFromString(data)
            (got,) = _images(made)
            assert isinstance(got, Pixels)
            np.testing.assert_array_equal(got.array.reshape(-1), numbers[:n])


@pytest.mark.parametrize("value", [256, 383, 384, 511, 1 << 14, 65_409, (1 << 32) - 1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_typed_pixel_above_255_is_named(value: int, place: int) -> None:
    values = [200, 200, 200]
    values[place] = value
    with pytest.raises(IcecoreError, match=f"has the value {value}$"):
        _images(_request("UINT8", (1, 1, 1, 3), uint_contents=values))


def test_a_shape_of_millions_of_sizes_is_not_walked() -> None:
    class Sizes(list[int]):
        def __iter__(self) -> Any:
            raise AssertionError("walked")

    tensor = SimpleNamespace(name="image", datatype="FP32", shape=Sizes([1] * 1000))
    asked: Any = SimpleNamespace(inputs=[tensor])
    with pytest.raises(IcecoreError, match=r"of shape \(1, 1, 1, 1, 1, 1, 1, 1\), but"):
        tensors.the_input(asked)


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


FOUR = (1, 3, 2, 2)
REFUSED: list[tuple[pb.ModelInferRequest, str, str]] = [
    (pb.ModelInferRequest(), "ARGUMENT_INVALID", "the inputs are none, but"),
    (_request("FP32", FOUR, bytes(48), name="input"), "ARGUMENT_INVALID", "'input', but"),
    (_request("FP16", FOUR, bytes(24)), "TENSOR_INVALID", "is FP16 of shape (1, 3, 2, 2)"),
    (_request("", FOUR, bytes(48)), "TENSOR_INVALID", "of no datatype"),
    (_request("FP32", (3, 2, 2), bytes(48)), "TENSOR_INVALID", "is FP32 of shape (3, 2, 2)"),
    (_request("BYTES", (), b""), "TENSOR_INVALID", "is BYTES of shape ()"),
    (_request("BYTES", (1, 2), _prefixed(b"a", b"b")), "TENSOR_INVALID", "(1, 2)"),
    (_request("FP32", (0, 3, 2, 2), b""), "IMAGES_EMPTY", "at least one"),
    (_request("FP32", (1, 3, 0, 2), b""), "TENSOR_INVALID", "sizes count from 1"),
    (_request("FP32", (1, 3, -2, -2), bytes(48)), "TENSOR_INVALID", "sizes count from 1"),
    (_request("UINT8", (1 << 20, 1, 1, 3), b""), "IMAGES_TOO_MANY", "1,048,576 images"),
    (_request("FP32", FOUR, bytes(47)), "TENSOR_INVALID", "47 bytes"),
    (
        _request("FP32", (1, 3, 1 << 31, 1 << 31), b""),
        "TENSOR_INVALID",
        "needs 55340232221128654848",
    ),
    (_request("FP32", FOUR), "ARGUMENT_INVALID", "0 raw_input_contents"),
    (_request("FP32", FOUR, bytes(48), fp32_contents=[0.0]), "ARGUMENT_INVALID", "both"),
    (_request("FP32", FOUR, fp64_contents=[0.0] * 12), "TENSOR_INVALID", "not fp64_contents"),
    (_request("FP32", FOUR, fp32_contents=[0.0] * 11), "TENSOR_INVALID", "has 11 values"),
    (_request("UINT8", (1, 1, 1, 3), uint_contents=[0, 1, 256]), "TENSOR_INVALID", "value 256"),
    (_request("BYTES", (1,), b"\x05\x00\x00\x00four"), "TENSOR_INVALID", "not 1 elements"),
    (_request("BYTES", (1,), b"\xff\xff\xff\xff"), "TENSOR_INVALID", "not 1 elements"),
    (_request("BYTES", (2,), _prefixed(b"one")), "TENSOR_INVALID", "not 2 elements"),
    (_request("BYTES", (1,), _prefixed(b"one", b"two")), "TENSOR_INVALID", "not 1 elements"),
    (_request("BYTES", (1,), b"\x01\x00"), "TENSOR_INVALID", "not 1 elements"),
]


@pytest.mark.parametrize(("request_", "reason", "words"), REFUSED)
def test_what_is_no_tensor_is_refused_with_a_sentence(
    request_: pb.ModelInferRequest, reason: str, words: str
) -> None:
    with pytest.raises(IcecoreError) as caught:
        _images(request_)
    assert caught.value.reason == reason
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def test_two_inputs_are_one_too_many() -> None:
    made = _request("FP32", FOUR, bytes(48))
    made.inputs.add(name="image", datatype="FP32", shape=FOUR)
    with pytest.raises(IcecoreError, match="the inputs are 'image', 'image', but"):
        _images(made)


def test_anything_is_images_or_an_error_of_ours() -> None:
    """Whatever a request holds, nothing else comes out, and no more images than it has bytes."""
    seed = 20261121
    draw = random.Random(seed)
    for _ in range(3000):
        datatype = draw.choice(["FP32", "UINT8", "BYTES", "INT8", ""])
        shape = tuple(
            draw.choice([-1, 0, 1, 1, 2, 3, 3, 4, 1 << 40]) for _ in range(draw.randint(0, 5))
        )
        kind = draw.choice(["raw", "raw", "fp32_contents", "uint_contents", "bytes_contents"])
        n = draw.randint(0, 30)
        if kind == "raw":
            made = _request(datatype, shape, draw.randbytes(draw.choice([n, 4 * n])))
        else:
            value: Any = b"x" if kind == "bytes_contents" else 7
            typed: dict[str, Any] = {kind: [value] * n}
            made = _request(datatype, shape, **typed)
        try:
            images = _images(made)
        except IcecoreError:
            continue
        assert 0 < len(images) <= 30 * 4, f"seed {seed}"


def test_texts_are_written_as_tritonclient_reads_them() -> None:
    assert tensors.raw_texts(["a", "", "ö"]) == b"\x01\0\0\0a" + b"\0\0\0\0" + b"\x02\0\0\0\xc3\xb6"


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_values_are_little_endian(name: str) -> None:
    values = np.array([1.5, -2.0], name)
    raw = tensors.raw_of(values.astype(values.dtype.newbyteorder(">")).astype(name))
    np.testing.assert_array_equal(np.frombuffer(raw, values.dtype.newbyteorder("<")), values)
    assert tensors.datatype_of(values) == f"FP{name[5:]}"

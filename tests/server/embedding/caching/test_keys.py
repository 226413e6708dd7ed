"""Keys: everything that decides codes is in them, and nothing reads as something else."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from icecore.server.embedding.caching.keys import code_key, fingerprint, image_digest
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId

TAP = TapId(digest="a" * 64, layer="one")


def test_keys_differ_in_whatever_decides_the_codes() -> None:
    image, other = bytes(32), bytes(31) + b"\1"
    taps = [
        TAP,
        replace(TAP, digest="b" * 64),
        replace(TAP, layer="two"),
        replace(TAP, activation=Activation.NONE),
        replace(TAP, activation=Activation.RELU),
        *(replace(TAP, pooling=Pooling(kind)) for kind in (PoolingKind.MAX, PoolingKind.GRID)),
        replace(TAP, pooling=Pooling(PoolingKind.GEM, 3.0)),
        replace(
            TAP, pooling=Pooling(PoolingKind.GEM, float(np.nextafter(np.float32(3), np.float32(4))))
        ),
    ]
    keys = [code_key("a", one, tap) for one in (image, other) for tap in taps]
    keys += [code_key("b", image, tap) for tap in taps]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_what_is_a_label_is_not_in_the_key() -> None:
    assert code_key("a", bytes(32), TAP) == code_key(
        "a", bytes(32), replace(TAP, backbone="other", depth=7)
    )


def test_fields_cannot_be_shifted_into_each_other() -> None:
    left = code_key("ab", bytes(32), replace(TAP, layer="c"))
    assert left != code_key("a", bytes(32), replace(TAP, layer="bc"))
    assert code_key("", b"x" * 32, TAP) != code_key("x" * 32, b"", TAP)


def kinds() -> list[ImageInput]:
    pixels = np.arange(48, dtype=np.uint8)
    return [
        Encoded(pixels.tobytes()),
        Pixels(pixels.reshape(4, 4, 3)),
        Pixels(pixels.reshape(2, 8, 3)),
        Pixels(pixels.reshape(3, 4, 4)),
        Prepared(pixels.view(np.float32).reshape(3, 2, 2)),
        Prepared(pixels.view(np.float32).reshape(3, 1, 4)),
    ]


@pytest.mark.parametrize(("one", "other"), list(combinations(kinds(), 2)))
def test_the_same_bytes_as_another_kind_or_shape_are_another_image(
    one: ImageInput, other: ImageInput
) -> None:
    assert image_digest(one) != image_digest(other)


def test_one_bit_makes_another_image() -> None:
    array = np.zeros((3, 16, 16), np.float32)
    changed = array.copy()
    changed[2, 15, 14] = 1e-45
    assert image_digest(Prepared(array)) != image_digest(Prepared(changed))
    assert image_digest(Prepared(array)) == image_digest(Prepared(array.copy(order="F")))


def test_a_fingerprint_is_equal_where_the_tensors_are() -> None:
    array = np.random.default_rng(0).normal(size=(3, 32, 32)).astype(np.float32)
    assert fingerprint(Prepared(array)) == fingerprint(Prepared(array.copy(order="F")))
    assert fingerprint(Prepared(array)) != fingerprint(Prepared(array + np.float32(1)))


DTYPES = ["u1", "?", "<f2", "<f4", ">f4", "<f8", "<i8", "<c16", "S3", "M8[s]", "f4,u1"]
SHAPES = [(0, 3, 4), (1,), (7,), (1, 1, 3), (8, 8, 3), (3, 5, 43), (3, 32, 32), (65, 67, 3)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_fingerprint_does_not_depend_on_how_a_tensor_lies(
    dtype: str, shape: tuple[int, ...]
) -> None:
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = np.random.default_rng(0).integers(0, 2, n_bytes + 1, np.uint8).tobytes()
    array = np.frombuffer(data, dtype, int(np.prod(shape)), 1).reshape(shape)  # unaligned
    assert not array.flags.writeable
    wide = np.zeros((*shape[:-1], 2 * shape[-1]), dtype)
    wide[..., ::2] = array
    expected = fingerprint(Prepared(array))
    copies = [array.copy(), array.copy(order="F"), wide[..., ::2]]
    copies.append(np.ascontiguousarray(array[::-1])[::-1])
    for copy in copies:
        assert fingerprint(Prepared(copy)) == expected


def test_a_fingerprint_reads_512_bytes_of_pixels_from_the_first_to_the_last() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (224, 224, 3), np.uint8)
    found = fingerprint(Pixels(pixels))
    changes = []
    for place in range(pixels.size):
        pixels.flat[place] += 1
        if fingerprint(Pixels(pixels)) != found:
            changes.append(place)
        pixels.flat[place] -= 1
    assert len(changes) == 512
    assert changes[0] == 0
    assert changes[-1] > pixels.size - 256
    assert max(np.diff(changes)) < pixels.size / 60
    assert len({place // 3 % 224 for place in changes}) > 64, "not the same columns"


@pytest.mark.parametrize("shape", [(64, 20, 3), (256, 256, 3), (3, 126, 126), (512, 512, 3)])
def test_words_are_not_all_in_the_same_columns(shape: tuple[int, ...]) -> None:
    width = shape[1] * (3 if shape[-1] == 3 else 1)
    pixels = np.zeros(shape, np.uint8)
    found = fingerprint(Pixels(pixels))
    columns = 0
    for column in range(width):
        rows = pixels.reshape(-1, width)
        rows[:, column] = 1
        columns += fingerprint(Pixels(pixels)) != found
        rows[:, column] = 0
    assert columns > min(64, width // 2)


def test_the_same_bytes_of_another_dtype_or_shape_have_another_fingerprint() -> None:
    array = np.arange(3000, dtype=np.float32).reshape(3, 10, 100)
    found = {fingerprint(Prepared(array)), fingerprint(Prepared(array.reshape(3, 100, 10)))}
    found |= {fingerprint(Prepared(array.view(dtype))) for dtype in ("i4", "u1")}
    assert len(found) == 4

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

"""Probes as bytes: the same value the same bytes, and nothing broken gets in."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icecore.probes.errors import ProbeFileInvalid
from icecore.probes.files import FORMAT, from_bytes, to_bytes
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing

GOLDEN = Path(__file__).parents[1] / "golden"


def three_ants() -> LinearProbe:
    """The probe that the golden file of format 1 holds; never change it."""
    return LinearProbe(
        kind=ProbeKind.SVM,
        classes=("ant", "bee", "Hügelameise"),
        weights=((np.arange(12).reshape(3, 4) - 5) / 4).astype(np.float32),
        bias=np.array([0.1, -2.5, 1e-300]),
        tap='{"layer":"blocks.5.expand"}',
    )


def two_ants() -> LinearProbe:
    return LinearProbe(
        ProbeKind.SOFTMAX, ("ant", "bee"), np.ones((1, 3), np.float32), np.zeros(1), "tap"
    )


def rooted_ants() -> LinearProbe:
    """The probe that the golden file of format 2 holds; never change it."""
    return replace(three_ants(), preprocessing=Preprocessing.SIGNED_ROOT)


@pytest.mark.parametrize(
    "probe", [three_ants(), two_ants(), rooted_ants()], ids=["svm", "softmax", "signed-root"]
)
def test_bytes_and_value_are_two_forms_of_one_thing(probe: LinearProbe) -> None:
    data = to_bytes(probe)
    assert from_bytes(data) == probe
    assert to_bytes(from_bytes(data)) == data


def test_a_file_of_format_1_still_opens() -> None:
    assert from_bytes((GOLDEN / "probe-1.icecore-probe").read_bytes()) == three_ants()


def test_format_2_is_still_written_to_the_byte() -> None:
    """When the format changes, its number does; then this test is for that number."""
    assert FORMAT == 2
    data = (GOLDEN / "probe-2.icecore-probe").read_bytes()
    assert to_bytes(rooted_ants()) == data
    assert from_bytes(data) == rooted_ants()


def test_every_truncation_is_refused() -> None:
    data = to_bytes(two_ants())
    for length in range(len(data)):
        with pytest.raises(ProbeFileInvalid):
            from_bytes(data[:length])


def test_every_bit_flip_is_refused() -> None:
    data = to_bytes(two_ants())
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(ProbeFileInvalid):
                from_bytes(bytes(flipped))


def test_added_bytes_are_refused() -> None:
    with pytest.raises(ProbeFileInvalid, match="checksum"):
        from_bytes(to_bytes(two_ants()) + b"\0")


def test_a_newer_format_is_named() -> None:
    body = bytearray(to_bytes(two_ants())[:-32])
    body[8:12] = struct.pack("<I", 3)
    with pytest.raises(ProbeFileInvalid) as refused:
        from_bytes(_signed(bytes(body)))
    assert str(refused.value) == (
        "the probe file has format 3, but this version reads formats 1 to 2: "
        "it was written by a newer one or is broken"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"shape":[1,3]', b'"shape":[3,1]'),
        (b'"shape":[1,3]', b'"shape":[1,2]'),
        (b'"shape":[1,3]', b'"shape":[9,9]'),
        (b'"shape":[1,3]', b'"shape":[1,"]'),
        (b'"kind":"softmax"', b'"kind":"hardmax"'),
        (b'"classes":["ant","bee"]', b'"classes":["ant","ant"]'),
        (b'"classes":["ant","bee"]', b'"classes":["ant",12345]'),
        (b'"tap":"tap"', b'"tap":12345'),
        (b'"tap":', b'"map":'),
        (b'"name":"bias"', b'"name":"base"'),
        (b'"<f8"', b'"<f4"'),
        (b'"<f8"', b'"|O8"'),
    ],
)
def test_a_header_that_lies_under_a_right_checksum_is_refused(old: bytes, new: bytes) -> None:
    body = to_bytes(two_ants())[:-32]
    assert body.count(old) == 1
    with pytest.raises(ProbeFileInvalid, match="content is wrong"):
        from_bytes(_signed(body.replace(old, new.ljust(len(old)))))


def test_what_is_no_probe_file_is_told_so() -> None:
    with pytest.raises(ProbeFileInvalid, match="this one with b'PK"):
        from_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ProbeFileInvalid, match="0 bytes are too few"):
        from_bytes(b"")


def _signed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()

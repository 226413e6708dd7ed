"""Requests taken apart by hand say what protobuf says."""

import random

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from icecore.kserve import open_inference as pb
from icecore.server.errors import InvalidArgument
from icecore.server.rpc.fields import LARGE_BYTES
from icecore.server.rpc.kserve.request import read
from kserve_models import prepared, request

SEED = 20261121


def _same(data: bytes) -> None:
    """Both read it, to the same, or neither."""
    try:
        expected = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            read(data)
        return
    got = read(data)
    assert [bytes(one) for one in got.raw] == list(expected.raw_input_contents)
    for message in (expected, got.message):
        del message.raw_input_contents[:]
    assert got.message == expected


def _rich() -> pb.ModelInferRequest:
    made = request(
        prepared(1),
        outputs={"one": {"pooling": "max"}, "2": {}},
        parameters={"layer": 2, "dtype": "FP16"},
        id="mine",
        model_version="1",
    )
    made.raw_input_contents.append(b"")
    made.raw_input_contents.append(b"more")
    return made


def test_raw_contents_lie_in_what_came() -> None:
    data = request(prepared(2)).SerializeToString()
    asked = read(data)
    (raw,) = asked.raw
    came = np.frombuffer(data, np.uint8)
    assert np.shares_memory(np.frombuffer(raw, np.uint8), came)
    assert not asked.message.raw_input_contents
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), prepared(2).reshape(-1))


def test_any_order_and_any_number_of_fields_say_the_same() -> None:
    rich = _rich()
    pieces = [
        pb.ModelInferRequest(**{field.name: value}).SerializeToString()
        for field, value in rich.ListFields()
    ]
    shuffle = random.Random(SEED)
    for _ in range(20):
        shuffle.shuffle(pieces)
        _same(b"".join(pieces))
    many = pb.ModelInferRequest(raw_input_contents=[bytes([n]) for n in range(200)])
    _same(many.SerializeToString())
    _same(b"")


def test_fields_nobody_knows_are_skipped() -> None:
    rich = _rich().SerializeToString()
    for unknown in (b"\xf8\x07\x05", b"\xfa\x07\x02hi", b"\xfd\x07abcd", b"\xf9\x07abcdefgh"):
        _same(unknown + rich)
        _same(rich + unknown)


def test_broken_bytes_are_broken_to_both() -> None:
    """Each byte of a request once another, cut off, or doubled; and random ones."""
    draw = random.Random(SEED)
    rich = pb.ModelInferRequest(
        model_name="toy",
        raw_input_contents=[b"values", b""],
        parameters={"layer": pb.InferParameter(int64_param=300)},
    ).SerializeToString()
    for at in range(len(rich)):
        for other in (0x00, 0x3A, 0x7F, 0x80, 0xFF, rich[at] ^ 1, rich[at] ^ 8):
            _same(rich[:at] + bytes([other]) + rich[at + 1 :])
        _same(rich[:at])
        _same(rich[:at] + rich[at : at + 1] + rich[at:])
    for _ in range(3000):
        _same(draw.randbytes(draw.randint(0, 12)))


def test_lengths_written_with_more_bytes_than_needed_are_lengths() -> None:
    for length in (b"\x02", b"\x82\x00", b"\x82\x80\x00", b"\x82\x80\x80\x80\x00"):
        _same(b"\x3a" + length + b"hi")
    _same(b"\x3a" + b"\x82" + b"\x80" * 8 + b"\x00" + b"hi")


def test_a_message_of_very_many_fields_is_left_to_protobuf() -> None:
    """By hand a million fields would hold up all callers for a second."""
    few = pb.ModelInferRequest(raw_input_contents=[b"x"] * 8).SerializeToString()
    assert not read(few).message.raw_input_contents
    many = pb.ModelInferRequest(raw_input_contents=[b"x"] * 10_000).SerializeToString()
    assert len(read(many).message.raw_input_contents) == 10_000


def test_a_large_message_of_very_many_fields_is_refused() -> None:
    """protobuf makes some 50 bytes of each empty input."""
    with pytest.raises(InvalidArgument, match="has more than 8,192 fields"):
        read(b"\x2a\0" * (LARGE_BYTES // 2 + 1))

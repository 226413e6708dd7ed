"""Bytes of requests to messages: what is refused before anything is made of it."""

from typing import Any

import pytest

from icecore.kserve import open_inference
from icecore.server.errors import ImagesTooMany, InvalidArgument
from icecore.server.rpc import embed_reading, inputs
from icecore.server.rpc.fields import LARGE_BYTES, MOST_FIELDS
from icecore.server.rpc.kserve import request as kserve_request
from icecore.server.rpc.nesting import MOST_NESTED
from icecore.server.rpc.reading import limited, opened
from icecore.v1 import codes_pb2, collection_pb2, common_pb2, probe_pb2

MANY = LARGE_BYTES // 2 + 1
IMAGE = bytes([codes_pb2.EmbedRequest.IMAGES_FIELD_NUMBER << 3 | 2])
GROUP = b"\x7b\x7c"
"""An empty one of number 15: protobuf skips it, and whatever comes behind is read."""


@pytest.mark.parametrize("fields", [IMAGE + b"\0", b"\x18\1", b"\xf8\1\1", GROUP + IMAGE + b"\0"])
def test_a_large_message_of_very_many_fields_is_refused_unread(fields: bytes) -> None:
    """Python would look at 64 MB of them for a minute, and protobuf make 1.5 GB of them."""
    read = limited(embed_reading.read, 1 << 30)(fields * MANY)
    with pytest.raises(InvalidArgument, match=f"has more than {MOST_FIELDS:,} fields"):
        opened(read)


def test_large_messages_of_few_fields_are_read() -> None:
    request = codes_pb2.EmbedRequest(
        layers=["1"] * 4096, images=[common_pb2.Image(encoded=bytes(4096))] * 1024
    )
    read = embed_reading.read(request.SerializeToString())
    assert (len(read.images()), len(read.wanted().layers)) == (1024, 4096)


def test_too_many_images_are_counted_not_made() -> None:
    read = embed_reading.read((IMAGE + b"\0") * 100_000)
    with pytest.raises(ImagesTooMany, match="100,000 images, but 1,024 at once"):
        read.images()
    with pytest.raises(ImagesTooMany, match="1,025 images"):
        inputs.images([common_pb2.Image(encoded=b"x")] * 1025)


def filled(of: Any, path: str, n: int) -> bytes:
    """A message with `n` empty entries in the field at the end of a path of names."""
    name, _, rest = path.partition(".")
    field = of.fields_by_name[name]
    tag = bytes([field.number << 3 | 2])
    if not rest:
        return (tag + b"\0") * n
    inner = filled(field.message_type, rest, n)
    return tag + varint(len(inner)) + inner


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize(
    ("message", "path", "read"),
    [
        (probe_pb2.PredictRequest, "images.images", None),
        (collection_pb2.AddExamplesRequest, "examples.example.metadata.fields", None),
        (codes_pb2.EmbedRequest, "images.tensor.shape", embed_reading.read),
        (open_inference.ModelInferRequest, "inputs.parameters", kserve_request.read),
        (open_inference.ModelInferRequest, "inputs.contents.bytes_contents", kserve_request.read),
    ],
)
def test_a_large_message_of_very_many_fields_somewhere_is_refused_unread(
    message: Any, path: str, read: Any
) -> None:
    """Of 60 MB of them protobuf would make 1.5 GB."""
    read = limited(read or message.FromString, 1 << 30)
    with pytest.raises(InvalidArgument, match=f"has more than {MOST_NESTED:,} fields"):
        opened(read(filled(message.DESCRIPTOR, path, MANY)))
    opened(read(filled(message.DESCRIPTOR, path, 1000)))


def test_large_messages_of_many_examples_are_read() -> None:
    request = collection_pb2.AddExamplesRequest()
    for number in range(1024):
        one = request.examples.add()
        one.example.metadata.update({f"key {place}": number for place in range(18)})
        one.image.encoded = bytes(2048)
    data = request.SerializeToString()
    assert len(data) > LARGE_BYTES
    read = limited(collection_pb2.AddExamplesRequest.FromString, 1 << 30)
    assert opened(read(data)) == request

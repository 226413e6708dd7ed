"""Bytes of requests to messages: what is refused before anything is made of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from icecore.kserve import descriptors, open_inference
from icecore.server.errors import ImagesTooMany, InvalidArgument
from icecore.server.rpc import embed_reading, inputs
from icecore.server.rpc.fields import LARGE_BYTES, MOST_FIELDS
from icecore.server.rpc.kserve import request as kserve_request
from icecore.server.rpc.kserve.request import MOST_PIXELS_BYTES
from icecore.server.rpc.nesting import MOST_NESTED
from icecore.server.rpc.reading import limited, opened
from icecore.server.rpc.services import CONTRACT
from icecore.v1 import (
    backbone_pb2,
    codes_pb2,
    collection_pb2,
    common_pb2,
    probe_pb2,
    tenant_pb2,
)

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
    *within, name = path.split(".")
    last = of
    for step in within:
        last = last.fields_by_name[step].message_type
    tag = bytes([last.fields_by_name[name].number << 3 | 2])
    return wrapped(of, within, (tag + b"\0") * n)


def packed(of: Any, path: str, numbers: bytes) -> bytes:
    """A message with a packed list in the field at the end of a path of names."""
    return wrapped(of, path.split("."), numbers)


def wrapped(of: Any, path: list[str], inner: bytes) -> bytes:
    """The bytes as what is in the field at the end of a path."""
    numbers = []
    for name in path:
        field = of.fields_by_name[name]
        numbers.append(field.number)
        of = field.message_type
    for number in reversed(numbers):
        inner = bytes([number << 3 | 2]) + varint(len(inner)) + inner
    return inner


def lists_of_numbers(of: Any, above: tuple[Any, ...] = ()) -> Iterator[str]:
    """Paths to all lists in a message whose numbers have no fixed size."""
    for field in of.fields:
        if field.message_type is not None and field.message_type not in above:
            for rest in lists_of_numbers(field.message_type, (*above, of)):
                yield f"{field.name}.{rest}"
        elif field.is_repeated and field.type in VARINTS:
            yield field.name


VARINTS = {3, 4, 5, 8, 13, 14, 17, 18}
"""Types of fields: int64, uint64, int32, bool, uint32, enum, sint32, sint64."""

REQUESTS = {
    method.input_type.full_name: method.input_type
    for service in (*CONTRACT, descriptors.SERVICE)
    for method in service.methods
}
LISTS = [(name, path) for name, of in REQUESTS.items() for path in lists_of_numbers(of)]
READERS: dict[str, Any] = {
    "icecore.v1.EmbedRequest": embed_reading.read,
    "inference.ModelInferRequest": kserve_request.read,
}


def reader(name: str) -> Any:
    """What the server reads such a request with."""
    modules = (codes_pb2, collection_pb2, probe_pb2, backbone_pb2, tenant_pb2, open_inference)
    simple = name.rpartition(".")[2]
    own = next((getattr(module, simple) for module in modules if hasattr(module, simple)), None)
    return limited(READERS.get(name) or own.FromString, 1 << 30)  # type: ignore[union-attr]


def test_there_are_lists_of_numbers_in_requests() -> None:
    """Or the next test would hold of nothing."""
    assert {
        ("icecore.v1.EmbedRequest", "images.tensor.shape"),
        ("icecore.v1.AddExamplesRequest", "examples.image.tensor.shape"),
        ("inference.ModelInferRequest", "inputs.shape"),
        ("inference.ModelInferRequest", "inputs.contents.int64_contents"),
    } <= set(LISTS)


@pytest.mark.parametrize(("name", "path"), LISTS)
def test_of_no_request_protobuf_reads_a_large_list_of_numbers(name: str, path: str) -> None:
    """60 MB of them stop the event loop for seconds and grow to half a gigabyte.

    What images come in as, in one protocol, has a bound of its own.
    """
    most = MOST_PIXELS_BYTES if path.endswith("uint_contents") else MOST_NESTED
    beside = b"\x7a" + varint(LARGE_BYTES) + bytes(LARGE_BYTES)  # a field that nobody knows
    few = packed(REQUESTS[name], path, b"\1" * (most - 100))
    opened(reader(name)(few + beside))
    many = packed(REQUESTS[name], path, b"\1" * (most + 1))
    with pytest.raises(InvalidArgument, match=f"more than {MOST_NESTED:,} fields and numbers"):
        opened(reader(name)(many + beside))
    halves = 2 * packed(REQUESTS[name], path, b"\1" * (most // 2 + 1))
    with pytest.raises(InvalidArgument, match=f"more than {MOST_NESTED:,} fields and numbers"):
        opened(reader(name)(halves + beside))


def test_numbers_of_a_fixed_size_are_not_counted() -> None:
    """A prepared image has 150,528 of them."""
    of = open_inference.ModelInferRequest.DESCRIPTOR
    data = packed(of, "inputs.contents.fp32_contents", bytes(4 * 150_528 * 4))
    read = opened(limited(kserve_request.read, 1 << 30)(data))
    assert len(read.message.inputs[0].contents.fp32_contents) == 150_528 * 4


def test_of_what_stands_beside_large_images_not_much_is_read() -> None:
    """Images are taken out by hand; all else is a message of its own."""
    pooling = wrapped(codes_pb2.EmbedRequest.DESCRIPTOR, ["pooling"], b"\x08\1" * MANY)
    image = wrapped(codes_pb2.EmbedRequest.DESCRIPTOR, ["images", "encoded"], b"x")
    with pytest.raises(InvalidArgument, match=f"more than {MOST_NESTED:,} fields"):
        opened(limited(embed_reading.read, 1 << 30)(pooling + image))


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


EXAMPLES = collection_pb2.AddExamplesRequest
LARGE_FIELD = b"\x7a" + varint(LARGE_BYTES) + bytes(LARGE_BYTES)
"""That nobody knows; it counts as one."""


def examples(inner: bytes) -> bytes:
    return wrapped(EXAMPLES.DESCRIPTOR, ["examples"], inner)


def tensor(n_packed: int, n_alone: int) -> bytes:
    """One input of KServe's with a list of so many numbers, and as many that stand alone."""
    of: Any = open_inference.ModelInferRequest.DESCRIPTOR
    one = of.fields_by_name["inputs"].message_type.fields_by_name["shape"].number
    inner = bytes([one << 3 | 2]) + varint(n_packed) + b"\1" * n_packed
    return wrapped(of, ["inputs"], inner + bytes([one << 3, 1]) * n_alone)


@pytest.mark.parametrize(
    ("name", "most", "more"),
    [
        (
            "icecore.v1.AddExamplesRequest",
            examples(b"\x7a\0" * 1022) * 128 + b"\x7a\0" * 127,
            examples(b"\x7a\0" * 1022) * 128 + b"\x7a\0" * 128,
        ),
        ("icecore.v1.AddExamplesRequest", b"", examples(b"\x7a\0" * 1000) * 1000),
        ("icecore.v1.AddExamplesRequest", b"", examples(b"\x7a\0" * 1000 + examples(b"")) * 1000),
        (
            "inference.ModelInferRequest",
            tensor(MOST_NESTED // 2, MOST_NESTED // 2 - 3),
            tensor(MOST_NESTED // 2, MOST_NESTED // 2 - 2),
        ),
        ("inference.ModelInferRequest", b"", tensor(MOST_NESTED - 10, MOST_NESTED - 10)),
    ],
    ids=["just too many", "of many", "deep", "just too many beside a list", "beside a list"],
)
def test_what_all_parts_of_a_message_have_counts_together(
    name: str, most: bytes, more: bytes
) -> None:
    """However it is shared out: no part of these has too many by itself."""
    read = reader(name)
    opened(read(LARGE_FIELD + most))
    with pytest.raises(InvalidArgument, match=f"more than {MOST_NESTED:,} fields and numbers"):
        opened(read(LARGE_FIELD + more))


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

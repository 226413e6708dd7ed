"""EmbedRequests taken apart by hand say what protobuf says, and responses are protobuf's."""

import random
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from icecore.server.embedding.embedder import Embedded, Timings
from icecore.server.embedding.images import Encoded, ImageInput
from icecore.server.errors import ImagesEmpty, InvalidArgument
from icecore.server.rpc import embed_reading, inputs
from icecore.server.rpc.embed_writing import Reading
from icecore.v1 import codes_pb2, common_pb2
from icecore.wire import messages
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId

FLOATS = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
FLOAT32, UINT8 = common_pb2.D_TYPE_FLOAT32, common_pb2.D_TYPE_UINT8
STRANGE: Any = 77
PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def image(content: bytes | np.ndarray[Any, Any]) -> common_pb2.Image:
    return messages.image_to_message(content)


REQUESTS = {
    "nothing": codes_pb2.EmbedRequest(),
    "floats": codes_pb2.EmbedRequest(images=[image(FLOATS)]),
    "pixels": codes_pb2.EmbedRequest(images=[image(PIXELS)], backbone="b", layers=["1", "*"]),
    "a file": codes_pb2.EmbedRequest(
        images=[image(b"\xff\xd8\xff" * 20)], priority=common_pb2.PRIORITY_BULK
    ),
    "many": codes_pb2.EmbedRequest(
        backbone="resnet",
        layers=["-1", "name:267"],
        activation=common_pb2.ACTIVATION_RELU,
        pooling=common_pb2.Pooling(kind=common_pb2.POOLING_KIND_GEM, gem_p=2.5),
        dtype=common_pb2.D_TYPE_FLOAT16,
        images=[image(FLOATS), image(b"a file"), image(b""), image(PIXELS)],
        priority=common_pb2.PRIORITY_BULK,
    ),
    "no content": codes_pb2.EmbedRequest(images=[common_pb2.Image()]),
    "half a tensor": codes_pb2.EmbedRequest(
        images=[
            common_pb2.Image(
                tensor=common_pb2.Tensor(dtype=FLOAT32, shape=[3, 4, 5], data=b"\0" * 7)
            )
        ]
    ),
    "float16": codes_pb2.EmbedRequest(
        images=[common_pb2.Image(tensor=messages.tensor_to_message(FLOATS.astype(np.float16)))]
    ),
    "no dtype": codes_pb2.EmbedRequest(
        images=[common_pb2.Image(tensor=common_pb2.Tensor(shape=[1], data=b"\0"))]
    ),
    "five dimensions": codes_pb2.EmbedRequest(
        images=[common_pb2.Image(tensor=common_pb2.Tensor(dtype=UINT8, shape=[1] * 5, data=b"\0"))]
    ),
    "a strange activation": codes_pb2.EmbedRequest(images=[image(PIXELS)], activation=STRANGE),
}


def told(act: Callable[[], Any]) -> Any:
    """What it returns, or the error with its sentence."""
    try:
        return act()
    except (InvalidArgument, ImagesEmpty, DecodeError) as error:
        return type(error), str(error), getattr(error, "details", None)


def shown(images: list[ImageInput]) -> list[Any]:
    return [
        one.data
        if isinstance(one, Encoded)
        else (type(one), one.array.dtype.str, one.array.shape, one.array.tobytes())
        for one in images
    ]


def by_hand(data: bytes) -> Any:
    def act() -> Any:
        request = embed_reading.read(data)
        return told(lambda: astuple(request.wanted())), told(lambda: shown(list(request.images())))

    return told(act)


def by_protobuf(data: bytes) -> Any:
    def act() -> Any:
        message = codes_pb2.EmbedRequest.FromString(data)
        request = embed_reading.EmbedRequest(b"", (), message)
        wanted = told(lambda: astuple(request.wanted()))
        return wanted, told(lambda: shown(inputs.images(message.images)))

    return told(act)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_says_what_protobuf_reads(name: str) -> None:
    data = REQUESTS[name].SerializeToString()
    for _ in range(2):  # the second time its form is known
        assert by_hand(data) == by_protobuf(data)


def test_images_are_not_copied() -> None:
    data = codes_pb2.EmbedRequest(images=[image(FLOATS), image(PIXELS)]).SerializeToString()
    for one in embed_reading.read(data).images():
        assert not isinstance(one, Encoded)
        assert one.array.base is not None
        assert np.shares_memory(one.array, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("n_layers", [1, 1000])
def test_only_what_is_short_is_kept_of_what_stands_beside_images(n_layers: int) -> None:
    """Or whoever names thousands of layers, now these and now those, would fill the memory."""
    kept = (embed_reading._check, embed_reading._kept_wanted)
    for one in kept:
        one.cache_clear()
    for turn in range(3):
        layers = [f"{turn} is no layer"] * n_layers
        request = codes_pb2.EmbedRequest(images=[image(FLOATS)], layers=layers)
        read = embed_reading.read(request.SerializeToString())
        assert read.wanted().layers == tuple(layers)
    n_kept = 3 if n_layers == 1 else 0
    assert [one.cache_info().currsize for one in kept] == [n_kept, n_kept]


def test_a_form_that_is_known_is_not_taken_for_another_as_long() -> None:
    for layers in (["1"], ["2"], ["1"]):
        for values in (PIXELS, PIXELS.transpose(2, 0, 1)):
            request = codes_pb2.EmbedRequest(images=[image(values)], layers=layers)
            data = request.SerializeToString()
            assert by_hand(data) == by_protobuf(data)


def test_damaged_requests_say_what_protobuf_reads() -> None:
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    whole = [request.SerializeToString() for request in REQUESTS.values()]
    for round_ in range(3000):
        data = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 4)):
            kind = draw.randrange(4)
            place = draw.randrange(len(data) + 1)
            if kind == 0 and data:
                data[place % len(data)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
            elif kind == 1:
                data[place:place] = draw.randbytes(draw.randint(1, 3))
            elif kind == 2:
                del data[place : place + draw.randint(1, 3)]
            else:
                data += draw.choice(whole)
        damaged = bytes(data)
        assert by_hand(damaged) == by_protobuf(damaged), (seed, round_, damaged)


def test_a_response_is_what_protobuf_would_write() -> None:
    taps = [
        TapId("a" * 64, "relu1", backbone="one", depth=1),
        TapId("a" * 64, "relu1", backbone="other name", depth=1),
        TapId("b" * 64, "x", Activation.NONE, Pooling(PoolingKind.NONE)),
    ]
    reading = Reading(tuple(taps), n_values=34)
    for n in (1, 300, 1):
        codes: tuple[Any, ...] = (
            np.random.default_rng(0).normal(size=(n, 7)).astype(np.float32),
            np.ones((n, 3), np.float16),
            np.zeros((n, 2, 3, 4), np.float32),
        )
        embedded = Embedded(codes, Timings(0.0, 1.5, 2.5, 4.0, n_cached=n - 1))
        response = codes_pb2.EmbedResponse.FromString(reading.written(embedded))
        for message, values, tap in zip(response.codes, codes, taps, strict=True):
            read = messages.codes_from_message(message)
            assert np.array_equal(read.values, values)
            assert read.values.dtype == values.dtype
            assert (read.tap, read.tap.backbone, read.tap.depth) == (tap, tap.backbone, tap.depth)
        assert response.timings.n_cached == n - 1
        assert response.timings.total_ms == 4.0
        assert response.SerializeToString() == reading.written(embedded)

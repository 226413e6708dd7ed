"""Backbones listed and codes made, on the toy backbone, over a real socket."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from callers import Caller, pixels
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import common_pb2
from icecore.wire.messages import codes_from_message, image_to_message
from toy_calls import filled, toy_image
from toys import toy_graph, toy_recipe


def _prepared(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 1, (3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with filled(tmp_path_factory.mktemp("calls") / "data") as caller:
        yield caller


def test_backbones_and_their_layers_are_listed(caller: Caller) -> None:
    (listed,) = caller.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
    answer = caller.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="toy"))
    assert answer.backbone == listed
    assert (listed.name, listed.depths, listed.is_default) == ("toy", 3, True)
    assert listed.recipe.height == 8
    depths = [(layer.depth, layer.name) for layer in answer.layers if layer.depth]
    assert depths == [(1, "one"), (2, "two"), (3, "three")]


def test_codes_are_those_of_the_whole_network(caller: Caller) -> None:
    images = [_prepared(seed) for seed in range(3)]
    answer = caller.codes.Embed(
        epb.EmbedRequest(
            layers=["*"],
            pooling=common_pb2.Pooling(kind=common_pb2.POOLING_KIND_NONE),
            images=[image_to_message(image) for image in images],
        )
    )
    got = [codes_from_message(codes) for codes in answer.codes]
    assert [(codes.tap.depth, codes.tap.layer) for codes in got] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert [codes.values.shape for codes in got] == [(3, 4, 8, 8), (3, 6, 4, 4), (3, 6, 4, 4)]
    assert all((codes.values >= 0).all() for codes in got)
    model = onnx.load_from_string(toy_graph())
    model.graph.output.extend(onnx.ValueInfoProto(name=codes.tap.layer) for codes in got)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    whole = session.run([codes.tap.layer for codes in got], {"image": np.stack(images)})
    for one, codes in zip(whole, got, strict=True):
        np.testing.assert_array_equal(one, codes.values)
    pooled = caller.codes.Embed(
        epb.EmbedRequest(layers=["*"], images=[image_to_message(image) for image in images])
    )
    for maps, codes in zip(got, pooled.codes, strict=True):
        expected = maps.values.astype(np.float64).mean(axis=(2, 3))
        # float32 sums of at most 64 values
        np.testing.assert_allclose(codes_from_message(codes).values, expected, rtol=1e-5, atol=1e-6)


def test_one_image_alone_has_the_codes_it_has_in_a_batch_and_in_a_stream(caller: Caller) -> None:
    images = [toy_image(number) for number in range(5)]
    (together,) = caller.codes.Embed(epb.EmbedRequest(images=images)).codes
    requests = [epb.EmbedRequest(images=[image]) for image in images]
    streamed = list(caller.codes.EmbedStream(iter(requests)))
    rows = np.concatenate([codes_from_message(one.codes[0]).values for one in streamed])
    np.testing.assert_allclose(rows, codes_from_message(together).values, rtol=1e-6)
    assert streamed[0].timings.total_ms > 0


def test_float16_halves_the_bytes(caller: Caller) -> None:
    (wide,) = caller.codes.Embed(epb.EmbedRequest(images=[toy_image(0)])).codes
    request = epb.EmbedRequest(images=[toy_image(0)], dtype=common_pb2.D_TYPE_FLOAT16)
    (narrow,) = caller.codes.Embed(request).codes
    assert 2 * len(narrow.data) == len(wide.data)
    expected = codes_from_message(wide).values.astype(np.float16)
    np.testing.assert_array_equal(codes_from_message(narrow).values, expected)


def test_a_stream_answers_each_request_before_the_next_is_sent(caller: Caller) -> None:
    answered = threading.Event()

    def requests() -> Iterator[epb.EmbedRequest]:
        for number in range(3):
            yield epb.EmbedRequest(images=[toy_image(number)])
            assert answered.wait(30), "no answer while the stream is open"
            answered.clear()

    n_answers = 0
    for _ in caller.codes.EmbedStream(requests(), timeout=60):
        n_answers += 1
        answered.set()
    assert n_answers == 3


def test_an_image_that_is_pixels_goes_through_the_recipe(caller: Caller) -> None:
    image = pixels(3)
    array = np.frombuffer(image.tensor.data, np.uint8).reshape(8, 8, 3)
    prepared = toy_recipe().apply(Image.fromarray(array))
    sent = [image, image_to_message(prepared)]
    (codes,) = caller.codes.Embed(epb.EmbedRequest(images=sent)).codes
    rows = codes_from_message(codes).values
    np.testing.assert_array_equal(rows[0], rows[1])

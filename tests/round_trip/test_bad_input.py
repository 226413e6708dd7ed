"""What is wrong is named with what would be right, and nothing is half-written."""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callers import Caller, calling, pixels, refusal
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.wire.messages import codes_from_message, image_to_message, tensor_to_message
from servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bad") / "data", max_message_mb=2) as server:
        yield server


@pytest.fixture(scope="module")
def caller(server: Server) -> Iterator[Caller]:
    """Its collection `c` holds 0.png to 5.png of the classes a and b, and `p` is trained on it."""
    with calling(server.address) as caller:
        caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="c"))
        _add(caller, _batch("c", *(f"{number}.png" for number in range(6))))
        train = ppb.TrainProbeRequest(probe_id="p", collection_id="c", layers=["-1"])
        caller.probes.TrainProbe(train)
        states = list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="p")))
        last = states[-1].version
        assert last.state == ppb.VERSION_STATE_READY, last.failure_message
        yield caller


def _add(caller: Caller, *batches: cpb.AddExamplesRequest) -> list[cpb.AddExamplesResponse]:
    return list(caller.collections.AddExamples(iter(batches)))


def _batch(
    collection_id: str, *ids: str, labels: str = "ab", **fields: Any
) -> cpb.AddExamplesRequest:
    request = cpb.AddExamplesRequest(collection_id=collection_id, **fields)
    for number, example_id in enumerate(ids):
        label = labels[number % len(labels)] if labels else ""
        example = cpb.Example(example_id=example_id, label=label)
        request.examples.add(example=example, image=pixels(number))
    return request


def _everything(caller: Caller) -> list[str]:
    """All that a tenant can see of what is stored."""
    collections = caller.collections.ListCollections(cpb.ListCollectionsRequest()).collections
    seen = [str(one) for one in collections]
    for one in collections:
        listing = cpb.ListExamplesRequest(collection_id=one.collection_id)
        seen.append(str(caller.collections.ListExamples(listing)))
    seen.append(str(caller.probes.ListProbes(ppb.ListProbesRequest())))
    return seen


def _embed(**fields: Any) -> epb.EmbedRequest:
    fields.setdefault("images", [pixels(0)])
    return epb.EmbedRequest(**fields)


def _png_of(width: int, height: int) -> bytes:
    """A PNG's header that says so, and a little of a body."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _file(format: str, mode: str = "RGB", **options: Any) -> bytes:  # noqa: A002 - Pillow's word
    random = np.random.default_rng(7)
    image = Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _float(*shape: int, value: float = 0.0) -> common_pb2.Image:
    return image_to_message(np.full(shape, value, np.float32))


_TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06" + bytes(6)
"""EXIF with one entry: orientation 6."""

TENSORS = {
    "the wrong shape": (_float(3, 9, 9), "TENSOR_INVALID", "(3, 8, 8)"),
    "channels last": (_float(8, 8, 3), "TENSOR_INVALID", "(3, 8, 8)"),
    "NaN": (_float(3, 8, 8, value=float("nan")), "TENSOR_INVALID", "finite"),
    "infinity": (_float(3, 8, 8, value=float("inf")), "TENSOR_INVALID", "finite"),
    "grey pixels": (
        image_to_message(np.zeros((8, 8), np.uint8)),
        "TENSOR_INVALID",
        "(h, w, 3)",
    ),
    "float16": (
        common_pb2.Image(tensor=tensor_to_message(np.zeros((3, 8, 8), np.float16))),
        "TENSOR_INVALID",
        "float32",
    ),
    "no dtype": (
        common_pb2.Image(tensor=common_pb2.Tensor(shape=[1], data=b"x")),
        "TENSOR_INVALID",
        "no dtype",
    ),
    "too few bytes": (
        common_pb2.Image(
            tensor=common_pb2.Tensor(
                dtype=common_pb2.D_TYPE_UINT8, shape=[8, 8, 3], data=bytes(191)
            )
        ),
        "TENSOR_INVALID",
        "192",
    ),
    "a negative shape": (
        common_pb2.Image(
            tensor=common_pb2.Tensor(dtype=common_pb2.D_TYPE_UINT8, shape=[-8, -8, 3], data=b"")
        ),
        "TENSOR_INVALID",
        "-8",
    ),
    "nothing": (common_pb2.Image(), "IMAGE_INVALID", "neither"),
    "text": (common_pb2.Image(encoded=b"hello"), "IMAGE_INVALID", "JPEG, PNG or WebP"),
    "no bytes": (common_pb2.Image(encoded=b""), "IMAGE_INVALID", "JPEG, PNG or WebP"),
    "a GIF": (common_pb2.Image(encoded=_file("GIF")), "IMAGE_INVALID", "JPEG, PNG or WebP"),
    "a truncated JPEG": (
        common_pb2.Image(encoded=_file("JPEG")[:-50]),
        "IMAGE_TRUNCATED",
        "truncated",
    ),
    "a PNG of 50,000 x 50,000": (
        common_pb2.Image(encoded=_png_of(50_000, 50_000)),
        "IMAGE_TOO_LARGE",
        "50,000",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_an_image_that_is_none_is_named_by_its_index(name: str, caller: Caller) -> None:
    image, reason, word = TENSORS[name]
    said = refusal(lambda: caller.codes.Embed(_embed(images=[pixels(0), image])))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", reason), said
    assert word in said.message
    assert "image 1" in said.message
    assert dict(said.details)["image"] == "1"


@pytest.mark.parametrize("name", TENSORS)
def test_an_image_that_is_none_leaves_its_batch_out(name: str, caller: Caller) -> None:
    image, reason, _ = TENSORS[name]
    before = _everything(caller)
    batch = _batch("c", "new.png", "bad.png")
    batch.examples[1].image.CopyFrom(image)
    assert refusal(lambda: _add(caller, batch)).reason == reason
    assert _everything(caller) == before


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {}),
        ("PNG", "I;16", {}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "1", {}),
        ("WEBP", "RGB", {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]}),
        ("JPEG", "RGB", {"exif": _TURNED}),
    ],
)
def test_unusual_files_are_handled(
    format: str,  # noqa: A002 - Pillow's word
    mode: str,
    options: dict[str, Any],
    caller: Caller,
) -> None:
    if mode == "I;16":
        stream = io.BytesIO()
        Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(stream, format)
        data = stream.getvalue()
    else:
        data = _file(format, mode, **options)
    answer = caller.codes.Embed(_embed(images=[common_pb2.Image(encoded=data)]))
    assert np.isfinite(codes_from_message(answer.codes[0]).values).all()


EMBEDS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no images": ({"images": []}, "INVALID_ARGUMENT", "IMAGES_EMPTY", "at least one"),
    "an unknown backbone": ({"backbone": "toi"}, "NOT_FOUND", "BACKBONE_NOT_FOUND", "'toy'"),
    "a backbone with a slash": (
        {"backbone": "a/b"},
        "INVALID_ARGUMENT",
        "NAME_INVALID",
        "letters",
    ),
    "a near layer": ({"layers": ["tow"]}, "NOT_FOUND", "LAYER_NOT_FOUND", "'two'"),
    "a depth too deep": ({"layers": ["4"]}, "NOT_FOUND", "LAYER_NOT_FOUND", "3"),
    "depth 0": ({"layers": ["0"]}, "NOT_FOUND", "LAYER_NOT_FOUND", "1"),
    "a layer with NUL": ({"layers": ["a\0"]}, "INVALID_ARGUMENT", "NAME_INVALID", "'\\x00'"),
    "a layer of 1 MB": ({"layers": ["x" * 2**20]}, "INVALID_ARGUMENT", "NAME_INVALID", "1024"),
    "an unknown pooling": (
        {"pooling": {"kind": 9}},
        "INVALID_ARGUMENT",
        "POOLING_INVALID",
        "POOLING_KIND_GEM (3)",
    ),
    "an exponent without GEM": (
        {"pooling": {"kind": 2, "gem_p": 2.0}},
        "INVALID_ARGUMENT",
        "POOLING_INVALID",
        "max",
    ),
    "an exponent out of range": (
        {"pooling": {"kind": 3, "gem_p": -1.0}},
        "INVALID_ARGUMENT",
        "POOLING_INVALID",
        "(0, 64]",
    ),
    "an unknown dtype": ({"dtype": 9}, "INVALID_ARGUMENT", "DTYPE_INVALID", "float32 (1)"),
    "codes as uint8": ({"dtype": 3}, "INVALID_ARGUMENT", "DTYPE_INVALID", "float16 (2)"),
    "an unknown activation": (
        {"activation": 9},
        "INVALID_ARGUMENT",
        "ARGUMENT_INVALID",
        "ACTIVATION_RELU (2)",
    ),
}


@pytest.mark.parametrize("name", EMBEDS)
def test_a_wrong_embed_says_what_would_be_right(name: str, caller: Caller) -> None:
    fields, code, reason, word = EMBEDS[name]
    said = refusal(lambda: caller.codes.Embed(_embed(**fields)))
    assert (said.code, said.reason) == (code, reason), said
    assert word in said.message, said.message
    streamed = refusal(lambda: caller.codes.EmbedStream(iter([_embed(**fields)])))
    assert streamed == said, "a stream says it otherwise"


def _search(**fields: Any) -> cpb.SearchRequest:
    if not {"images", "example_ids", "codes"} & set(fields):
        fields["images"] = {"images": [pixels(0)]}
    return cpb.SearchRequest(**{"collection_id": "c", "k": 1, **fields})


SEARCHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "k = 0": ({"k": 0}, "K_INVALID", "at least 1"),
    "k = -1": ({"k": -1}, "K_INVALID", "at least 1"),
    "k = 1001": ({"k": 1001}, "K_INVALID", "1,000"),
    "an unknown metric": ({"metric": 9}, "ARGUMENT_INVALID", "METRIC_L2 (2)"),
    "a broken filter": ({"filter": "label ="}, "FILTER_INVALID", "character"),
    "no images": ({"images": {"images": []}}, "IMAGES_EMPTY", "at least one"),
    "no ids": ({"example_ids": {"example_ids": []}}, "CODES_INVALID", "1 to"),
    "all layers": ({"layer": "*"}, "ARGUMENT_INVALID", "one"),
    "an unknown layer": ({"layer": "four"}, "LAYER_NOT_FOUND", "'three'"),
    "an id that is not there": (
        {"example_ids": {"example_ids": ["9.png"]}},
        "EXAMPLE_NOT_FOUND",
        "'9.png'",
    ),
    "codes without a tap": (
        {"codes": common_pb2.Codes(dtype=common_pb2.D_TYPE_FLOAT32, shape=[1, 6], data=bytes(24))},
        "CODES_INVALID",
        "no tap",
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_wrong_search_says_what_would_be_right(name: str, caller: Caller) -> None:
    fields, reason, word = SEARCHES[name]
    said = refusal(lambda: caller.collections.Search(_search(**fields)))
    assert said.reason == reason, said
    assert word in said.message, said.message


def test_a_search_without_a_query_is_refused(caller: Caller) -> None:
    said = refusal(lambda: caller.collections.Search(cpb.SearchRequest(collection_id="c", k=1)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_codes_of_another_tap_are_refused_with_both_named(caller: Caller) -> None:
    (codes,) = caller.codes.Embed(_embed(layers=["1"])).codes
    said = refusal(lambda: caller.probes.Predict(ppb.PredictRequest(probe_id="p", codes=codes)))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "TAP_MISMATCH")
    assert "/1:one/" in said.message
    assert "/3:three/" in said.message
    other = common_pb2.Codes()
    other.CopyFrom(codes)
    other.tap.digest = "0" * 64
    for call in (
        lambda: caller.probes.Predict(ppb.PredictRequest(probe_id="p", codes=other)),
        lambda: caller.collections.Search(_search(codes=other)),
        lambda: caller.collections.Search(_search(codes=codes, layer="-1")),
    ):
        assert refusal(call).reason == "TAP_MISMATCH"


def test_a_tensor_whose_codes_are_not_finite_is_its_senders_mistake(caller: Caller) -> None:
    """Each value is a float32, but not each sum of them."""
    sound, huge = np.zeros((3, 8, 8), np.float32), np.full((3, 8, 8), 3e38, np.float32)
    images = [image_to_message(sound), image_to_message(huge)]
    for dtype in (common_pb2.D_TYPE_FLOAT32, common_pb2.D_TYPE_FLOAT16):
        request = epb.EmbedRequest(images=images, layers=["*"], dtype=dtype)
        said = refusal(partial(caller.codes.Embed, request))
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "TENSOR_INVALID")
        assert said.message.startswith("image 1 gives codes at 'toy@")
        assert dict(said.details) == {"image": "1"}


def test_a_star_said_often_is_too_many_layers(caller: Caller) -> None:
    """Few bytes asked for, and a hundred thousand arrays answered."""
    request = epb.EmbedRequest(images=[pixels(0)], layers=["*"] * 4096)
    said = refusal(lambda: caller.codes.Embed(request))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert said.message == "there are 12,288 layers, but 4,096 are the most"


def test_codes_with_nan_are_refused(caller: Caller) -> None:
    (codes,) = caller.codes.Embed(_embed()).codes
    codes.data = np.full(6, np.nan, "<f4").tobytes()
    request = ppb.PredictRequest(probe_id="p", codes=codes)
    assert refusal(lambda: caller.probes.Predict(request)).reason == "CODES_INVALID"
    assert refusal(lambda: caller.collections.Search(_search(codes=codes))).reason == (
        "CODES_INVALID"
    )


@pytest.mark.parametrize(
    ("labels", "reason", "word"),
    [("", "CLASSES_TOO_FEW", "label"), ("a", "CLASSES_TOO_FEW", "'a'")],
)
def test_one_class_is_too_few_and_makes_no_version(
    labels: str, reason: str, word: str, caller: Caller
) -> None:
    name = f"few-{labels or 'none'}"
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id=name))
    empty = ppb.TrainProbeRequest(probe_id="few", collection_id=name)
    said = refusal(lambda: caller.probes.TrainProbe(empty))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "COLLECTION_EMPTY")
    _add(caller, _batch(name, "1", "2", "3", labels=labels))
    said = refusal(lambda: caller.probes.TrainProbe(empty))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", reason)
    assert word in said.message
    get = ppb.GetProbeRequest(probe_id="few")
    assert refusal(lambda: caller.probes.GetProbe(get)).reason == "PROBE_NOT_FOUND"
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id=name))


def test_a_class_with_one_image_is_named(caller: Caller) -> None:
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="small"))
    _add(caller, _batch("small", "1", "2", "3", labels="aab"))
    train = ppb.TrainProbeRequest(probe_id="few", collection_id="small")
    said = refusal(lambda: caller.probes.TrainProbe(train))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "CLASS_TOO_SMALL")
    assert "'b'" in said.message
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="small"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"layers": ["four"]}, "LAYER_NOT_FOUND"),
        ({"layers": ["auto", "1"]}, "ARGUMENT_INVALID"),
        ({"kind": 9}, "ARGUMENT_INVALID"),
        ({"probe_id": "a/b"}, "NAME_INVALID"),
        ({"probe_id": ""}, "NAME_INVALID"),
        ({"collection_id": "absent"}, "COLLECTION_NOT_FOUND"),
        ({"pooling": {"kind": 9}}, "POOLING_INVALID"),
    ],
)
def test_a_wrong_training_makes_no_version(
    fields: dict[str, Any], reason: str, caller: Caller
) -> None:
    before = _everything(caller)
    request = ppb.TrainProbeRequest(**{"probe_id": "q", "collection_id": "c", **fields})
    assert refusal(lambda: caller.probes.TrainProbe(request)).reason == reason
    assert _everything(caller) == before


BATCHES = {
    "no examples": (_batch("c"), "IMAGES_EMPTY"),
    "an id twice": (_batch("c", "x", "x"), "ID_DUPLICATE"),
    "an id that is there": (_batch("c", "new", "0.png"), "EXAMPLE_EXISTS"),
    "an empty id": (_batch("c", "new", ""), "NAME_INVALID"),
    "an id with NUL": (_batch("c", "new", "a\0b"), "NAME_INVALID"),
    "an id of 1 MB": (_batch("c", "new", "x" * 2**20), "NAME_INVALID"),
    "a label with a line": (_batch("c", "new", labels="\n"), "NAME_INVALID"),
    "an unknown duplicate rule": (_batch("c", "new", on_duplicate=9), "ARGUMENT_INVALID"),
    "a broken request id": (_batch("c", "new", request_id="a b"), "REQUEST_ID_INVALID"),
    "an absent collection": (_batch("absent", "new"), "COLLECTION_NOT_FOUND"),
    "a collection with a slash": (_batch("a/b", "new"), "NAME_INVALID"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_wrong_batch_is_left_out_whole_and_those_before_it_stay(
    name: str, caller: Caller
) -> None:
    batch, reason = BATCHES[name]
    caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id="stream"))
    before = _everything(caller)
    assert refusal(lambda: _add(caller, batch)).reason == reason
    assert _everything(caller) == before
    refusal(lambda: _add(caller, _batch("stream", "first"), batch, _batch("stream", "last")))
    listing = cpb.ListExamplesRequest(collection_id="stream")
    kept = [item.example.example_id for item in caller.collections.ListExamples(listing).examples]
    assert kept == ["first"]
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="stream"))


@pytest.mark.parametrize("value", [None, [1], {"deep": 1}, float("nan")])
def test_metadata_is_flat_and_finite(value: Any, caller: Caller) -> None:
    batch = _batch("c", "new")
    batch.examples[0].example.metadata.update({"key": value})
    before = _everything(caller)
    assert refusal(lambda: _add(caller, batch)).reason == "METADATA_INVALID"
    assert _everything(caller) == before


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", "..", "x" * 2**20, "é", "name with spaces"])
def test_a_name_has_rules_wherever_it_is_given(name: str, caller: Caller) -> None:
    c, p = caller.collections, caller.probes
    ids = ppb.PredictRequest.Images(images=[pixels(0)])
    calls = [
        lambda: c.CreateCollection(cpb.CreateCollectionRequest(collection_id=name)),
        lambda: c.GetCollection(cpb.GetCollectionRequest(collection_id=name)),
        lambda: c.DeleteCollection(cpb.DeleteCollectionRequest(collection_id=name)),
        lambda: c.ListExamples(cpb.ListExamplesRequest(collection_id=name)),
        lambda: c.Search(_search(collection_id=name)),
        lambda: p.GetProbe(ppb.GetProbeRequest(probe_id=name)),
        lambda: p.WatchProbe(ppb.WatchProbeRequest(probe_id=name)),
        lambda: p.DeleteProbe(ppb.DeleteProbeRequest(probe_id=name)),
        lambda: p.Predict(ppb.PredictRequest(probe_id=name, images=ids)),
    ]
    if name:  # of backbones, no name is the default
        calls.append(lambda: caller.backbones.GetBackbone(bpb.GetBackboneRequest(backbone=name)))
    for call in calls:
        said = refusal(call)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "NAME_INVALID"), said
        assert len(said.message) < 300


def test_a_predict_needs_images_or_codes(caller: Caller) -> None:
    request = ppb.PredictRequest(probe_id="p")
    assert refusal(lambda: caller.probes.Predict(request)).reason == "ARGUMENT_INVALID"
    request.images.SetInParent()
    assert refusal(lambda: caller.probes.Predict(request)).reason == "IMAGES_EMPTY"
    request = ppb.PredictRequest(
        probe_id="p", version=9, images=ppb.PredictRequest.Images(images=[pixels(0)])
    )
    assert refusal(lambda: caller.probes.Predict(request)).reason == "VERSION_NOT_FOUND"


def test_a_message_over_the_limit_is_refused_with_the_limit(caller: Caller) -> None:
    big = image_to_message(np.zeros((1000, 1000, 3), np.uint8))
    said = refusal(lambda: caller.codes.Embed(_embed(images=[big])))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
    assert f"{2 << 20:,}" in said.message


def test_pages_are_of_this_server_and_not_too_long(caller: Caller) -> None:
    c = caller.collections
    calls = [
        lambda: c.ListCollections(cpb.ListCollectionsRequest(page_token="nonsense")),
        lambda: c.ListCollections(cpb.ListCollectionsRequest(page_size=1001)),
        lambda: c.ListExamples(cpb.ListExamplesRequest(collection_id="c", page_size=10_001)),
        lambda: caller.probes.ListProbes(ppb.ListProbesRequest(page_size=1001)),
    ]
    for call in calls:
        said = refusal(call)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "PAGE_INVALID")


def test_deleting_examples_is_all_or_nothing(caller: Caller) -> None:
    before = _everything(caller)
    for ids, reason in (
        (["0.png", "absent"], "EXAMPLE_NOT_FOUND"),
        (["0.png", "0.png"], "ID_DUPLICATE"),
        ([], "ARGUMENT_INVALID"),
        (["0.png", ""], "NAME_INVALID"),
    ):
        request = cpb.DeleteExamplesRequest(collection_id="c", example_ids=ids)
        said = refusal(lambda request=request: caller.collections.DeleteExamples(request))  # type: ignore[misc]
        assert said.reason == reason
    assert _everything(caller) == before

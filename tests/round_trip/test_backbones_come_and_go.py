"""Backbones of others over the wire: added, used, replaced, removed, and who may do that."""

import hashlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from adding import TOY_RECIPE, add_backbone, add_toy, believing, messages, remove_backbone
from callers import Caller, calling, pixels, refusal
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import codes_from_message, image_to_message
from networks import network
from servers import Server, serving
from toys import toy_backbone, toy_graph


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("backbones") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


@pytest.fixture
def believing_server(server: Server) -> Iterator[Server]:
    with believing(server):
        yield server


@pytest.fixture(scope="module")
def tenant(admin: Caller) -> Caller:
    admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="acme"))
    made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="acme"))
    return admin.with_key(made.secret)


CLS = common_pb2.Pooling(kind=common_pb2.POOLING_KIND_CLS)


def listed(caller: Caller) -> dict[str, bpb.Backbone]:
    answer = caller.backbones.ListBackbones(bpb.ListBackbonesRequest())
    return {one.name: one for one in answer.backbones}


def prepared(seed: int, side: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(seed)
    return random.normal(size=(3, side, side)).astype(np.float32)


def embedded(caller: Caller, backbone: str, *layers: str, side: int = 8) -> list[Any]:
    images = [image_to_message(prepared(seed, side)) for seed in range(3)]
    request = epb.EmbedRequest(backbone=backbone, layers=layers, images=images)
    return [codes_from_message(codes).values for codes in caller.codes.Embed(request).codes]


def fill(caller: Caller, collection_id: str, backbone: str) -> None:
    """Make a collection over the backbone, and a probe of the same name trained on it."""
    request = cpb.CreateCollectionRequest(collection_id=collection_id, backbone=backbone)
    caller.collections.CreateCollection(request)
    batch = cpb.AddExamplesRequest(collection_id=collection_id)
    for number in range(8):
        example = cpb.Example(example_id=f"{number}.png", label="ab"[number % 2])
        batch.examples.add(example=example, image=pixels(number))
    list(caller.collections.AddExamples(iter([batch])))
    caller.probes.TrainProbe(
        ppb.TrainProbeRequest(probe_id=collection_id, collection_id=collection_id, layers=["-1"])
    )
    watch = ppb.WatchProbeRequest(probe_id=collection_id)
    last = list(caller.probes.WatchProbe(watch))[-1].version
    assert last.state == ppb.VERSION_STATE_READY, last.failure_message


def predicted(caller: Caller, probe_id: str) -> list[list[float]]:
    images = ppb.PredictRequest.Images(images=[pixels(number) for number in range(4)])
    answer = caller.probes.Predict(ppb.PredictRequest(probe_id=probe_id, images=images))
    return [list(one.scores) for one in answer.predictions]


def empty(caller: Caller, name: str) -> None:
    """Delete what `fill` made."""
    caller.probes.DeleteProbe(ppb.DeleteProbeRequest(probe_id=name))
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id=name))


def test_an_added_backbone_says_all_that_is_known_of_it(
    server: Server, admin: Caller, tenant: Caller
) -> None:
    data = toy_graph(1)
    card = bpb.Card(source="us", licence="MIT", trained_on="x", notes="a\nb", accuracy="7 %")
    made = add_toy(admin, "mine", 1, card=card)
    (key,) = [admin.key]
    assert key is not None
    assert made.digest == toy_backbone(1).digest
    assert made.file_sha256 == hashlib.sha256(data).hexdigest()
    assert made.graph_bytes == len(data)
    assert made.card == card
    assert (made.depths, made.layers, made.precision) == (3, 9, "float32")
    assert made.recipe_source == "given"
    assert not made.is_default
    assert not made.derived_from
    assert made.recipe.scale == 1 / 255
    assert (made.recipe.resize_rule, made.recipe.layout) == ("shorter", "NCHW")
    who, key_id = made.added_by.split(" ")
    assert who == "administrator"
    assert len(key_id) == 12
    assert key_id not in key
    for caller in (admin, tenant):
        assert listed(caller)["mine"] == made
        got = caller.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="mine"))
        assert got.backbone == made
        assert [layer.depth for layer in got.layers if layer.depth] == [1, 2, 3]
        assert all(layer.receptive_field >= 1 for layer in got.layers)
        assert [layer.name for layer in got.layers if layer.role == "logits"] == ["logits"]
    remove_backbone(admin, "mine")


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet18", "map"), ("vit", "tokens"), ("mobilenetv2-int8", "int8")]
)
def test_its_codes_are_those_of_the_file(
    name: str, kind: str, admin: Caller, tenant: Caller
) -> None:
    data = network(name)
    made = add_backbone(admin, name, data)
    layers = tenant.backbones.GetBackbone(bpb.GetBackboneRequest(backbone=name)).layers
    logits = next(layer for layer in layers if layer.role == "logits")
    side = made.recipe.height
    (codes,) = embedded(tenant, name, logits.name, side=side)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0].name
    wanted = [
        session.run([logits.name], {image: prepared(seed, side)[None]})[0][0] for seed in range(3)
    ]
    np.testing.assert_allclose(codes, wanted, rtol=1e-3, atol=2e-3 * np.abs(wanted).max())
    assert len(embedded(tenant, name, "*", side=side)) == made.depths
    if kind == "tokens":
        image = image_to_message(prepared(0, side))
        (cls, mean) = (
            codes_from_message(
                tenant.codes.Embed(
                    epb.EmbedRequest(
                        backbone=name,
                        layers=["-1"],
                        pooling=common_pb2.Pooling(kind=kind),
                        images=[image],
                    )
                ).codes[0]
            ).values
            for kind in (common_pb2.POOLING_KIND_CLS, common_pb2.POOLING_KIND_AVG)
        )
        assert cls.shape == mean.shape
        assert not np.allclose(cls, mean)
    remove_backbone(admin, name)
    said = refusal(lambda: embedded(tenant, name, "-1", side=side))
    assert (said.code, said.reason) == ("NOT_FOUND", "BACKBONE_NOT_FOUND")


def test_a_collection_and_a_probe_work_over_a_network_without_thresholds(
    admin: Caller, tenant: Caller
) -> None:
    """Its core is its blocks, and its class tokens can be trained on."""
    add_backbone(admin, "vit", network("vit"))
    fill(tenant, "blocks", "vit")
    version = tenant.probes.GetProbe(ppb.GetProbeRequest(probe_id="blocks")).probe.versions[0]
    assert version.tap.depth == 3
    search = cpb.SearchRequest(collection_id="blocks", k=1, layer="1")
    search.images.images.append(pixels(3))
    (result,) = tenant.collections.Search(search).results
    assert result.hits[0].example.example_id == "3.png"
    train = ppb.TrainProbeRequest(probe_id="tokens", collection_id="blocks", pooling=CLS)
    tenant.probes.TrainProbe(train)
    last = list(tenant.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="tokens")))[-1].version
    assert last.state == ppb.VERSION_STATE_READY, last.failure_message
    assert len(predicted(tenant, "tokens")) == 4
    tenant.probes.DeleteProbe(ppb.DeleteProbeRequest(probe_id="tokens"))
    empty(tenant, "blocks")
    remove_backbone(admin, "vit")


def test_class_tokens_of_a_network_that_has_none_are_refused(tenant: Caller) -> None:
    request = epb.EmbedRequest(backbone="toy", pooling=CLS, images=[pixels(0)])
    said = refusal(lambda: tenant.codes.Embed(request))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "POOLING_INVALID")


def test_a_replaced_backbone_goes_on_for_what_pins_it(
    believing_server: Server, admin: Caller, tenant: Caller
) -> None:
    first = add_toy(admin, "moving", 1)
    fill(tenant, "old", "moving")
    before = predicted(tenant, "old")
    second = add_toy(admin, "moving", 2)
    assert second.digest != first.digest
    assert listed(tenant)["moving"] == second
    fill(tenant, "new", "moving")
    assert predicted(tenant, "old") == before
    assert predicted(tenant, "new") != before
    digests = {
        name: tenant.collections.GetCollection(
            cpb.GetCollectionRequest(collection_id=name)
        ).collection.digest
        for name in ("old", "new")
    }
    assert digests == {"old": first.digest, "new": second.digest}
    search = cpb.SearchRequest(collection_id="old", k=1, layer="2")
    search.images.images.append(pixels(3))
    (result,) = tenant.collections.Search(search).results
    assert result.hits[0].example.example_id == "3.png"

    said = refusal(lambda: remove_backbone(admin, "moving"))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "BACKBONE_IN_USE")
    assert "1 collection and 1 probe version of tenant 'acme'" in said.message
    empty(tenant, "new")
    remove_backbone(admin, "moving")
    assert predicted(tenant, "old") == before, "it has no name any more, but a probe has it"
    empty(tenant, "old")


def test_the_default_can_be_replaced_but_not_removed(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "data") as server,
        believing(server),
        calling(server.address, server.admin_key) as admin,
        calling(server.address) as tenant,
    ):
        said = refusal(lambda: remove_backbone(admin, "toy"))
        assert (said.code, said.reason) == ("FAILED_PRECONDITION", "BACKBONE_IN_USE")
        assert "is the default" in said.message
        (before,) = embedded(tenant, "", "-1")
        assert add_toy(admin, "toy", 5).is_default
        (after,) = embedded(tenant, "", "-1")
        assert not np.array_equal(before, after)


def test_who_asks_by_name_does_not_notice_that_it_is_replaced(
    believing_server: Server, admin: Caller, tenant: Caller
) -> None:
    """Nothing pins what was there before: it is deleted under the feet of those who use it."""
    add_toy(admin, "busy", 0)
    done = threading.Event()

    def ask(number: int) -> int:
        chance = random.Random(number)
        n_asked = 0
        while not done.is_set():
            # Layers in ever new company need ever new sessions, and these the graph.
            layers = chance.sample(["1", "2", "3", "branch", "sum", "logits"], 3)
            embedded(tenant, "busy", *layers)
            fill_and_empty = cpb.CreateCollectionRequest(
                collection_id=f"busy-{number}-{n_asked}", backbone="busy"
            )
            made = tenant.collections.CreateCollection(fill_and_empty).collection
            tenant.collections.DeleteCollection(
                cpb.DeleteCollectionRequest(collection_id=made.collection_id)
            )
            n_asked += 1
        return n_asked

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(ask, number) for number in range(3)]
        try:
            for seed in range(1, 13):
                add_toy(admin, "busy", seed)
        finally:
            done.set()
        assert all(asked.result() > 3 for asked in asking)
    remove_backbone(admin, "busy")


def test_a_network_that_takes_one_image_at_a_time_gives_the_same_codes(
    believing_server: Server, admin: Caller, tenant: Caller
) -> None:
    model = onnx.load_from_string(toy_graph(4))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    add_toy(admin, "open", 4)
    add_backbone(admin, "one-by-one", model.SerializeToString(), recipe=TOY_RECIPE)
    wanted = embedded(tenant, "open", "*", "logits")
    for codes, expected in zip(embedded(tenant, "one-by-one", "*", "logits"), wanted, strict=True):
        np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-5)
    fill(tenant, "one-by-one", "one-by-one")
    assert len(predicted(tenant, "one-by-one")) == 4
    empty(tenant, "one-by-one")
    for name in ("open", "one-by-one"):
        remove_backbone(admin, name)


def test_adding_is_exactly_once(believing_server: Server, admin: Caller) -> None:
    first = add_toy(admin, "once", 1, request_id="once-1")
    add_toy(admin, "once", 2)
    assert listed(admin)["once"].digest != first.digest
    # The first is gone, since nothing pins it: a late retry brings nothing back.
    said = refusal(lambda: add_toy(admin, "once", 1, request_id="once-1"))
    assert (said.code, said.reason) == ("NOT_FOUND", "BACKBONE_NOT_FOUND")
    kept = add_toy(admin, "twice", 1, request_id="twice-1")
    assert add_toy(admin, "twice", 1, request_id="twice-1") == kept
    assert add_toy(admin, "twice", 1, request_id="twice-1", chunk_bytes=100) == kept
    for others in ({"name": "other"}, {"seed": 2}, {"card": bpb.Card(notes="x")}):
        fields = {"name": "twice", "seed": 1, "request_id": "twice-1", **others}
        said = refusal(lambda fields=fields: add_toy(admin, **fields))  # type: ignore[misc]
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    remove_backbone(admin, "once", request_id="gone-1")
    remove_backbone(admin, "once", request_id="gone-1")
    assert refusal(lambda: remove_backbone(admin, "once")).reason == "BACKBONE_NOT_FOUND"
    remove_backbone(admin, "twice")


def test_a_retry_is_answered_without_being_looked_at_again(server: Server, admin: Caller) -> None:
    kept = add_toy(admin, "retried", 1, request_id="retried-1")
    with believing(server) as adding:
        adding._admit = None  # nothing can be admitted any more
        assert add_toy(admin, "retried", 1, request_id="retried-1") == kept
    remove_backbone(admin, "retried")


def test_a_stream_that_is_broken_off_leaves_nothing(
    believing_server: Server, admin: Caller
) -> None:
    folder = believing_server.data
    before = (sorted(listed(admin)), sorted(folder.iterdir()))
    sent, go_on = threading.Event(), threading.Event()

    def stream() -> Iterator[bpb.AddBackboneRequest]:
        for message in messages("broken", toy_graph(), chunk_bytes=1000, recipe=TOY_RECIPE):
            yield message
            sent.set()
            if message.WhichOneof("part") == "chunk":
                go_on.wait(30)

    call = admin.backbones.AddBackbone.future(stream())
    assert sent.wait(30)
    call.cancel()
    go_on.set()
    with pytest.raises(grpc.FutureCancelledError):
        call.result()
    assert (sorted(listed(admin)), sorted(folder.iterdir())) == before
    for _ in range(3):  # its turn is free again
        add_toy(admin, "broken", 1)
    remove_backbone(admin, "broken")


def test_a_caller_who_leaves_ends_the_looking(server: Server, admin: Caller) -> None:
    begun, ended = threading.Event(), threading.Event()

    def look(*_: Any, caller_left: Any, **__: Any) -> None:
        caller_left.add_done_callback(lambda _: ended.set())
        begun.set()
        ended.wait(30)

    with believing(server) as adding:
        adding._admit = look
        call = admin.backbones.AddBackbone.future(
            messages("left", toy_graph(), recipe=TOY_RECIPE, request_id="left")
        )
        assert begun.wait(30)
        assert not ended.is_set()
        call.cancel()
        assert ended.wait(30), "it is looked at still, for nobody"
    assert "left" not in listed(admin)
    add_toy(admin, "left", request_id="left")
    remove_backbone(admin, "left")


def test_no_more_than_two_are_added_at_once(believing_server: Server, admin: Caller) -> None:
    begun = [threading.Event() for _ in range(2)]
    go_on = threading.Event()

    def slow(number: int) -> Iterator[bpb.AddBackboneRequest]:
        header, *chunks = messages(f"slow-{number}", toy_graph(number), recipe=TOY_RECIPE)
        yield header
        begun[number].set()
        go_on.wait(30)
        yield from chunks

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(admin.backbones.AddBackbone, slow(number)) for number in range(2)]
        assert all(event.wait(30) for event in begun)
        said = refusal(lambda: _until_refused(admin))
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert "2 files are being added" in said.message
        go_on.set()
        assert {call.result().backbone.name for call in calls} == {"slow-0", "slow-1"}
    for number in range(2):
        remove_backbone(admin, f"slow-{number}")


def _until_refused(admin: Caller) -> None:
    """The server may read the two headers a moment after they were sent."""
    for _ in range(100):
        add_toy(admin, "third")


def test_a_tenants_key_adds_nothing_and_removes_nothing(tenant: Caller) -> None:
    for call in (lambda: add_toy(tenant, "x"), lambda: remove_backbone(tenant, "toy")):
        said = refusal(call)
        assert (said.code, said.reason) == ("PERMISSION_DENIED", "ADMIN_REQUIRED")
    assert "x" not in listed(tenant)

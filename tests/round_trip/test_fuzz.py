"""No request, however odd, is a fault of ours: random messages and random bytes to every RPC."""

import random
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from adding import TOY_RECIPE, believing
from callers import Caller, calling, pixels
from icecore.kserve import descriptors as kserve
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.services import CONTRACT
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import image_to_message
from kserve_models import prepared, request
from servers import Server, serving
from toys import toy_backbone, toy_graph

SEED = 20261121
N_MESSAGES = 60
N_BYTES = 20

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in (*CONTRACT, kserve.SERVICE)
    for method in service.methods
}
OURS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)

_ODD = "c|p|toy|a/b|\0|é|-1|0|*|auto|1:|MTph|((((|metadata.k < 3|id:*|name:two|\u202e|'"
TEXTS = ("", "x" * 300, "9" * 400, 'label = "a"', *_ODD.split("|"))
NUMBERS = (0, 1, 2, 3, 7, 1000, 2**31 - 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("fuzz") / "data", shared_memory=True) as server:
        yield server


@pytest.fixture(scope="module")
def callers(server: Server) -> Iterator[dict[Access, Caller]]:
    with calling(server.address, server.admin_key) as admin:
        admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="p"))
        key = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="p")).secret
        tenant = admin.with_key(key)
        for collection_id in ("c", "kept"):
            request = cpb.CreateCollectionRequest(collection_id=collection_id)
            tenant.collections.CreateCollection(request)
            list(tenant.collections.AddExamples(iter([_batch(collection_id)])))
        train = ppb.TrainProbeRequest(probe_id="kept", collection_id="kept", layers=["-1"])
        tenant.probes.TrainProbe(train)
        list(tenant.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="kept")))
        known = {Access.KNOWN: tenant, Access.TENANT: tenant, Access.ADMINISTRATOR: admin}
        yield {**known, Access.ANYONE: admin.with_key(None)}


def _batch(collection_id: str) -> cpb.AddExamplesRequest:
    batch = cpb.AddExamplesRequest(collection_id=collection_id)
    for number in range(4):
        example = cpb.Example(example_id=f"{number}", label="ab"[number % 2])
        example.metadata.update({"k": number, "text": "x", "yes": True})
        batch.examples.add(example=example, image=pixels(number))
    return batch


def _good() -> dict[str, Message]:
    """A request that succeeds, where one field wrong in it is more telling than many."""
    images = [pixels(number) for number in range(2)]
    batch = _batch("kept")
    batch.on_duplicate = cpb.AddExamplesRequest.ON_DUPLICATE_REPLACE
    tap = common_pb2.Tap(digest=toy_backbone().digest, layer="three", depth=3, backbone="toy")
    codes = common_pb2.Codes(
        tap=tap, dtype=common_pb2.D_TYPE_FLOAT32, shape=[2, 6], data=np.ones(12, "<f4").tobytes()
    )
    return {
        "Embed": epb.EmbedRequest(backbone="toy", layers=["1", "three"], images=images),
        "EmbedStream": epb.EmbedRequest(layers=["*"], images=images),
        "AddExamples": batch,
        "ListExamples": cpb.ListExamplesRequest(collection_id="kept", filter="metadata.k < 2"),
        "Search": cpb.SearchRequest(
            collection_id="kept", k=2, images=cpb.SearchRequest.Images(images=images)
        ),
        "Search codes": cpb.SearchRequest(collection_id="kept", k=2, codes=codes),
        "Search ids": cpb.SearchRequest(
            collection_id="kept",
            k=2,
            example_ids=cpb.SearchRequest.ExampleIds(example_ids=["1", "2"]),
        ),
        "Predict": ppb.PredictRequest(
            probe_id="kept", images=ppb.PredictRequest.Images(images=images)
        ),
        "Predict codes": ppb.PredictRequest(probe_id="kept", codes=codes),
        "PredictStream": ppb.PredictRequest(probe_id="kept", codes=codes),
        "PromoteVersion": ppb.PromoteVersionRequest(probe_id="kept", version=1),
        "WatchProbe": ppb.WatchProbeRequest(probe_id="kept"),
        "ModelInfer": request(prepared(2), outputs={"one": {"pooling": "max"}, "-1": {}}),
        "ModelInfer probe": request(prepared(2), "probe.kept", outputs=("label", "scores")),
        "ModelStreamInfer": request(prepared(1), parameters={"layer": 2, "dtype": "FP16"}),
    }


def _twist(message: Any, chance: random.Random) -> None:
    """Set one field somewhere in the message to something odd, or leave it out."""
    there = [field for field, _ in message.ListFields()]
    field = chance.choice(there if there and chance.random() < 0.8 else message.DESCRIPTOR.fields)
    if field.message_type is None:
        if field.is_repeated:
            getattr(message, field.name).append(_scalar(field, chance))
        elif chance.random() < 0.2:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _scalar(field, chance))
    elif field.is_repeated:
        values = getattr(message, field.name)
        if field.message_type.GetOptions().map_entry:
            message.ClearField(field.name)
        elif len(values) and chance.random() < 0.8:
            _twist(chance.choice(values), chance)
        else:
            values.add()
    else:
        getattr(message, field.name).SetInParent()
        _twist(getattr(message, field.name), chance)


def _send(caller: Caller, path: str, data: bytes, *rest: bytes) -> grpc.StatusCode:
    method = METHODS[path]
    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    call = getattr(caller.keyed, kind)(path)
    try:
        answer = call(iter([data, *rest]) if method.client_streaming else data, timeout=60)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def _fill(message: Any, chance: random.Random, depth: int = 0) -> None:
    """Set some fields to odd values."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.25 or depth > 4:
            continue
        if field.is_repeated:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue
            values = getattr(message, field.name)
            for _ in range(chance.randint(1, 3)):
                if field.message_type is not None:
                    _fill(values.add(), chance, depth + 1)
                else:
                    values.append(_scalar(field, chance))
        elif field.message_type is not None:
            if field.message_type.name == "Image" and chance.random() < 0.7:
                getattr(message, field.name).CopyFrom(_image(chance))
            else:
                getattr(message, field.name).SetInParent()
                _fill(getattr(message, field.name), chance, depth + 1)
        else:
            setattr(message, field.name, _scalar(field, chance))


def _image(chance: random.Random) -> Message:
    if chance.random() < 0.5:
        return pixels(chance.randint(0, 9), size=chance.randint(1, 20))
    return image_to_message(np.full((3, 8, 8), chance.uniform(-9, 9), np.float32))


def _scalar(field: FieldDescriptor, chance: random.Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = chance.choice(TEXTS)
        return chance.randbytes(20) if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return chance.choice((0.0, -1.0, 3.0, 1e30, float("nan"), float("inf")))
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return chance.choice((0, 1, 2, 3, 4, 5, 99))
    if field.cpp_type == FieldDescriptor.CPPTYPE_UINT32:
        return chance.choice((*NUMBERS, 2**32 - 1))
    if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64:
        return chance.choice((*NUMBERS, 2**64 - 1))
    return chance.choice((*NUMBERS, -1, -(2**31)))


HEADERS: dict[str, tuple[Message, Message]] = {
    "AddBackbone": (
        bpb.AddBackboneRequest(
            header=bpb.AddBackboneRequest.Header(
                name="x", recipe=TOY_RECIPE, card=bpb.Card(notes="x")
            )
        ),
        bpb.AddBackboneRequest(chunk=toy_graph(1)),
    ),
    "CheckRecipe": (
        bpb.CheckRecipeRequest(
            header=bpb.CheckRecipeRequest.Header(backbone="toy", class_names=["a"] * 5)
        ),
        bpb.CheckRecipeRequest(image=bpb.LabelledImage(image=pixels(1), label="a", name="x")),
    ),
    "QuantiseBackbone": (
        bpb.QuantiseBackboneRequest(header=bpb.QuantiseBackboneRequest.Header(name="y")),
        bpb.QuantiseBackboneRequest(
            calibration=bpb.QuantiseBackboneRequest.Calibration(image=pixels(1), name="x")
        ),
    ),
}
"""First messages with the one after them, of streams that need both."""


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("twisted", [0, 1])
def test_no_stream_of_a_header_and_a_part_is_a_fault_of_ours(
    name: str, twisted: int, server: Server, callers: dict[Access, Caller]
) -> None:
    print(f"seed {SEED}")
    chance = random.Random(f"{SEED} {name} {twisted}")
    path = f"/icecore.v1.BackboneService/{name}"
    with believing(server):
        for _ in range(N_MESSAGES // 2):
            stream: list[Any] = [type(message)() for message in HEADERS[name]]
            for message, good in zip(stream, HEADERS[name], strict=True):
                message.CopyFrom(good)
            _twist(stream[twisted], chance)
            data = [message.SerializeToString() for message in stream]
            code = _send(callers[Access.ADMINISTRATOR], path, *data)
            assert code not in OURS, f"{code} for {stream}"


@pytest.mark.parametrize("path", METHODS)
def test_no_request_is_a_fault_of_ours(path: str, callers: dict[Access, Caller]) -> None:
    print(f"seed {SEED}")
    chance = random.Random(f"{SEED} {path}")
    caller = callers[access_to(path)]
    kind = GetMessageClass(METHODS[path].input_type)
    for _ in range(N_MESSAGES):
        message = kind()
        _fill(message, chance)
        code = _send(caller, path, message.SerializeToString())
        assert code not in OURS, f"{code} for {message}"
    twisted = [good for name, good in _good().items() if name.split(" ")[0] == path.split("/")[-1]]
    for good in twisted:
        assert _send(caller, path, good.SerializeToString()) is grpc.StatusCode.OK, good
        for _ in range(N_MESSAGES):
            message = kind()
            message.CopyFrom(good)
            _twist(message, chance)
            code = _send(caller, path, message.SerializeToString())
            assert code not in OURS, f"{code} for {message}"
    for _ in range(N_BYTES):
        data = chance.randbytes(chance.randint(0, 200))
        code = _send(caller, path, data)
        assert code not in OURS, f"{code} for {data!r}"

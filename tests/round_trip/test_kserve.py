"""The inference protocol over a real socket: who may call, what is refused, what is whose."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from callers import Caller, calling, refusal
from icecore.kserve import open_inference as pb
from icecore.kserve.descriptors import FILE, SERVICE
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import image_to_message
from kserve_models import (
    Inference,
    labelled_pixels,
    new_tenant,
    prepared,
    request,
    train_probes,
    values_of,
)
from servers import Server, serving

METHODS = {f"/{SERVICE.full_name}/{method.name}": method for method in SERVICE.methods}
UNIMPLEMENTED = {
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryStatus",
    "LogSettings",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "TraceSetting",
}
X = prepared(2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("kserve")
    with serving(folder / "data", listen="127.0.0.1:0", shared_memory=True) as server:
        yield server


@pytest.fixture(scope="module")
def keys(server: Server) -> dict[str, str]:
    """The administrator's, and those of `ours`, who has the probes, and `others`, who has none."""
    with calling(server.address, server.admin_key) as caller:
        made = {one: new_tenant(caller, one) for one in ("ours", "others")}
        train_probes(caller.with_key(made["ours"]))
    return {**made, "administrator": server.admin_key}


@pytest.fixture(scope="module")
def anybody(server: Server) -> Iterator[Caller]:
    with calling(server.address) as caller:
        yield caller


@pytest.fixture(scope="module")
def ours(anybody: Caller, keys: dict[str, str]) -> Any:
    return Inference(anybody.with_key(keys["ours"]).keyed)


@pytest.fixture(scope="module")
def others(anybody: Caller, keys: dict[str, str]) -> Any:
    return Inference(anybody.with_key(keys["others"]).keyed)


def _call(inference: Any, path: str) -> Any:
    """Call with one empty request."""
    method = METHODS[path]
    message = GetMessageClass(method.input_type)()
    sent = iter([message]) if method.client_streaming else message
    answer = getattr(inference, method.name)(sent, timeout=30)
    return list(answer) if method.server_streaming else answer


@pytest.mark.parametrize("path", METHODS)
def test_nobody_calls_without_a_key_but_to_see_whether_the_server_lives(
    path: str, anybody: Caller, keys: dict[str, str]
) -> None:
    nobody, stranger = Inference(anybody.channel), anybody.with_key("icecore_wrong")
    administrator = Inference(anybody.with_key(keys["administrator"]).keyed)
    if path.endswith(("/ServerLive", "/ServerReady")):
        assert _call(nobody, path) == _call(Inference(stranger.keyed), path)
        return
    said = refusal(lambda: _call(nobody, path))
    assert (said.code, said.reason) == ("UNAUTHENTICATED", "KEY_REQUIRED")
    said = refusal(lambda: _call(Inference(stranger.keyed), path))
    assert (said.code, said.reason) == ("UNAUTHENTICATED", "KEY_UNKNOWN")
    if path.endswith("/ServerMetadata"):
        assert _call(administrator, path).name == "icecore"
        return
    said = refusal(lambda: _call(administrator, path))
    assert (said.code, said.reason) == ("PERMISSION_DENIED", "TENANT_KEY_REQUIRED")


@pytest.mark.parametrize("path", METHODS)
def test_each_method_answers_or_says_that_it_never_will(path: str, ours: Any) -> None:
    name = METHODS[path].name
    if name in UNIMPLEMENTED:
        said = refusal(lambda: _call(ours, path))
        assert (said.code, said.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
        assert said.message.startswith("this server")
        return
    try:
        _call(ours, path)
    except grpc.RpcError as error:
        code = error.code()
        assert code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL), path


def test_each_tenant_sees_the_backbones_and_its_own_probes(ours: Any, others: Any) -> None:
    def listed(inference: Any) -> set[str]:
        return {one.name for one in inference.RepositoryIndex(pb.RepositoryIndexRequest()).models}

    assert listed(ours) == {"toy", "probe.p", "probe.svm"}
    assert listed(others) == {"toy"}
    assert not others.ModelReady(pb.ModelReadyRequest(name="probe.p")).ready
    for call in (
        lambda: others.ModelMetadata(pb.ModelMetadataRequest(name="probe.p")),
        lambda: others.infer(X, "probe.p"),
    ):
        said = refusal(call)
        assert (said.code, said.reason) == ("NOT_FOUND", "PROBE_NOT_FOUND")


def test_statistics_are_the_callers_own(ours: Any, others: Any) -> None:
    def count(inference: Any) -> int:
        (found,) = inference.ModelStatistics(pb.ModelStatisticsRequest(name="toy")).model_stats
        return int(found.inference_count)

    before = count(ours), count(others)
    ours.infer(prepared(3, seed=9))
    assert (count(ours), count(others)) == (before[0] + 3, before[1])


def test_a_version_of_a_probe_may_be_named_promoted_or_not(ours: Any) -> None:
    pixels = np.stack([labelled_pixels(number) for number in range(4)])
    unpromoted = ours.infer(pixels, "probe.none", model_version="1", outputs=("scores",))
    promoted = ours.infer(pixels, "probe.p", outputs=("scores",))
    np.testing.assert_array_equal(values_of(unpromoted), values_of(promoted))
    told = ours.ModelMetadata(pb.ModelMetadataRequest(name="probe.none", version="1"))
    assert list(told.versions) == ["1"]
    for version in ("2", "0", "x", "-1", "1" * 30):
        said = refusal(lambda version=version: ours.infer(X, "probe.p", model_version=version))  # type: ignore[misc]
        assert (said.code, said.reason) == ("NOT_FOUND", "VERSION_NOT_FOUND"), version


def test_codes_are_those_of_embed_to_the_bit(ours: Any, anybody: Caller, keys: Any) -> None:
    caller = anybody.with_key(keys["ours"])
    sent = epb.EmbedRequest(layers=["*"], images=[image_to_message(one) for one in X])
    embedded = caller.codes.Embed(sent).codes
    answer = ours.infer(X, outputs=("*",))
    assert [one.name for one in answer.outputs] == [codes.tap.layer for codes in embedded]
    for output, raw, codes in zip(
        answer.outputs, answer.raw_output_contents, embedded, strict=True
    ):
        assert raw == codes.data
        assert output.parameters["layer"].string_param == codes.tap.layer
        assert output.parameters["digest"].string_param == codes.tap.digest


def test_typed_contents_are_taken_and_the_answer_is_raw(ours: Any) -> None:
    pixels = np.stack([labelled_pixels(number) for number in range(2)])
    sent: dict[str, tuple[Any, pb.InferTensorContents]] = {
        "FP32": (X, pb.InferTensorContents(fp32_contents=X.reshape(-1))),
        "UINT8": (pixels, pb.InferTensorContents(uint_contents=pixels.reshape(-1))),
    }
    for datatype, (values, contents) in sent.items():
        typed = request()
        typed.inputs.add(name="image", datatype=datatype, shape=values.shape, contents=contents)
        answer = ours.ModelInfer(typed)
        assert answer.raw_output_contents == ours.infer(values).raw_output_contents
        assert not answer.outputs[0].HasField("contents")


OUTPUTS: list[tuple[str, Any, str, str]] = [
    ("unknown", {"parameters": {"poolng": "max"}}, "ARGUMENT_INVALID", "'poolng'"),
    ("pooling", {"parameters": {"pooling": "mean"}}, "POOLING_INVALID", "'mean'"),
    ("cls", {"parameters": {"pooling": "cls"}}, "POOLING_INVALID", "no class token"),
    ("gem_p", {"parameters": {"pooling": "avg", "gem_p": 2.0}}, "POOLING_INVALID", "has none"),
    ("activation", {"parameters": {"activation": "tanh"}}, "ARGUMENT_INVALID", "'tanh'"),
    ("dtype", {"parameters": {"dtype": "INT8"}}, "DTYPE_INVALID", "FP32, FP16"),
    ("priority", {"parameters": {"priority": "now"}}, "PRIORITY_INVALID", "'interactive', 'bulk'"),
    ("timeout", {"parameters": {"timeout": -1}}, "ARGUMENT_INVALID", "microseconds"),
    ("layer", {"parameters": {"layer": 1.5}}, "ARGUMENT_INVALID", "1.5"),
    ("twice", {"outputs": ("one", "one")}, "ARGUMENT_INVALID", "'one' is asked for twice"),
    ("classes", {"outputs": {"one": {"classification": 3}}}, "ARGUMENT_INVALID", "classification"),
    (
        "two dtypes",
        {"outputs": {"one": {"dtype": "FP16"}, "two": {}}},
        "DTYPE_INVALID",
        "one dtype",
    ),
    (
        "several layers in one region",
        {"outputs": {"*": {"shared_memory_region": "r"}}},
        "ARGUMENT_INVALID",
        "one region cannot take them",
    ),
    ("of a probe", {"model": "probe.p", "outputs": ("codes",)}, "ARGUMENT_INVALID", "'codes'"),
    ("its layer", {"model": "probe.p", "parameters": {"layer": 1}}, "ARGUMENT_INVALID", "'layer'"),
    ("name", {"model": "to y"}, "NAME_INVALID", "'to y'"),
    ("no name", {"model": ""}, "NAME_INVALID", "is empty"),
    ("probe name", {"model": "probe."}, "NAME_INVALID", "is empty"),
]


@pytest.mark.parametrize(("fields", "reason", "words"), [one[1:] for one in OUTPUTS])
def test_what_cannot_be_asked_has_a_reason_and_a_sentence(
    fields: dict[str, Any], reason: str, words: str, ours: Any
) -> None:
    said = refusal(lambda: ours.infer(X, **fields))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", reason)
    assert words in said.message


def test_an_outputs_own_parameters_come_before_the_requests(ours: Any) -> None:
    answer = ours.infer(
        X,
        outputs={
            "codes": {},
            "mine": {"layer": 1, "pooling": "avg"},
            "two": {"pooling": "none"},
        },
        parameters={"layer": "3", "pooling": "gem", "gem_p": 2.0, "dtype": "FP16"},
    )
    shapes = {one.name: tuple(one.shape) for one in answer.outputs}
    assert shapes == {"codes": (2, 6), "mine": (2, 4), "two": (2, 6, 4, 4)}
    layers = [one.parameters["layer"].string_param for one in answer.outputs]
    assert layers == ["three", "one", "two"]
    assert {one.datatype for one in answer.outputs} == {"FP16"}
    plain = ours.infer(X, outputs=("1",), parameters={"dtype": "FP16"})
    np.testing.assert_array_equal(values_of(answer, 1), values_of(plain))


def test_a_request_whose_time_is_over_is_not_begun(ours: Any) -> None:
    late = request(prepared(1, seed=77), parameters={"timeout": 1})
    said = refusal(lambda: ours.ModelInfer(late))
    assert said.code == "DEADLINE_EXCEEDED"


def test_in_a_stream_a_refusal_has_its_reason_beside_it(ours: Any) -> None:
    sent = [request(X, id="a"), request(X, "absent", id="b"), request(X, id="c")]
    good, bad, last = ours.ModelStreamInfer(iter(sent), timeout=60)
    assert (good.error_message, good.infer_response.id) == ("", "a")
    assert (last.error_message, last.infer_response.id) == ("", "c")
    assert bad.error_message == "backbone 'absent' is not on this server: there is 'toy'"
    assert bad.infer_response.id == "b"
    told = {name: one.string_param for name, one in bad.infer_response.parameters.items()}
    assert told == {"reason": "BACKBONE_NOT_FOUND", "status": "NOT_FOUND"}


def test_bytes_that_are_no_request_are_refused(anybody: Caller, keys: dict[str, str]) -> None:
    call: Any = anybody.with_key(keys["ours"]).keyed.unary_unary(f"/{SERVICE.full_name}/ModelInfer")
    said = refusal(lambda: call(b"\xff\xff\xff"))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_reflection_tells_both_pools(anybody: Caller) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(anybody.channel)
    ask = reflection_pb2.ServerReflectionRequest
    symbols = ("inference.GRPCInferenceService", "icecore.v1.CodesService", "absent.Service")
    asked = [ask(file_containing_symbol=symbol) for symbol in symbols]
    asked += [ask(list_services=""), ask(file_by_filename=FILE.name)]
    theirs, ours, absent, listed, file = stub.ServerReflectionInfo(iter(asked))
    for answer, name in ((theirs, FILE.name), (ours, "icecore/v1/codes.proto"), (file, FILE.name)):
        first = answer.file_descriptor_response.file_descriptor_proto[0]
        assert descriptor_pb2.FileDescriptorProto.FromString(first).name == name
    assert absent.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    names = {service.name for service in listed.list_services_response.service}
    assert {"inference.GRPCInferenceService", "icecore.v1.CodesService"} < names


def test_a_request_written_as_json_by_what_reflection_tells_is_understood(
    anybody: Caller, keys: dict[str, str], ours: Any
) -> None:
    """As grpcurl does it, which has no file of ours."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(anybody.channel)
    symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE.full_name)
    (told,) = stub.ServerReflectionInfo(iter([symbol]))
    pool = DescriptorPool()
    for file in told.file_descriptor_response.file_descriptor_proto:
        pool.AddSerializedFile(file)
    method = pool.FindServiceByName(SERVICE.full_name).FindMethodByName("ModelInfer")
    sent = json_format.ParseDict(
        {
            "model_name": "toy",
            "inputs": [
                {
                    "name": "image",
                    "datatype": "FP32",
                    "shape": [str(size) for size in X.shape],
                    "contents": {"fp32_contents": X.reshape(-1).tolist()},
                }
            ],
            "outputs": [{"name": "two", "parameters": {"pooling": {"string_param": "max"}}}],
        },
        GetMessageClass(method.input_type)(),
    )
    path = f"/{SERVICE.full_name}/ModelInfer"
    call: Any = anybody.with_key(keys["ours"]).keyed.unary_unary(path)
    answer = pb.ModelInferResponse.FromString(call(sent.SerializeToString()))
    expected = ours.infer(X, outputs={"two": {"pooling": "max"}})
    assert answer.raw_output_contents == expected.raw_output_contents


def test_quotas_hold_here_as_elsewhere(server: Server, anybody: Caller) -> None:
    administrator = anybody.with_key(server.admin_key)
    key = new_tenant(administrator, "poor")
    quota = tpb.Quota(max_images_in_flight=1)
    administrator.tenants.SetQuota(tpb.SetQuotaRequest(tenant_id="poor", quota=quota))
    poor = Inference(anybody.with_key(key).keyed)
    assert poor.infer(X[:1]).outputs
    said = refusal(lambda: poor.infer(X))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "IMAGES_IN_FLIGHT_EXCEEDED")
    (told,) = poor.ModelStreamInfer(iter([request(X)]), timeout=60)
    assert told.infer_response.parameters["status"].string_param == "RESOURCE_EXHAUSTED"

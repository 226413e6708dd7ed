"""The inference protocol over a real socket: who may call, what is refused, what is whose."""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
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
from icecore.server.rpc.access import Access, access_to
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import image_to_message
from kserve_models import Inference, labelled_pixels, prepared, request, train_probes, values_of
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
    """Of the tenant `ours`, who has the probes, of `others`, who has none, and of nobody's."""
    made = {"administrator": server.admin_key}
    with calling(server.address, server.admin_key) as caller:
        for tenant_id in ("ours", "others"):
            caller.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
            key = caller.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id))
            made[tenant_id] = key.secret
        train_probes(caller.with_key(made["ours"]))
    return made


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
    if access_to(path) is Access.KNOWN:
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
    administrator.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="poor"))
    made = administrator.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="poor"))
    quota = tpb.Quota(max_images_in_flight=1)
    administrator.tenants.SetQuota(tpb.SetQuotaRequest(tenant_id="poor", quota=quota))
    poor = Inference(anybody.with_key(made.secret).keyed)
    assert poor.infer(X[:1]).outputs
    said = refusal(lambda: poor.infer(X))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "IMAGES_IN_FLIGHT_EXCEEDED")
    (told,) = poor.ModelStreamInfer(iter([request(X)]), timeout=60)
    assert told.infer_response.parameters["status"].string_param == "RESOURCE_EXHAUSTED"


class Memory:
    """A shared memory object of this test's own."""

    def __init__(self, name: str, size: int) -> None:
        self.key = f"/icecore-test-{os.getpid()}-{name}"
        self.path = Path("/dev/shm" + self.key)
        with self.path.open("xb") as file:
            file.truncate(size)

    def put(self, values: bytes, offset: int = 0) -> None:
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[offset : offset + len(values)] = values


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory("one", 8192)
    yield made
    made.path.unlink()


@pytest.fixture
def region(memory: Memory, ours: Any) -> Iterator[Memory]:
    """The whole of it, registered by `ours` as "r"."""
    _register(ours, memory)
    yield memory
    ours.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())


def _register(inference: Any, memory: Memory, name: str = "r", **fields: Any) -> None:
    fields = {"key": memory.key, "byte_size": 8192, **fields}
    inference.SystemSharedMemoryRegister(pb.SystemSharedMemoryRegisterRequest(name=name, **fields))


def _from_region(size: int = X.nbytes, offset: int = 0, name: str = "r") -> pb.ModelInferRequest:
    made = request()
    tensor = made.inputs.add(name="image", datatype="FP32", shape=X.shape)
    tensor.parameters["shared_memory_region"].string_param = name
    tensor.parameters["shared_memory_byte_size"].int64_param = size
    tensor.parameters["shared_memory_offset"].int64_param = offset
    return made


def test_values_are_read_from_a_region_as_they_are_then(region: Memory, ours: Any) -> None:
    for seed in (1, 2):
        values = prepared(2, seed)
        region.put(values.tobytes(), 256)
        answer = ours.ModelInfer(_from_region(offset=256))
        np.testing.assert_array_equal(values_of(answer), values_of(ours.infer(values)))


def test_a_region_is_its_tenants_alone(region: Memory, ours: Any, others: Any) -> None:
    said = refusal(lambda: others.ModelInfer(_from_region()))
    assert (said.code, said.reason) == ("NOT_FOUND", "REGION_NOT_FOUND")
    status = pb.SystemSharedMemoryStatusRequest
    assert not others.SystemSharedMemoryStatus(status()).regions
    said = refusal(lambda: _register(others, region, "mine"))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")
    assert "another tenant" in said.message
    others.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name="r"))
    others.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())
    (told,) = ours.SystemSharedMemoryStatus(status(name="r")).regions.values()
    assert (told.name, told.key, told.offset, told.byte_size) == ("r", region.key, 0, 8192)


def test_a_region_whose_memory_shrank_is_an_error_and_not_the_servers_end(
    region: Memory, ours: Any
) -> None:
    os.truncate(region.path, 16)
    said = refusal(lambda: ours.ModelInfer(_from_region()))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")
    output = {"codes": {"shared_memory_region": "r", "shared_memory_byte_size": 48}}
    said = refusal(lambda: ours.infer(X, outputs=output))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")
    assert region.path.stat().st_size == 16
    assert ours.infer(X).outputs


def test_an_output_is_written_where_it_is_wanted_and_nowhere_else(
    region: Memory, ours: Any
) -> None:
    region.put(b"\xaa" * 8192)
    place = {"shared_memory_region": "r", "shared_memory_offset": 64}
    answer = ours.infer(X, outputs={"codes": {**place, "shared_memory_byte_size": 48}, "one": {}})
    codes = values_of(ours.infer(X)).tobytes()
    assert region.path.read_bytes() == b"\xaa" * 64 + codes + b"\xaa" * (8192 - 64 - len(codes))
    assert not answer.raw_output_contents[0]
    np.testing.assert_array_equal(values_of(answer, 1), values_of(ours.infer(X, outputs=("one",))))
    small = {"codes": {**place, "shared_memory_byte_size": 47}}
    said = refusal(lambda: ours.infer(X, outputs=small))
    assert said.message == "the output has 48 bytes, but 47 are given to it in region 'r'"


@pytest.mark.parametrize(
    ("size", "offset"), [(0, 8192), (1, 8192), (8193, 0), (X.nbytes, 8192 - X.nbytes + 1)]
)
def test_parts_that_are_not_within_the_region_are_refused(
    size: int, offset: int, region: Memory, ours: Any
) -> None:
    said = refusal(lambda: ours.ModelInfer(_from_region(size, offset)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")


def test_a_part_of_another_size_than_the_tensor_is_refused(region: Memory, ours: Any) -> None:
    said = refusal(lambda: ours.ModelInfer(_from_region(X.nbytes + 4)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "TENSOR_INVALID")


@pytest.mark.parametrize(
    "key",
    ["", "/", "/absent", "/../etc/passwd", "/a/b", "..", "/.", "/sem.x", "/a\0b", "/" + "x" * 300],
)
def test_keys_that_are_no_shared_memory_are_refused(key: str, memory: Memory, ours: Any) -> None:
    said = refusal(lambda: _register(ours, memory, key=key))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")


def test_what_only_lies_in_the_folder_is_no_shared_memory(memory: Memory, ours: Any) -> None:
    """A link would lead anywhere; a pipe would make the server wait."""
    aside = memory.path.with_name(memory.path.name + "-x")
    makers: list[Callable[[], None]] = [
        lambda: aside.symlink_to("/etc/hostname"),
        lambda: os.mkfifo(aside),
        lambda: aside.mkdir(),
    ]
    for make in makers:
        make()
        try:
            said = refusal(lambda: _register(ours, memory, key=f"/{aside.name}"))
        finally:
            aside.rmdir() if aside.is_dir() else aside.unlink()
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")


@pytest.mark.parametrize(("offset", "size"), [(0, 8193), (1, 8192), (8192, 1), (0, 0), (2**63, 8)])
def test_regions_lie_within_their_memory(offset: int, size: int, memory: Memory, ours: Any) -> None:
    said = refusal(lambda: _register(ours, memory, offset=offset, byte_size=size))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REGION_INVALID")


def test_a_name_is_registered_once_and_again_when_it_is_free(region: Memory, ours: Any) -> None:
    said = refusal(lambda: _register(ours, region))
    assert (said.code, said.reason) == ("ALREADY_EXISTS", "REGION_EXISTS")
    ours.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name="r"))
    ours.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name="r"))
    _register(ours, region)


def test_a_deleted_tenants_regions_and_counts_are_gone(
    server: Server, memory: Memory, anybody: Caller, keys: dict[str, str]
) -> None:
    assert server.app is not None
    parts = server.app._parts
    administrator = anybody.with_key(server.admin_key)
    for _ in range(2):
        administrator.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="brief"))
        made = administrator.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="brief"))
        brief = Inference(anybody.with_key(made.secret).keyed)
        asked = pb.ModelStatisticsRequest(name="toy")
        assert brief.ModelStatistics(asked).model_stats[0].inference_count == 0
        _register(brief, memory)
        brief.infer(X)
        administrator.tenants.DeleteTenant(tpb.DeleteTenantRequest(tenant_id="brief"))
        assert not parts.sharing.regions("unix:").listed("brief", "")


def test_shared_memory_is_off_unless_it_is_switched_on(tmp_path: Path, memory: Memory) -> None:
    with serving(tmp_path / "data") as server, calling(server.address) as caller:
        inference = Inference(caller.channel)
        told = inference.ServerMetadata(pb.ServerMetadataRequest())
        assert "system_shared_memory" not in told.extensions
        for call in (
            lambda: _register(inference, memory),
            lambda: inference.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest()),
            lambda: inference.ModelInfer(_from_region()),
            lambda: inference.infer(X, outputs={"codes": {"shared_memory_region": "r"}}),
        ):
            said = refusal(call)
            assert (said.code, said.reason) == ("FAILED_PRECONDITION", "SHARED_MEMORY_OFF")

"""Tensors in this machine's shared memory: whose they are, and what goes wrong with them."""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callers import Caller, calling, refusal
from icecore.kserve import open_inference as pb
from icecore.v1 import tenant_pb2 as tpb
from kserve_models import Inference, new_tenant, prepared, request, values_of
from servers import Server, serving

X = prepared(2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("shared") / "data", shared_memory=True) as server:
        yield server


@pytest.fixture(scope="module")
def anybody(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


@pytest.fixture(scope="module")
def ours(anybody: Caller) -> Any:
    return Inference(anybody.with_key(new_tenant(anybody, "ours")).keyed)


@pytest.fixture(scope="module")
def others(anybody: Caller) -> Any:
    return Inference(anybody.with_key(new_tenant(anybody, "others")).keyed)


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
    server: Server, memory: Memory, anybody: Caller
) -> None:
    assert server.app is not None
    parts = server.app._parts
    administrator = anybody.with_key(server.admin_key)
    for _ in range(2):
        brief = Inference(anybody.with_key(new_tenant(administrator, "brief")).keyed)
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

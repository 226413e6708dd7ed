"""Every RPC of the contract, walked: who may call it, and which ones wait for later."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from callers import Caller, calling, refusal
from icecore.server.rpc.access import Access, access_to
from icecore.server.rpc.services import CONTRACT
from icecore.v1 import tenant_pb2
from servers import Server, serving

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in CONTRACT
    for method in service.methods
}
UNIMPLEMENTED = {
    "Backup",
    "Explain",
    "ExportProbe",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("walk") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def keys(server: Server) -> dict[str, str | None]:
    with calling(server.address, server.admin_key) as caller:
        caller.tenants.CreateTenant(tenant_pb2.CreateTenantRequest(tenant_id="ours"))
        made = caller.tenants.CreateKey(tenant_pb2.CreateKeyRequest(tenant_id="ours"))
    return {"none": None, "tenant": made.secret, "administrator": server.admin_key}


@pytest.fixture(scope="module")
def anybody(server: Server) -> Iterator[Caller]:
    with calling(server.address) as caller:
        yield caller


def _call(caller: Caller, path: str) -> Any:
    """Call with one empty request."""
    method = METHODS[path]
    request = GetMessageClass(method.input_type)()
    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    call = getattr(caller.keyed, kind)(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer = call(iter([request]) if method.client_streaming else request, timeout=30)
    return list(answer) if method.server_streaming else answer


@pytest.mark.parametrize("path", METHODS)
def test_exactly_those_that_wait_for_later_are_unimplemented_with_a_sentence(
    path: str, anybody: Caller, keys: dict[str, str | None]
) -> None:
    who = "administrator" if access_to(path) is Access.ADMINISTRATOR else "tenant"
    caller = anybody.with_key(keys[who])
    if METHODS[path].name in UNIMPLEMENTED:
        said = refusal(lambda: _call(caller, path))
        assert (said.code, said.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
        assert said.message.startswith("this server ")
        return
    try:
        _call(caller, path)
    except grpc.RpcError as error:
        code = error.code()
        assert code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL), path


@pytest.mark.parametrize("path", METHODS)
def test_nobody_calls_without_the_right_key(
    path: str, anybody: Caller, keys: dict[str, str | None]
) -> None:
    said = refusal(lambda: _call(anybody, path))
    assert (said.code, said.reason) == ("UNAUTHENTICATED", "KEY_REQUIRED")
    said = refusal(lambda: _call(anybody.with_key("icecore_wrong"), path))
    assert (said.code, said.reason) == ("UNAUTHENTICATED", "KEY_UNKNOWN")
    if access_to(path) is Access.TENANT:
        said = refusal(lambda: _call(anybody.with_key(keys["administrator"]), path))
        assert (said.code, said.reason) == ("PERMISSION_DENIED", "TENANT_KEY_REQUIRED")
    elif access_to(path) is Access.KNOWN:
        _call(anybody.with_key(keys["tenant"]), path)
        if path.endswith("/GetUsage"):  # the administrator says whose
            said = refusal(lambda: _call(anybody.with_key(keys["administrator"]), path))
            assert said.reason == "NAME_INVALID"
        else:
            _call(anybody.with_key(keys["administrator"]), path)
    else:
        said = refusal(lambda: _call(anybody.with_key(keys["tenant"]), path))
        assert (said.code, said.reason) == ("PERMISSION_DENIED", "ADMIN_REQUIRED")


@pytest.mark.parametrize("who", ["none", "tenant", "administrator"])
def test_health_and_reflection_need_no_key(
    who: str, anybody: Caller, keys: dict[str, str | None]
) -> None:
    channel = anybody.with_key(keys[who]).keyed
    health: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", *(service.full_name for service in CONTRACT)):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    reflected: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = reflected.ServerReflectionInfo(iter([asked]))
    named = {service.name for service in answer.list_services_response.service}
    assert {service.full_name for service in CONTRACT} < named
    assert "grpc.health.v1.Health" in named


def test_reflection_gives_the_contract_itself(anybody: Caller) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(anybody.channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="icecore.v1.CodesService")
    (answer,) = stub.ServerReflectionInfo(iter([asked]))
    assert answer.file_descriptor_response.file_descriptor_proto


def test_a_wrong_key_is_not_even_looked_at_for_health(server: Server, tmp_path: Path) -> None:
    with calling(server.address, "icecore_wrong") as caller:
        health: Any = health_pb2_grpc.HealthStub(caller.keyed)
        assert health.Check(health_pb2.HealthCheckRequest()).status

"""Where a call comes from decides with the key who it is: socket, loopback, TLS, others."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from callers import Caller, calling, refusal
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving

LISTING = cpb.ListCollectionsRequest()
TENANTS = tpb.ListTenantsRequest()


@pytest.fixture(scope="module", params=[False, True], ids=["", "require-keys"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("places") / "data"
    with serving(data, listen="127.0.0.1:0", require_keys=request.param) as server:
        yield server


def _who(caller: Caller) -> str:
    """Who a caller is, found out by what it may do."""
    try:
        caller.tenants.ListTenants(TENANTS)
    except grpc.RpcError:
        pass
    else:
        said = refusal(lambda: caller.collections.ListCollections(LISTING))
        assert said.reason == "TENANT_KEY_REQUIRED"
        return "administrator"
    try:
        caller.collections.ListCollections(LISTING)
    except grpc.RpcError:
        on_data = refusal(lambda: caller.collections.ListCollections(LISTING))
        on_tenants = refusal(lambda: caller.tenants.ListTenants(TENANTS))
        assert on_data == on_tenants
        assert on_data.code == "UNAUTHENTICATED"
        return on_data.reason
    assert refusal(lambda: caller.tenants.ListTenants(TENANTS)).reason == "ADMIN_REQUIRED"
    name = f"seen-{caller.key is not None}"
    made = caller.collections.CreateCollection(cpb.CreateCollectionRequest(collection_id=name))
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id=name))
    return str(made.collection.collection_name.split("/")[1])


def test_the_whole_table_on_this_machine(server: Server, request: pytest.FixtureRequest) -> None:
    """Before the first tenant's key, and after it; on the socket, and on loopback."""
    assert server.listen is not None
    requires = "require-keys" in request.node.name
    keyless = "KEY_REQUIRED" if requires else "default"
    for address in (server.address, server.listen):
        with calling(address) as caller:
            assert _who(caller) == keyless, address
            assert _who(caller.with_key(server.admin_key)) == "administrator", address
            assert _who(caller.with_key("icecore_wrong")) == "KEY_UNKNOWN", address
            assert _who(caller.with_key("")) == "KEY_UNKNOWN", address
    with calling(server.address, server.admin_key) as admin:
        admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id="ours"))
        made = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id="ours"))
        for address in (server.address, server.listen):
            with calling(address) as caller:
                assert _who(caller) == "KEY_REQUIRED", address
                assert _who(caller.with_key(server.admin_key)) == "administrator", address
                assert _who(caller.with_key("icecore_wrong")) == "KEY_UNKNOWN", address
                assert _who(caller.with_key(made.secret)) == "ours", address
        admin.tenants.RevokeKey(tpb.RevokeKeyRequest(tenant_id="ours", key_id=made.key.key_id))
        for address in (server.address, server.listen):
            with calling(address) as caller:
                assert _who(caller.with_key(made.secret)) == "KEY_UNKNOWN", address
                assert _who(caller) == "KEY_REQUIRED", "revoking undoes nothing"


def test_an_address_for_others_needs_a_key_also_from_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path / "data", listen="0.0.0.0:0", insecure_transport=True) as server:
        assert server.listen is not None
        port = server.listen.rpartition(":")[2]
        with calling(f"127.0.0.1:{port}") as caller:
            assert _who(caller) == "KEY_REQUIRED"
            assert _who(caller.with_key("icecore_wrong")) == "KEY_UNKNOWN"
            assert _who(caller.with_key(server.admin_key)) == "administrator"
        with calling(server.address) as caller:
            assert _who(caller) == "default", "the folder's own socket is as ever"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key, made now."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return cert, key


def test_tls_comes_from_files(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with serving(tmp_path / "data", listen="127.0.0.1:0", tls_cert=cert, tls_key=key) as server:
        assert server.listen is not None
        port = server.listen.rpartition(":")[2]
        with calling(f"localhost:{port}", ca=cert.read_bytes()) as caller:
            assert _who(caller) == "default"
            assert _who(caller.with_key(server.admin_key)) == "administrator"
        with calling(server.listen) as plain:
            with pytest.raises(grpc.RpcError) as caught:
                plain.collections.ListCollections(LISTING, timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with socket.create_connection(("127.0.0.1", int(port)), 10) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert raw.recv(100)[:4] != b"HTTP", "it speaks without TLS"
        with calling(server.address) as caller:
            assert _who(caller) == "default", "the socket needs no TLS"


def test_two_tcp_servers_do_not_share_a_port(tmp_path: Path) -> None:
    with serving(tmp_path / "a", listen="127.0.0.1:0") as server:
        other = serving(tmp_path / "b", listen=server.listen)
        with pytest.raises(ValueError, match="cannot listen on"), other:
            pass
        with calling(str(server.listen)) as caller:
            caller.collections.ListCollections(LISTING)

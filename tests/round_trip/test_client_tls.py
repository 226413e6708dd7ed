"""TLS: the server proves who it is before a key is shown to it."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from driven import TWINS, opened
from fake_server import FakeServer
from icecore.client import AsyncClient, Client, NewExample, Unavailable, _looking
from icecore.client._address import Endpoint, parse_address
from icecore.client._translation import border
from icecore.client.errors import TLS_NOT_SPOKEN, TLS_WANTED
from icecore.v1 import backbone_pb2, collection_pb2

Twin = type[Client | AsyncClient]
both = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
ANSWERS = {
    "ListBackbones": lambda _: backbone_pb2.ListBackbonesResponse(),
    "AddExamples": lambda _: collection_pb2.AddExamplesResponse(n_added=1),
}


def certificate(folder: Path, name: str) -> tuple[Path, grpc.ServerCredentials]:
    """A certificate for `name` that signs itself, made by the openssl command."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make a certificate with")
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    pair = (key.read_bytes(), cert.read_bytes())
    return cert, grpc.ssl_server_credentials([pair])


@both
def test_a_key_reaches_a_server_that_the_given_authority_signed(twin: Twin, tmp_path: Path) -> None:
    ca, tls = certificate(tmp_path / "tls", "localhost")
    with FakeServer(tmp_path, ANSWERS, tls) as server:
        with opened(twin, server.address, ca=ca, key="icecore_k") as client:
            client.backbones()
            client.add_examples("c", [NewExample("a", b"x")])
            assert client.connect() == server.address
        shown = [headers["authorization"] for _, headers in server.calls]
        assert shown == ["Bearer icecore_k"] * 2


@both
@pytest.mark.parametrize("name", ["localhost", "other.example"])
def test_a_server_that_cannot_prove_who_it_is_hears_nothing(
    name: str, twin: Twin, tmp_path: Path
) -> None:
    """The right name signed by nobody known, and another name signed by the one known."""
    ca, tls = certificate(tmp_path / "tls", name)
    given = {"tls": True} if name == "localhost" else {"ca": ca}
    with FakeServer(tmp_path, ANSWERS, tls) as server:
        with (
            opened(twin, server.address, key="icecore_k", timeout_s=1.0, **given) as client,
            pytest.raises(Unavailable, match="no server answers at 'localhost:"),
        ):
            client.create_key("t")  # of all calls the one that is not repeated
        assert server.calls == []


@both
def test_tls_on_one_side_only_is_told_as_that(twin: Twin, tmp_path: Path) -> None:
    ca, tls = certificate(tmp_path / "tls", "localhost")
    with FakeServer(tmp_path, ANSWERS, tls) as server:
        with opened(twin, server.address) as client, pytest.raises(Unavailable) as raised:
            client.create_key("t")
        assert _looking.WANTS_TLS in raised.value.message
        assert raised.value.reason == TLS_WANTED
    plain = grpc.server(ThreadPoolExecutor(1))
    address = f"localhost:{plain.add_insecure_port('127.0.0.1:0')}"
    plain.start()
    with opened(twin, address, ca=ca) as client, pytest.raises(Unavailable) as raised:
        client.create_key("t")
    plain.stop(None)
    assert _looking.NO_TLS in raised.value.message
    assert raised.value.reason == TLS_NOT_SPOKEN


class Refused(grpc.RpcError):
    """What gRPC says where the last address that it tried was one where nothing listens."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "last error: UNKNOWN: ipv6:%5B::1%5D:1: Connection refused"

    def trailing_metadata(self) -> tuple[()]:
        return ()


def _told(endpoint: Endpoint) -> str:
    with pytest.raises(Unavailable) as raised, border("/s/M", endpoint):
        raise Refused
    return raised.value.message


def test_the_address_that_was_tried_last_does_not_hide_why(tmp_path: Path) -> None:
    ca, tls = certificate(tmp_path / "tls", "localhost")
    other, other_tls = certificate(tmp_path / "other", "other.example")
    with FakeServer(tmp_path, ANSWERS, tls) as server:
        address = parse_address(server.address)
        assert _looking.WANTS_TLS in _told(Endpoint(address))
        strange = Endpoint(address, tls=True, roots=other.read_bytes())
        assert _looking.NOT_TRUSTED in _told(strange)
        right = Endpoint(address, tls=True, roots=ca.read_bytes())
        assert _told(right).endswith("connection refused"), "TLS is not the trouble"
    assert _told(Endpoint(address)).endswith("connection refused"), "nothing is there any more"
    with FakeServer(tmp_path, ANSWERS, other_tls) as server:
        misnamed = Endpoint(parse_address(server.address), tls=True, roots=other.read_bytes())
        assert _looking.OTHER_NAME in _told(misnamed)

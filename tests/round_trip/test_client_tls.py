"""TLS: the server proves who it is before a key is shown to it."""

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from driven import TWINS, opened
from fake_server import FakeServer
from icecore.client import AsyncClient, Client, NewExample, Unavailable
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
